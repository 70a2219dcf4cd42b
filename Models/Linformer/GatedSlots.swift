import NN
import Tensors

// Gated slots, Linformer's causal form with forgetting: Gated Slot Attention for Efficient Linear-Time Sequence Modeling,
// Zhang et al. 2024, https://arxiv.org/abs/2409.07146. Tokens decide how much of each slot they replace, so slots belong to
// no position and a sequence may have any length.
//
// b batch, n tokens, h heads, d columns of a query and key, dv columns of a value, m slots

/// The slots of b sequences: all that later tokens know of the tokens so far. Gradients flow through it.
public struct GatedSlots: Sendable {
    /// K̄, [b, h, m, d].
    public var keys: Tensor
    /// V̄, [b, h, m, dv].
    public var values: Tensor

    /// Creates slots of given keys, [b, h, m, d], and values, [b, h, m, dv].
    public init(keys: Tensor, values: Tensor) { (self.keys, self.values) = (keys, values) }

    /// Makes slots of zeros, which hold nothing.
    public static func empty(_ shape: GatedSlotShape) -> GatedSlots {
        GatedSlots(keys: .zeros(shape.keys), values: .zeros(shape.values))
    }
}

/// Attends causally to m slots that forget (2409.07146, equations 5 and 6):
///
///     K̄_t = diag(α_t) K̄_{t−1} + (1 − α_t) k_tᵀ      V̄_t = diag(α_t) V̄_{t−1} + (1 − α_t) v_tᵀ
///     o_t = V̄_tᵀ dropout(softmax(σ K̄_t q_t))
///
/// A token with α = 1 leaves the slots as they are.
///
/// - Parameters:
///   - q, k: [b, n, h, d]; the fused form reads views in place.
///   - v: [b, n, h, dv].
///   - logForget: ln α, at most 0, [b, n, h, m].
///   - state: the slots before the first token; nil for zeros.
///   - scale: of the scores, σ; it multiplies nothing else.
///   - dropout: the probability with which a weight is dropped; takes a `key`.
/// - Returns: [b, n, h, dv], and the slots after the last token. Gradients flow through both.
public func gatedSlotAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, logForget: Tensor, state: GatedSlots? = nil, scale: Float,
    dropout: Double = 0, key: RandomKey? = nil, implementation: Implementation = .fused
) -> (output: Tensor, state: GatedSlots) {
    let shape = GatedSlotShape(q, k, v, logForget: logForget, state: state)
    if implementation == .fused {
        return fusedGatedSlotAttention(
            q, k, v, logForget: logForget, state: state, scale: scale, dropout: dropout, key: key)
    }
    let start = state ?? .empty(shape)
    let keys = slotsByToken(k, logForget, from: start.keys)  // n + 1 times [b, h, m, d]
    let values = slotsByToken(v, logForget, from: start.values)
    let weights = slotWeights(q, keys, scale: scale, shape)  // [b, h, n, m]
    let p = Tensors.dropout(weights, probability: Float(dropout), key: key)
    let read = (0..<shape.n).map { matrixProduct(p.sliced(2, from: $0, to: $0 + 1), values[$0 + 1]) }
    let output = read.isEmpty ? .zeros(shape.output) : concatenate(read, axis: 2).transposed(1, 2)
    return (output, GatedSlots(keys: keys[shape.n], values: values[shape.n]))
}

/// Computes the weights softmax(σ K̄_t q_t) of `gatedSlotAttention` before dropout, [b, h, n, m]. No gradient flows through
/// the fused form, which is for looking at.
public func gatedSlotWeights(
    _ q: Tensor, _ k: Tensor, logForget: Tensor, state: GatedSlots? = nil, scale: Float,
    implementation: Implementation = .fused
) -> Tensor {
    let shape = GatedSlotShape(
        q, k, k, logForget: logForget, state: state.map { .init(keys: $0.keys, values: $0.keys) })
    if implementation == .fused {
        return GatedSlotAttention(q, k, k, logForget: logForget, state: nil, scale: scale).weights(from: state?.keys)
    }
    let start = state?.keys ?? .zeros(shape.keys)
    return slotWeights(q, slotsByToken(k, logForget, from: start), scale: scale, shape)
}

/// softmax(σ K̄_t q_t) of every token, [b, h, n, m]. keys: K̄ before the first token and after each.
private func slotWeights(_ q: Tensor, _ keys: [Tensor], scale: Float, _ shape: GatedSlotShape) -> Tensor {
    let scores = (0..<shape.n).map { t in
        matrixProduct(q.at(1, t).unsqueezed(2), keys[t + 1], transposeB: true)  // [b, h, 1, m]
    }
    return scores.isEmpty ? .zeros(shape.weights) : softmax(concatenate(scores, axis: 2) * scale)
}

/// The slots before the first token and after each, n + 1 times [b, h, m, d]. x: [b, n, h, d]
private func slotsByToken(_ x: Tensor, _ logForget: Tensor, from start: Tensor) -> [Tensor] {
    let alpha = exp(logForget)
    let share = tanh(logForget / -2) * (1 + alpha)  // 1 − α, exact where α is nearly 1
    var all = [start]
    for t in 0..<x.shape[1] {
        let (kept, written) = (alpha.at(1, t).unsqueezed(-1), share.at(1, t).unsqueezed(-1))  // [b, h, m, 1]
        all.append(kept * all[t] + written * x.at(1, t).unsqueezed(2))
    }
    return all
}

/// The sizes of gated slot attention; stops with the shapes where inputs do not fit each other.
public struct GatedSlotShape: Sendable {
    /// Sequences, tokens, heads, columns of a query and of a value, slots.
    public let b: Int, n: Int, h: Int, d: Int, dv: Int, m: Int

    /// Creates the sizes of inputs that are not at hand.
    public init(b: Int, n: Int, h: Int, d: Int, dv: Int, m: Int) {
        (self.b, self.n, self.h, self.d, self.dv, self.m) = (b, n, h, d, dv, m)
    }

    init(_ q: Tensor, _ k: Tensor, _ v: Tensor, logForget: Tensor, state: GatedSlots?) {
        require(
            q.rank == 4 && q.shape == k.shape && v.rank == 4 && v.shape.prefix(3) == q.shape.prefix(3)
                && logForget.rank == 4 && logForget.shape.prefix(3) == q.shape.prefix(3) && logForget.shape[3] > 0,
            "gatedSlotAttention: q \(q.shape), k \(k.shape), v \(v.shape), logForget \(logForget.shape); expected q and k "
                + "[b, n, h, d], v [b, n, h, dv], logForget [b, n, h, m]")
        self.init(
            b: q.shape[0], n: q.shape[1], h: q.shape[2], d: q.shape[3], dv: v.shape[3], m: logForget.shape[3])
        require(
            state == nil || (state!.keys.shape == keys && state!.values.shape == values),
            "gatedSlotAttention: state \(state?.keys.shape ?? []), \(state?.values.shape ?? []); expected \(keys), "
                + "\(values)")
    }

    var keys: [Int] { [b, h, m, d] }
    var values: [Int] { [b, h, m, dv] }
    var output: [Int] { [b, n, h, dv] }
    var weights: [Int] { [b, h, n, m] }
}
