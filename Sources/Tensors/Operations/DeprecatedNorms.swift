// The norms by the labels they had before `epsilon`.

/// Layer normalization; see `layerNorm(_:weight:bias:epsilon:)`.
@available(*, deprecated, renamed: "layerNorm(_:weight:bias:epsilon:)")
public func layerNorm(_ x: Tensor, weight: Tensor? = nil, bias: Tensor? = nil, eps: Float) -> Tensor {
    layerNorm(x, weight: weight, bias: bias, epsilon: eps)
}

/// Root mean square normalization; see `rmsNorm(_:weight:epsilon:)`.
@available(*, deprecated, renamed: "rmsNorm(_:weight:epsilon:)")
public func rmsNorm(_ x: Tensor, weight: Tensor? = nil, eps: Float) -> Tensor {
    rmsNorm(x, weight: weight, epsilon: eps)
}

/// Scale normalization; see `scaleNorm(_:gain:epsilon:)`.
@available(*, deprecated, renamed: "scaleNorm(_:gain:epsilon:)")
public func scaleNorm(_ x: Tensor, gain: Tensor, eps: Float) -> Tensor { scaleNorm(x, gain: gain, epsilon: eps) }

extension Tensor {
    /// x / max(|x|, ε) over an axis; see `l2Normalized(axis:epsilon:)`.
    @available(*, deprecated, renamed: "l2Normalized(axis:epsilon:)")
    public func l2Normalized(axis: Int = -1, eps: Float) -> Tensor { l2Normalized(axis: axis, epsilon: eps) }
}
