import NN
import Tensors

// What the layers hold: parameters, their initial values and their names. What they compute is in BlockRecurrent.swift.
//
// b batch, n tokens, m width of the model, h heads, d columns of a head, s states

/// Attention, then the feed-forward layer. Keys: 0.*, 1.*
public struct BlockRecurrentLayer: Module {
    public let attention: AttentionBlock
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
/// Keys: norm.*, {to_q, to_kv, to_out}.weight, attn.{q,k}_scale, state_container.*, feedback.c.weight.
public struct AttentionBlock: Module {
    public let norm: BiaslessLayerNorm
    /// Queries of all heads, [h · d, m].
    public let toQuery: Linear
    /// One head of keys and values, [2 d, m].
    public let toKeysAndValues: Linear
    /// The output of the heads, and of each read of states: [m, h · d · (1 + reads)].
    public let toOut: Linear
    /// Nil where queries and keys are taken as they are.
    public let queryKeyNorm: QueryKeyNorm?
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
        let (m, d, inner) = (configuration.dimension, configuration.headDimension, configuration.innerDimension)
        let recurrences = configuration.recurrences
        let isRecurrent = recurrences.contains { $0.write == layer }
        let reads = configuration.usesFeedback ? recurrences.count : recurrences.count { $0.read == layer }
        let normalizes = configuration.normalizesAllLayers || isRecurrent
        self.configuration = configuration
        scale = configuration.scale(isNormalized: normalizes)
        norm = BiaslessLayerNorm(m)
        toQuery = Linear(m, inner, bias: false, key: key.child(0))
        toKeysAndValues = Linear(m, 2 * d, bias: false, key: key.child(1))
        toOut = Linear(inner * (1 + reads), m, bias: false, key: key.child(2))
        queryKeyNorm = normalizes ? QueryKeyNorm(d) : nil
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
        if let queryKeyNorm { state.add("attn", queryKeyNorm) }
        state.add("to_out", toOut)
        if let stateContainer { state.add("state_container", stateContainer) }
        for index in feedback.keys.sorted() { state.add("feedback.\(index)", feedback[index]!) }
    }
}

/// The states of a layer (section 3.1): tokens read them through their keys and values, and each block writes them anew.
///
/// Keys: init_state [s, m], state_pos_ids [s, m], state_norm.*, {q_to_state, q_from_state, state_to_q, state_to_kv,
/// to_state_out}.weight, {to_state_cross_attn, state_self_attn, from_state_cross_attn}.{q,k}_scale, those of the gate;
/// state_ff.*, ff_gate.*.
public struct StateContainer: Module {
    /// The states before anything was read, [s, m].
    public let initialStates: Parameter
    /// I, added after the norm, by which states differ from each other (the paper's learned "state IDs"): [s, m].
    public let identifiers: Parameter
    public let norm: BiaslessLayerNorm
    /// Queries of the tokens to the states, in the layer that reads them.
    public let queriesToStates: Linear
    /// Queries of the states to the block's tokens.
    public let crossQueries: Linear
    /// Queries of the states to each other.
    public let selfQueries: Linear
    /// One head of the states' keys and values.
    public let keysAndValues: Linear
    /// Nil where the feed-forward layer takes its place (`StateUpdate.single`).
    public let toStateOut: Linear?
    public let gate: StateGate
    /// Nil without one (`StateUpdate.skip`).
    public let feedForward: PositionwiseFeedForward?
    /// The gate after the feed-forward layer, where there is one before it too (`StateUpdate.dual`).
    public let feedForwardGate: StateGate?
    let readNorm: QueryKeyNorm, selfNorm: QueryKeyNorm, crossNorm: QueryKeyNorm
    let configuration: BlockRecurrentConfiguration
    /// The factor of scores.
    var scale: Float { configuration.scale(isNormalized: true) }

    init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        let (m, d, s) = (configuration.dimension, configuration.headDimension, configuration.states)
        let (inner, update) = (configuration.innerDimension, configuration.stateUpdate)
        self.configuration = configuration
        initialStates = Parameter(.normal([s, m], standardDeviation: 0.1, key: key.child(0)))
        identifiers = Parameter(.normal([s, m], key: key.child(1)))
        norm = BiaslessLayerNorm(m)
        queriesToStates = Linear(m, inner, bias: false, key: key.child(2))
        crossQueries = Linear(m, inner, bias: false, key: key.child(3))
        selfQueries = Linear(m, inner, bias: false, key: key.child(4))
        keysAndValues = Linear(m, 2 * d, bias: false, key: key.child(5))
        toStateOut = update == .single ? nil : Linear(2 * inner, m, bias: false, key: key.child(6))
        gate = StateGate(configuration.gate, m, key: key.child(7))
        let inputs = update == .single ? 2 * inner : m
        feedForward =
            update == .skip
            ? nil : makeFeedForward(inputs, hidden: configuration.hiddenDimension, outputs: m, key: key.child(8))
        feedForwardGate = update == .dual ? StateGate(configuration.gate, m, key: key.child(9)) : nil
        (readNorm, selfNorm, crossNorm) = (QueryKeyNorm(d), QueryKeyNorm(d), QueryKeyNorm(d))
    }

    public func collect(into state: inout StateCollector) {
        state.add("init_state", initialStates)
        state.add("state_pos_ids", identifiers)
        gate.collect(into: &state)
        state.add("state_norm", norm)
        state.add("q_to_state", queriesToStates)
        state.add("q_from_state", crossQueries)
        state.add("state_to_q", selfQueries)
        state.add("state_to_kv", keysAndValues)
        if let toStateOut { state.add("to_state_out", toStateOut) }
        state.add("to_state_cross_attn", readNorm)
        state.add("state_self_attn", selfNorm)
        state.add("from_state_cross_attn", crossNorm)
        if let feedForward { state.add("state_ff", feedForward) }
        if let feedForwardGate { state.add("ff_gate", feedForwardGate) }
    }
}

/// States as a block finds them, with what its tokens and the next states take of them.
struct FoundStates: Sendable {
    /// S, [b or 1, s, m].
    let states: Tensor
    /// Ŝ, [b or 1, s, m].
    let identified: Tensor
    /// [b or 1, s, d]; the keys as they are projected, and as tokens see them.
    let keys: Tensor, readKeys: Tensor, values: Tensor
}

/// The share of old and new states. Keys: state_out_to_gate.{weight, bias}; learned_ema_beta [m] of the fixed gate.
public struct StateGate: Module {
    /// W, b: m outputs; of the LSTM's gate 3 m: z, i, f.
    public let toGate: Linear
    /// b_β, learned_ema_beta: σ of it is the share of the new in each column. Nil for the LSTM's.
    public let emaBeta: Parameter?

    init(_ kind: StateGateKind, _ dimension: Int, key: RandomKey) {
        toGate = Linear(dimension, kind == .lstm ? 3 * dimension : dimension, key: key.child(0))
        emaBeta =
            kind == .lstm ? nil : Parameter(.normal([dimension], standardDeviation: 0.1, key: key.child(1)))
    }

    public func collect(into state: inout StateCollector) {
        state.add("state_out_to_gate", toGate)
        if let emaBeta { state.add("learned_ema_beta", emaBeta) }
    }
}

/// Makes a norm and a gated feed-forward layer: W₃ (a ⊙ gelu(g)), a, g = W₁ norm(x) (GEGLU, 2002.05202).
///
/// Keys: 0.{gamma, beta}, 1.weight, 3.weight.
private func makeFeedForward(_ inputs: Int, hidden: Int, outputs: Int, key: RandomKey) -> PositionwiseFeedForward {
    PositionwiseFeedForward(
        inputs, hidden: hidden, outputs: outputs, norm: BiaslessLayerNorm(inputs), activation: .gelu, isGated: true,
        names: .init(norm: "0", up: "1", down: "3"), key: key)
}

/// Layer normalization whose bias is not learned. Keys: gamma [m], beta [m] (zeros, buffer).
public struct BiaslessLayerNorm: NormLayer {
    public let gamma: Parameter
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

    /// Rotates keys of which the last is token `end` − 1 of a block; those before its first are the memory's. x: [b, n, d]
    func rotate(keys x: Tensor, end: Int) -> Tensor {
        let last = origin + end
        return keys.rows(last - x.shape[1]..<last).rotate(x)
    }
}
