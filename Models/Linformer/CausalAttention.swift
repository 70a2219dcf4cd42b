import NN
import Tensors

// Attention to a bounded memory, Linformer's causal form: ABC: Attention with Bounded-memory Control, Peng et al. 2021,
// https://arxiv.org/abs/2110.02488.
//
// b batch, n tokens, h heads, d columns of a head, k slots

/// Attends causally to k slots that sum up the tokens so far (2110.02488, section 3):
///
///     K̄_t = K̄_{t−1} + e_t k_tᵀ      V̄_t = V̄_{t−1} + f_t v_tᵀ      o_t = dropout(softmax(σ q_t K̄_tᵀ)) V̄_t
///
/// - Parameters:
///   - q, k, v: [b, n, h, d]; the fused form reads views in place.
///   - e: what each token adds to each slot of the keys: columns 0 ..< n of a Linear weight, [k, n] for all heads or
///     [h, k, n].
///   - f: the same for the values; nil where it is `e` itself, whose gradient then is the sum of both.
///   - initialKeys, initialValues: the slots before the first token (the projections' biases), [k, d] or [h, k, d].
///   - scale: of the scores, σ.
///   - dropout: the probability with which a weight is dropped; takes a `key`.
/// - Returns: [b, n, h, d].
public func boundedMemoryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, e: Tensor, f: Tensor? = nil, initialKeys: Tensor, initialValues: Tensor,
    scale: Float, dropout: Double = 0, key: RandomKey? = nil, implementation: Implementation = .fused
) -> Tensor {
    require(
        q.rank == 4 && q.shape == k.shape && q.shape == v.shape,
        "boundedMemoryAttention: q \(q.shape), k \(k.shape), v \(v.shape); expected equal shapes [b, n, h, d]")
    if implementation == .fused {
        return fusedBoundedMemoryAttention(
            q, k, v, e: e, f: f, initialKeys: initialKeys, initialValues: initialValues, scale: scale,
            dropout: dropout, key: key)
    }
    let weights = boundedMemoryWeights(q, k, e, initialKeys: initialKeys, scale: scale, implementation: .plain)
    let p = Tensors.dropout(weights, probability: Float(dropout), key: key)  // [b, h, n, k]
    let values = slotsByToken(v, f ?? e, initial: initialValues)
    if values.isEmpty { return .zeros(q.shape) }
    return headsFirst(concatenate(values.indices.map { matrixProduct(token(p, $0), values[$0]) }, axis: 2))
}

/// The weights softmax(σ q_t K̄_tᵀ) of `boundedMemoryAttention` before dropout, [b, h, n, k]. No gradient flows through the
/// fused form, which is for looking at.
public func boundedMemoryWeights(
    _ q: Tensor, _ k: Tensor, _ e: Tensor, initialKeys: Tensor, scale: Float, implementation: Implementation = .fused
) -> Tensor {
    require(
        q.rank == 4 && q.shape == k.shape,
        "boundedMemoryWeights: q \(q.shape), k \(k.shape); expected equal shapes [b, n, h, d]")
    if implementation == .fused { return fusedBoundedMemoryWeights(q, k, e: e, initialKeys: initialKeys, scale: scale) }
    let (q, keys) = (headsFirst(q), slotsByToken(k, e, initial: initialKeys))
    if keys.isEmpty { return .zeros([q.shape[0], q.shape[1], 0, e.shape[e.rank - 2]]) }
    let scores = keys.indices.map { matrixProduct(token(q, $0), keys[$0], transposeB: true) }  // [b, h, 1, k] each
    return softmax(concatenate(scores, axis: 2) * scale)
}

/// The slots after each token, K̄_t = K̄_{t−1} + e_t k_tᵀ: n times [b, h, k, d]. x: [b, n, h, d]; e: [k, n] or [h, k, n]
private func slotsByToken(_ x: Tensor, _ e: Tensor, initial: Tensor) -> [Tensor] {
    let x = headsFirst(x)
    var slots = initial.expanded(to: [x.shape[0], x.shape[1]] + initial.shape.suffix(2))
    return (0..<x.shape[2]).map { t in
        slots = slots + e.sliced(-1, from: t, to: t + 1) * token(x, t)  // [k, 1] · [1, d]
        return slots
    }
}

/// [b, n, h, d] ↔ [b, h, n, d]
private func headsFirst(_ x: Tensor) -> Tensor { x.permuted([0, 2, 1, 3]) }

/// [b, h, n, d] → [b, h, 1, d]
private func token(_ x: Tensor, _ t: Int) -> Tensor { x.sliced(2, from: t, to: t + 1) }
