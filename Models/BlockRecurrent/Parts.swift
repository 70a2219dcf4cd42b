import CKernels
import NN
import Tensors

// Small parts that tokens and states share.
//
// m width of the model, d columns of a head

/// Layer normalisation whose bias is not learned. Keys: gamma [m], beta [m] (zeros, buffer).
public struct BiaslessLayerNorm: NormLayer {
    public let gamma: Parameter
    public let beta: Parameter

    public init(_ dimension: Int) {
        gamma = Parameter(.ones([dimension]))
        beta = Parameter(.zeros([dimension]), .frozen)
    }

    public var norm: Norm { .layer(weight: gamma.value, bias: beta.value, epsilon: 1e-5) }

    public func callAsFunction(_ x: Tensor) -> Tensor { layerNorm(x, weight: gamma.value, bias: beta.value) }

    public func collect(into state: inout StateCollector) {
        state.add("gamma", gamma)
        state.add("beta", beta)
    }
}

/// Queries and keys of length 1 times learned scales (QK normalisation, 2010.04245), before positions. Keys: q_scale [d],
/// k_scale [d].
public struct QueryKeyNorm: Module {
    public let queryScale: Parameter
    public let keyScale: Parameter

    public init(_ headDimension: Int) {
        queryScale = Parameter(.ones([headDimension]))
        keyScale = Parameter(.ones([headDimension]))
    }

    /// x: [..., d] → [..., d]
    func queries(_ x: Tensor) -> Tensor { x.l2Normalized() * queryScale.value }
    func keys(_ x: Tensor) -> Tensor { x.l2Normalized() * keyScale.value }

    /// The queries of h heads, [h, d], to `y`, where no gradient is wanted.
    func queries(_ h: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>) {
        Self.normalize(h, x, queryScale.value, y)
    }

    /// A key, [d], to `y`, where no gradient is wanted.
    func key(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>) { Self.normalize(1, x, keyScale.value, y) }

    private static func normalize(
        _ rows: Int, _ x: UnsafePointer<Float>, _ scale: Tensor, _ y: UnsafeMutablePointer<Float>
    ) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows) { statistics in
            az_l2_norm_forward(rows, scale.count, 1, 1e-12, 1, x, scale.pointer, y, statistics.baseAddress)
        }
    }

    public func collect(into state: inout StateCollector) {
        state.add("q_scale", queryScale)
        state.add("k_scale", keyScale)
    }
}

/// A norm and a gated feed-forward layer, a ⊙ gelu(g) of two halves (GEGLU, 2002.05202). Keys: 0.{gamma, beta}, 1.weight,
/// 3.weight.
public struct RecurrentFeedForward: Module {
    public let norm: BiaslessLayerNorm
    public let up: Linear
    public let down: Linear

    /// - Parameter key: what the initial parameters are drawn from.
    init(_ inputs: Int, hidden: Int, _ outputs: Int, key: RandomKey) {
        norm = BiaslessLayerNorm(inputs)
        up = Linear(inputs, 2 * hidden, bias: false, key: key.child(0))
        down = Linear(hidden, outputs, bias: false, key: key.child(1))
    }

    /// x: [..., inputs] → [..., outputs]
    func callAsFunction(_ x: Tensor, _ implementation: Implementation) -> Tensor {
        switch implementation {
        case .plain:
            let parts = up(norm(x)).split(count: 2)
            return down(parts[0] * gelu(parts[1]))
        case .fused: return self(x)
        }
    }

    /// x: [..., inputs] → [..., outputs], plus `residual`.
    public func callAsFunction(_ x: Tensor, residual: Tensor? = nil) -> Tensor {
        feedForward(
            x, norm: norm.norm, up: up.projection, activation: .gelu, isGated: true, down: down.projection,
            residual: residual)
    }

    public func collect(into state: inout StateCollector) {
        state.add("0", norm)
        state.add("1", up)
        state.add("3", down)
    }
}
