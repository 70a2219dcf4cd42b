import NN
import Tensors

// Hyper-Connections, 2409.19606.
// Axes: S residual streams, d features.

/// How one sub-layer reads several residual streams and writes to them: weights that mix the streams, computed for each
/// token from the streams themselves (2409.19606, dynamic hyper-connections: equations 10–13, appendix J algorithm 2,
/// with an RMS norm for the layer norm).
///
/// Keys: static_alpha [S, S + 1] (at first one stream is read, and each goes on as it is), dynamic_alpha_fn [d, S + 1]
/// (zeros), dynamic_alpha_scale [] (0.01), static_beta [S] (ones), dynamic_beta_fn [d] (zeros), dynamic_beta_scale []
/// (0.01), norm.gamma [d] (zeros: the norm's weight is gamma + 1).
public struct HyperConnection: Module {
    public let staticAlpha: Parameter
    public let dynamicAlpha: Parameter
    public let dynamicAlphaScale: Parameter
    public let staticBeta: Parameter
    public let dynamicBeta: Parameter
    public let dynamicBetaScale: Parameter
    public let gamma: Parameter

    /// The number of streams.
    public var streams: Int { staticBeta.count }
    /// The number of features.
    public var dimension: Int { gamma.count }

    /// - Parameters:
    ///   - streams: S ≥ 1.
    ///   - dimension: d ≥ 1.
    ///   - firstStream: the stream that is read at first, counted modulo S; drawn from `key` where nil.
    public init(streams: Int, dimension: Int, firstStream: Int? = nil, key: RandomKey) {
        require(
            streams > 0 && dimension > 0,
            "HyperConnection: \(streams) streams of \(dimension) features; expected at least 1 of each")
        let drawn = Int(key.integers(1)[0] % UInt64(streams))
        let first = firstStream.map { ($0 % streams + streams) % streams } ?? drawn
        var alpha = [Float](repeating: 0, count: streams * (streams + 1))
        for stream in 0..<streams { alpha[stream * (streams + 1) + stream + 1] = 1 }
        alpha[first * (streams + 1)] = 1
        staticAlpha = Parameter(Tensor(alpha, shape: [streams, streams + 1]))
        dynamicAlpha = Parameter(.zeros([dimension, streams + 1]))
        dynamicAlphaScale = Parameter(Tensor(0.01))
        staticBeta = Parameter(.ones([streams]))
        dynamicBeta = Parameter(.zeros([dimension]))
        dynamicBetaScale = Parameter(Tensor(0.01))
        gamma = Parameter(.zeros([dimension]))
    }

    public func collect(into state: inout StateCollector) {
        state.add("static_alpha", staticAlpha)
        state.add("dynamic_alpha_fn", dynamicAlpha)
        state.add("dynamic_alpha_scale", dynamicAlphaScale)
        state.add("static_beta", staticBeta)
        state.add("dynamic_beta_fn", dynamicBeta)
        state.add("dynamic_beta_scale", dynamicBetaScale)
        state.add("norm.gamma", gamma)
    }
}
