import NN
import Tensors

// The layers: parameters, their initial values and their names. Their computation is in BlockRecurrent.swift.
//
// b batch, n tokens, m width of the model, h heads, g heads of keys and values, d columns of a head

/// Attention, then the feed-forward layer. Keys: 0.*, 1.*
public struct BlockRecurrentLayer: Module {
    /// Attention over the block, its memory and states.
    public let attention: AttentionBlock
    /// The gated feed-forward layer after it.
    public let feedForward: PositionwiseFeedForward

    init(_ configuration: BlockRecurrentConfiguration, layer: Int, key: RandomKey) {
        attention = AttentionBlock(configuration, layer: layer, key: key.child(0))
        let m = configuration.dimension
        feedForward = makeFeedForward(m, hidden: configuration.hiddenDimension, outputs: m, key: key.child(1))
    }

    public func collect(into state: inout StateCollector) {
        state.add("0", attention)
        state.add("1", feedForward)
    }
}

/// A layer's attention over its block, the memory before it and states.
///
/// Keys: norm.*, {to_q, to_kv, to_out}.weight, attn.* (`ScoreNorm`), relative_position_bias.weight,
/// state_container.*, feedback.c.weight.
public struct AttentionBlock: Module {
    /// The norm of the layer's input.
    public let norm: BiaslessLayerNorm
    /// Queries of all heads, [h · d, m].
    public let toQuery: Linear
    /// The keys of all their heads, then the values, [2 g d, m].
    public let toKeysAndValues: Linear
    /// The output of the heads, and of each read of states: [m, h · d · (1 + reads)].
    public let toOut: Linear
    /// Nil where queries and keys are taken as they are.
    public let scoreNorm: ScoreNorm?
    /// Nil with rotary positions.
    public let relativeBias: RelativePositionBias?
    /// The states of a layer that writes some.
    public let stateContainer: StateContainer?
    /// Queries to the states of each recurrent layer (counted from the lowest) that the layer reads as feedback.
    public let feedback: [Int: Linear]
    let configuration: BlockRecurrentConfiguration
    /// The factor of scores.
    let scale: Float

    /// - Parameters:
    ///   - layer: from 0.
    ///   - key: what the initial parameters are drawn from.
    init(_ configuration: BlockRecurrentConfiguration, layer: Int, key: RandomKey) {
        let (m, inner) = (configuration.dimension, configuration.innerDimension)
        let recurrences = configuration.recurrences
        let isRecurrent = recurrences.contains { $0.write == layer }
        let reads = configuration.usesFeedback ? recurrences.count : recurrences.count { $0.read == layer }
        let normalizes = configuration.normalizesAllLayers || isRecurrent
        self.configuration = configuration
        scale = configuration.scale(isNormalized: normalizes)
        norm = BiaslessLayerNorm(m)
        toQuery = Linear(m, inner, bias: false, key: key.child(0))
        toKeysAndValues = Linear(m, 2 * configuration.keyDimension, bias: false, key: key.child(1))
        toOut = Linear(inner * (1 + reads), m, bias: false, key: key.child(2))
        scoreNorm = normalizes ? ScoreNorm(configuration) : nil
        relativeBias =
            configuration.usesRelativeBias ? RelativePositionBias(configuration, key: key.child(5)) : nil
        stateContainer = isRecurrent ? StateContainer(configuration, key: key.child(3)) : nil
        var feedback: [Int: Linear] = [:]
        for (index, recurrence) in recurrences.enumerated()
        where configuration.usesFeedback && recurrence.read != layer {
            feedback[index] = Linear(m, inner, bias: false, key: key.child(4).child(index))
        }
        self.feedback = feedback
    }

    public func collect(into state: inout StateCollector) {
        state.add("norm", norm)
        state.add("to_q", toQuery)
        state.add("to_kv", toKeysAndValues)
        if let scoreNorm { state.add("attn", scoreNorm) }
        if let relativeBias { state.add("relative_position_bias", relativeBias) }
        state.add("to_out", toOut)
        if let stateContainer { state.add("state_container", stateContainer) }
        for index in feedback.keys.sorted() { state.add("feedback.\(index)", feedback[index]!) }
    }
}

/// Makes a norm and a gated feed-forward layer: W₃ (a ⊙ gelu(g)), a, g = W₁ norm(x) (GEGLU, 2002.05202).
///
/// Keys: 0.{gamma, beta}, 1.weight, 3.weight.
func makeFeedForward(_ inputs: Int, hidden: Int, outputs: Int, key: RandomKey) -> PositionwiseFeedForward {
    PositionwiseFeedForward(
        inputs, hidden: hidden, outputs: outputs, norm: BiaslessLayerNorm(inputs), activation: .gelu, isGated: true,
        names: .init(norm: "0", up: "1", down: "3"), key: key)
}

/// Layer normalization whose bias is not learned. Keys: gamma [m], beta [m] (zeros, buffer).
public struct BiaslessLayerNorm: NormLayer {
    /// The learned factors, [m].
    public let gamma: Parameter
    /// The bias, [m]: zeros that are saved but not trained.
    public let beta: Parameter

    /// Begins with ones.
    public init(_ dimension: Int) {
        gamma = Parameter(.ones([dimension]))
        beta = Parameter(.zeros([dimension]), .frozen)
    }

    /// The norm with its current parameters.
    public var norm: Norm { .layer(weight: gamma.value, bias: beta.value, epsilon: 1e-5) }

    /// x: [..., m] → [..., m]
    public func callAsFunction(_ x: Tensor) -> Tensor { layerNorm(x, weight: gamma.value, bias: beta.value) }

    public func collect(into state: inout StateCollector) {
        state.add("gamma", gamma)
        state.add("beta", beta)
    }
}

/// Rotary positions with xpos's decay (2212.10554, base 512), counted from the beginning of the block: only distances
/// matter, so all blocks rotate alike, however far the text goes.
struct BlockPositions: Sendable {
    let queries: RotaryTable, keys: RotaryTable
    /// The row of a block's first token.
    let origin: Int

    init(_ configuration: BlockRecurrentConfiguration) {
        let width = configuration.blockWidth
        let rotary = Rotary(configuration.headDimension, scaleBase: 512)
        origin = width + configuration.compressedLength
        let positions = Array(0..<origin + width)
        // All in one window of xpos: powers stay within the block's reach.
        queries = rotary.table(positions, window: positions.count, decay: 1)
        keys = rotary.table(positions, window: positions.count, decay: -1)
    }

    /// Rotates tokens of a block from `offset` on. x: [b, n, h, d]
    func rotate(queries x: Tensor, offset: Int) -> Tensor {
        queries.rows(origin + offset..<origin + offset + x.shape[1]).rotate(x)
    }

    /// Rotates keys of which the last is token `end` − 1 of a block; those before its first are the memory's.
    /// x: [b, n, g, d]
    func rotate(keys x: Tensor, end: Int) -> Tensor {
        let last = origin + end
        return keys.rows(last - x.shape[1]..<last).rotate(x)
    }
}

extension BlockRecurrentConfiguration {
    /// Takes keys and values of all heads apart. x: [b, n, 2 g d] → [b, n, g, d] each
    func keysAndValues(_ x: Tensor) -> (keys: Tensor, values: Tensor) {
        if groups == 1 {
            let parts = x.split(count: 2)
            return (parts[0].unsqueezed(2), parts[1].unsqueezed(2))
        }
        let heads = x.reshaped([x.shape[0], x.shape[1], 2 * groups, headDimension])
        return (heads.sliced(2, to: groups), heads.sliced(2, from: groups))
    }
}
