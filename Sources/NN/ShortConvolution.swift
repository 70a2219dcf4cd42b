import Tensors

// Causal convolutions of each channel over its last few tokens, as linear transformers put before attention (Gated Linear
// Attention, 2312.06635; the ablation for the delta rule is 2406.06484, table 3).
//
// b batch, n tokens, c channels, k tokens that an output sees

/// y_t = f(Σ_j w_j ⊙ x_{t − k + 1 + j} + b), j = 0 … k − 1.
///
/// - Parameters:
///   - x: [b, n, c]; a view is read in place.
///   - weight: w, [c, k].
///   - bias: b, [c]; nil for none.
///   - history: the last k − 1 tokens before x, [b, k − 1, c]; nil for zeros, at the beginning.
///   - activation: f.
///   - implementation: the plain form, or one pass over the tokens.
/// - Returns: y, [b, n, c], and the tokens that the next ones are read with, [b, k − 1, c]. Gradients flow through both.
public func shortConvolution(
    _ x: Tensor, weight: Tensor, bias: Tensor? = nil, after history: Tensor? = nil, activation: Activation = .silu,
    implementation: Implementation = .fused
) -> (output: Tensor, last: Tensor) {
    let (y, last) = shortConvolution(
        x, parts: [x.shape.last ?? 0], weight: weight, bias: bias, after: history, activation: activation,
        implementation: implementation)
    return (y[0], last)
}

/// Convolves the columns of several layers' inputs, such as queries, keys and values, in one call: channels are apart.
///
/// - Parameter parts: the channels of each part, c in all.
/// - Returns: the parts of y, [b, n, part] each and dense, and the tokens that the next ones are read with, [b, k − 1, c]. See
///   `shortConvolution` for the rest.
public func shortConvolution(
    _ x: Tensor, parts: [Int], weight: Tensor, bias: Tensor? = nil, after history: Tensor? = nil,
    activation: Activation = .silu, implementation: Implementation = .fused
) -> (outputs: [Tensor], last: Tensor) {
    require(
        x.rank == 3 && weight.rank == 2 && weight.shape[0] == x.shape[2] && weight.shape[1] > 0
            && (bias == nil || bias!.shape == [x.shape[2]]) && parts.reduce(0, +) == x.shape[2],
        "shortConvolution: x \(x.shape), weight \(weight.shape), bias \(bias?.shape ?? []), parts \(parts); expected x "
            + "[b, n, c], weight [c, k], bias [c], parts of c channels in all")
    let (b, n, c, k) = (x.shape[0], x.shape[1], x.shape[2], weight.shape[1])
    require(
        history == nil || history!.shape == [b, k - 1, c],
        "shortConvolution: after \(history?.shape ?? []), expected [b, k − 1, c] = \([b, k - 1, c])")
    if implementation == .fused {
        let y = fusedShortConvolution(
            x, weight: weight, bias: bias, after: history, activation: activation, parts: parts)
        if n >= k - 1 { return (y, x.sliced(1, from: n - k + 1).contiguous()) }
        return (y, concatenate([(history ?? .zeros([b, k - 1, c])).sliced(1, from: n), x], axis: 1))
    }
    let tokens = k == 1 ? x : concatenate([history ?? .zeros([b, k - 1, c]), x], axis: 1)  // [b, k − 1 + n, c]
    var sum = tokens.sliced(1, to: n) * weight.at(1, 0)
    for j in 1..<k { sum = sum + tokens.sliced(1, from: j, to: j + n) * weight.at(1, j) }
    if let bias { sum = sum + bias }
    let y = activation(sum)
    return (columns(parts).map { y.sliced(2, from: $0.lowerBound, to: $0.upperBound) }, tokens.sliced(1, from: n))
}

/// The channels of each part.
func columns(_ parts: [Int]) -> [Range<Int>] {
    var first = 0
    return parts.map { width in
        defer { first += width }
        return first..<first + width
    }
}

/// A short convolution as a layer.
///
/// Keys: weight [channels, 1, k], bias [channels], those of PyTorch's Conv1d with as many groups as channels.
public struct ShortConvolution: Module {
    /// [channels, 1, kernel]
    public let weight: Parameter
    /// [channels]; nil without a bias.
    public let bias: Parameter?
    /// The function of each element of the result.
    public let activation: Activation

    /// k, the tokens an output sees.
    public var kernel: Int { weight.shape[2] }
    /// The number of channels.
    public var channels: Int { weight.shape[0] }

    /// - Parameters:
    ///   - channels: the width of what it reads.
    ///   - kernel: the tokens an output sees, at least 1.
    ///   - activation: f.
    ///   - key: what the initial weights are drawn from.
    public init(
        _ channels: Int, kernel: Int = 4, bias: Bool = false, activation: Activation = .silu, key: RandomKey
    ) {
        require(kernel >= 1, "ShortConvolution: kernel \(kernel), expected at least 1")
        let bound = 1 / Float(kernel).squareRoot()
        weight = Parameter(.uniform([channels, 1, kernel], low: -bound, high: bound, key: key.child(0)))
        self.bias = bias ? Parameter(.uniform([channels], low: -bound, high: bound, key: key.child(1))) : nil
        self.activation = activation
    }

    /// - Parameters:
    ///   - x: [b, n, channels].
    ///   - before: the last k − 1 tokens before x, [b, k − 1, channels]; nil for zeros, at the beginning.
    /// - Returns: [b, n, channels], and the tokens that the next ones are read with, [b, k − 1, channels].
    public func callAsFunction(
        _ x: Tensor, after before: Tensor? = nil, implementation: Implementation = .fused
    ) -> (output: Tensor, last: Tensor) {
        require(x.rank == 3 && x.shape[2] == channels, "ShortConvolution: x \(x.shape), expected [b, n, \(channels)]")
        return shortConvolution(
            x, weight: weight.value.reshaped([channels, kernel]), bias: bias?.value, after: before,
            activation: activation, implementation: implementation)
    }

    public func collect(into state: inout StateCollector) {
        state.add("weight", weight)
        if let bias { state.add("bias", bias) }
    }
}
