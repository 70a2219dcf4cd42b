import NN
import Tensors

// The recurrent states of a layer: tokens read them through their keys and values, and once a block they are written anew
// from each other and from the block's tokens (2203.07852, section 3.1).
//
// b batch, s states, m width of the model, h heads, d columns of a head

/// What a block's tokens and the next states take of states: computed once.
struct ReadyStates: Sendable {
    /// [b or 1, s, m]
    let states: Tensor
    /// Normalised and identified, [b or 1, s, m].
    let identified: Tensor
    /// [b or 1, s, d]; the keys as they are projected, and as tokens see them.
    let keys: Tensor, readKeys: Tensor, values: Tensor
}

/// The states of a layer, and how they are read and written.
///
/// Keys: init_state [s, m], state_pos_ids [s, m], state_norm.*, {q_to_state, q_from_state, state_to_q, state_to_kv,
/// to_state_out}.weight, {to_state_cross_attn, state_self_attn, from_state_cross_attn}.{q,k}_scale, those of the gate;
/// state_ff.*, ff_gate.*.
public struct StateContainer: Module {
    /// What the states are before anything was read, [s, m].
    public let initialStates: Parameter
    /// Added after the norm, by which states differ from each other (the paper's learned "state IDs").
    public let identifiers: Parameter
    public let norm: BiaslessLayerNorm
    /// Of the tokens that read, in the layer that reads.
    public let queriesToStates: Linear
    /// Of the states over the block's tokens.
    public let crossQueries: Linear
    /// Of the states over each other.
    public let selfQueries: Linear
    /// Of the states, one head.
    public let keysAndValues: Linear
    /// Nil where the feed-forward layer takes its place.
    public let toStateOut: Linear?
    /// What of the old states stays.
    public let gate: StateGate
    /// Nil without one (`StateUpdate.skip`).
    public let feedForward: RecurrentFeedForward?
    /// After the feed-forward layer, where there is one before it too.
    public let feedForwardGate: StateGate?
    let readNorm: QueryKeyNorm, selfNorm: QueryKeyNorm, crossNorm: QueryKeyNorm
    let heads: Int
    let scale: Float

    init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        let (m, d, s) = (configuration.dimension, configuration.headDimension, configuration.states)
        let inner = configuration.heads * d
        heads = configuration.heads
        scale = configuration.scale(isNormalized: true)
        initialStates = Parameter(.normal([s, m], standardDeviation: 0.1, key: key.child(0)))
        identifiers = Parameter(.normal([s, m], key: key.child(1)))
        norm = BiaslessLayerNorm(m)
        queriesToStates = Linear(m, inner, bias: false, key: key.child(2))
        crossQueries = Linear(m, inner, bias: false, key: key.child(3))
        selfQueries = Linear(m, inner, bias: false, key: key.child(4))
        keysAndValues = Linear(m, 2 * d, bias: false, key: key.child(5))
        let update = configuration.stateUpdate
        toStateOut = update == .single ? nil : Linear(2 * inner, m, bias: false, key: key.child(6))
        gate = StateGate(configuration.gate, m, key: key.child(7))
        feedForward =
            update == .skip
            ? nil
            : RecurrentFeedForward(
                update == .single ? 2 * inner : m, hidden: configuration.hiddenDimension, m, key: key.child(8))
        feedForwardGate = update == .dual ? StateGate(configuration.gate, m, key: key.child(9)) : nil
        (readNorm, selfNorm, crossNorm) = (QueryKeyNorm(d), QueryKeyNorm(d), QueryKeyNorm(d))
    }

    /// states: [b or 1, s, m], nil for those that nothing was written to.
    func found(_ states: Tensor?) -> ReadyStates {
        let states = states ?? initialStates.value.unsqueezed(0)
        let x = norm(states) + identifiers.value
        let keysAndValues = keysAndValues(x).split(count: 2)
        return ReadyStates(
            states: states, identified: x, keys: keysAndValues[0], readKeys: readNorm.keys(keysAndValues[0]),
            values: keysAndValues[1])
    }

    /// What tokens find in the states. queries: [b, n, h, d]; readKeys, values: [b or 1, s, d] → [b, n, h, d]
    func read(
        _ queries: Tensor, _ readKeys: Tensor, _ values: Tensor, _ implementation: Implementation = .fused
    ) -> Tensor {
        attend(readNorm.queries(queries), readKeys, values, implementation)
    }

    /// The states after a block.
    /// - Parameter keys, values: of the tokens that the states read, without positions: [b, n, d].
    /// - Returns: [b, s, m].
    func write(
        _ ready: ReadyStates, keys: Tensor, values: Tensor, _ implementation: Implementation = .fused
    ) -> Tensor {
        let own = attend(
            selfNorm.queries(split(selfQueries(ready.identified))), selfNorm.keys(ready.keys), ready.values,
            implementation)
        let cross = attend(
            crossNorm.queries(split(crossQueries(ready.identified))), crossNorm.keys(keys), values, implementation)
        let b = keys.shape[0]
        let attended = concatenate([own.expanded(to: [b] + own.shape.dropFirst()), cross], axis: 3)
        let rows = attended.reshaped(Array(attended.shape.prefix(2)) + [-1])  // [b, s, h · 2 d]
        guard let toStateOut else { return gate(ready.states, feedForward!(rows, implementation)) }
        let states = gate(ready.states, toStateOut(rows))
        guard let feedForward, let feedForwardGate else { return states }
        return feedForwardGate(states, feedForward(states, implementation))
    }

    /// [b, s, h · d] → [b, s, h, d]
    private func split(_ queries: Tensor) -> Tensor { queries.reshaped(Array(queries.shape.prefix(2)) + [heads, -1]) }

    /// Queries or keys of all batches alike are repeated where the others differ.
    private func attend(
        _ queries: Tensor, _ keys: Tensor, _ values: Tensor, _ implementation: Implementation
    ) -> Tensor {
        let b = max(queries.shape[0], keys.shape[0])
        func repeated(_ x: Tensor) -> Tensor { x.expanded(to: [b] + x.shape.dropFirst()) }
        return multiQueryAttention(
            repeated(queries), repeated(keys), repeated(values), scale: scale,
            implementation: implementation)
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
