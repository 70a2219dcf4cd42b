import NN
import Tensors

// The states of a layer: parameters, their initial values and their names.
//
// b batch, m width of the model, h heads, g heads of keys and values, d columns of a head, s states

/// The states of a layer (section 3.1): tokens read them through their keys and values, and each block writes them anew.
///
/// Keys: init_state [s, m], state_pos_ids [s, m], state_norm.*, {q_to_state, q_from_state, state_to_q, state_to_kv,
/// to_state_out}.weight, {to_state_cross_attn, state_self_attn, from_state_cross_attn}.* (`ScoreNorm`), those of the gate;
/// state_ff.*, ff_gate.*; direct_gate.*.
public struct StateContainer: Module {
    /// The states before anything was read, [s, m].
    public let initialStates: Parameter
    /// I, added after the norm, by which states differ from each other (the paper's learned "state IDs"): [s, m].
    public let identifiers: Parameter
    /// The norm of the states as they are found.
    public let norm: BiaslessLayerNorm
    /// Queries of the tokens to the states, in the layer that reads them.
    public let queriesToStates: Linear
    /// Queries of the states to the block's tokens.
    public let crossQueries: Linear
    /// Queries of the states to each other.
    public let selfQueries: Linear
    /// The states' keys of all their heads, then the values.
    public let keysAndValues: Linear
    /// Nil where the feed-forward layer takes its place (`StateUpdate.single`).
    public let toStateOut: Linear?
    /// Nil with a direct write.
    public let gate: StateGate?
    /// The gate of a direct write.
    public let directGate: DirectStateGate?
    /// Nil without one (`StateUpdate.skip`).
    public let feedForward: PositionwiseFeedForward?
    /// The gate after the feed-forward layer, where there is one before it too (`StateUpdate.dual`).
    public let feedForwardGate: StateGate?
    /// The norms of scores: of tokens to states, of states to each other, and of states to tokens.
    let readNorm: ScoreNorm, selfNorm: ScoreNorm, crossNorm: ScoreNorm
    let configuration: BlockRecurrentConfiguration
    /// The factor of scores.
    var scale: Float { configuration.scale(isNormalized: true) }

    init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        let (m, s) = (configuration.dimension, configuration.states)
        let (inner, update, isDirect) = (
            configuration.innerDimension, configuration.stateUpdate, configuration.writesDirectly
        )
        self.configuration = configuration
        initialStates = Parameter(
            .normal([s, m], standardDeviation: Float(configuration.initialStateScale), key: key.child(0)))
        identifiers = Parameter(
            .normal([s, m], standardDeviation: Float(configuration.identifierScale), key: key.child(1)))
        norm = BiaslessLayerNorm(m)
        queriesToStates = Linear(m, inner, bias: false, key: key.child(2))
        crossQueries = Linear(m, inner, bias: false, key: key.child(3))
        selfQueries = Linear(m, inner, bias: false, key: key.child(4))
        keysAndValues = Linear(m, 2 * configuration.keyDimension, bias: false, key: key.child(5))
        let write = key.child(6)
        toStateOut =
            update == .single
            ? nil : isDirect ? .ofFullScale(2 * inner, m, key: write) : Linear(2 * inner, m, bias: false, key: write)
        gate = isDirect ? nil : StateGate(configuration, key: key.child(7))
        directGate = isDirect ? DirectStateGate(configuration, key: key.child(7)) : nil
        let inputs = update == .single ? 2 * inner : m
        feedForward =
            update == .skip
            ? nil : makeFeedForward(inputs, hidden: configuration.hiddenDimension, outputs: m, key: key.child(8))
        feedForwardGate = update == .dual ? StateGate(configuration, key: key.child(9)) : nil
        (readNorm, selfNorm, crossNorm) = (
            ScoreNorm(configuration), ScoreNorm(configuration), ScoreNorm(configuration)
        )
    }

    public func collect(into state: inout StateCollector) {
        state.add("init_state", initialStates)
        state.add("state_pos_ids", identifiers)
        gate?.collect(into: &state)
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
        if let directGate { state.add("direct_gate", directGate) }
    }
}

/// States as a block finds them, with what its tokens and the next states take of them.
struct FoundStates: Sendable {
    /// S, [b or 1, s, m].
    let states: Tensor
    /// Ŝ, [b or 1, s, m].
    let identified: Tensor
    /// [b or 1, s, g, d]; the keys as they are projected, and as tokens see them.
    let keys: Tensor, readKeys: Tensor, values: Tensor
}

/// The share of old and new states. Keys: state_out_to_gate.{weight, bias}; learned_ema_beta [m] of the fixed gate.
public struct StateGate: Module {
    /// W, b: m outputs; of the LSTM's gate 3 m: z, i, f.
    public let toGate: Linear
    /// b_β, learned_ema_beta: σ of it is the share of the new in each column. Nil for the LSTM's.
    public let emaBeta: Parameter?

    /// The constant added to the LSTM's forget gate.
    let forgetBias: Float

    init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        let (m, isLSTM) = (configuration.dimension, configuration.gate == .lstm)
        toGate = Linear(m, isLSTM ? 3 * m : m, key: key.child(0))
        emaBeta = isLSTM ? nil : Parameter(.normal([m], standardDeviation: 0.1, key: key.child(1)))
        forgetBias = Float(configuration.forgetBias ?? 1)
    }

    public func collect(into state: inout StateCollector) {
        state.add("state_out_to_gate", toGate)
        if let emaBeta { state.add("learned_ema_beta", emaBeta) }
    }
}

/// The gate of a direct write (`writesDirectly`), as in the authors' code (google-research/meliad): its input is what the
/// states attended, and there is no tanh.
///
/// Keys: weight [2 m, 2 h d] and bias [2 m] of the LSTM's gates, i, f; learned_ema_beta [m] of the fixed one.
public struct DirectStateGate: Module {
    /// W, b of the LSTM's gates; nil for the fixed one.
    public let toGates: Linear?
    /// b_β, of which σ is the share of the new in each column; nil for the LSTM's.
    public let emaBeta: Parameter?
    /// The constant added to the LSTM's forget gate.
    let forgetBias: Float

    init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        let (m, isLSTM) = (configuration.dimension, configuration.gate == .lstm)
        toGates =
            isLSTM
            ? .ofFullScale(
                2 * configuration.innerDimension, 2 * m, variance: 0.1, biasDeviation: 0.1, key: key.child(0))
            : nil
        emaBeta = isLSTM ? nil : Parameter(.normal([m], standardDeviation: 0.1, key: key.child(1)))
        forgetBias = Float(configuration.forgetBias ?? 1)
    }

    public func collect(into state: inout StateCollector) {
        toGates?.collect(into: &state)
        if let emaBeta { state.add("learned_ema_beta", emaBeta) }
    }
}

extension Linear {
    /// Makes a layer of normal weights whose outputs vary as much as its inputs, times `variance`: the authors' scaling,
    /// three times the variance of PyTorch's.
    /// - Parameter biasDeviation: the standard deviation of the bias; nil for none.
    static func ofFullScale(
        _ inputs: Int, _ outputs: Int, variance: Float = 1, biasDeviation: Float? = nil, key: RandomKey
    ) -> Linear {
        Linear(
            weight: .normal(
                [outputs, inputs], standardDeviation: (variance / Float(inputs)).squareRoot(), key: key.child(0)),
            bias: biasDeviation.map { .normal([outputs], standardDeviation: $0, key: key.child(1)) })
    }
}
