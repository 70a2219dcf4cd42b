import NN
import Tensors

/// What the states become: h is what attention (or a feed-forward layer) has made of them, z = W h + b.
///
///     fixed: S' = β ⊙ z + (1 − β) ⊙ S,  β = σ(learned_ema_beta)
///     lstm:  S' = σ(f + 1) ⊙ S + σ(i − 1) ⊙ tanh(z)
///
/// (2203.07852, equations 4 to 8; the peer's β is the share of the new.) Keys: state_out_to_gate.{weight, bias};
/// learned_ema_beta [m] of the fixed gate.
public struct StateGate: Module {
    /// W, b: m outputs; of the LSTM's gate 3 m, of which z comes first, then i, then f.
    public let toGate: Linear
    /// learned_ema_beta, b_β: what goes to σ is the share of the new in each column. Nil for the LSTM's.
    public let emaBeta: Parameter?

    init(_ kind: StateGateKind, _ dimension: Int, key: RandomKey) {
        toGate = Linear(dimension, kind == .lstm ? 3 * dimension : dimension, key: key.child(0))
        emaBeta =
            kind == .lstm ? nil : Parameter(.normal([dimension], standardDeviation: 0.1, key: key.child(1)))
    }

    /// states, h: [b, s, m] → [b, s, m]
    func callAsFunction(_ states: Tensor, _ h: Tensor) -> Tensor {
        guard let emaBeta else {
            let parts = toGate(h).split(count: 3)
            return states * sigmoid(parts[2] + 1) + tanh(parts[0]) * sigmoid(parts[1] - 1)
        }
        let new = sigmoid(emaBeta.value)
        return toGate(h) * new + states * (1 - new)
    }

    public func collect(into state: inout StateCollector) {
        state.add("state_out_to_gate", toGate)
        if let emaBeta { state.add("learned_ema_beta", emaBeta) }
    }
}
