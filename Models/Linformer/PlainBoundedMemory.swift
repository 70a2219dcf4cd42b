import NN
import Tensors

// The plain form of Linformer's causal attention; that of its projected attention is NN's `plainAttention`.
//
// b batch, n tokens, h heads, d columns of a head, k slots

/// Causal attention to slots written token by token (2110.02488, section 3): K̄ += e_t k_tᵀ, V̄ += f_t v_tᵀ,
/// o_t = dropout(softmax(σ q_t K̄ᵀ)) V̄. The signature is `boundedMemoryAttention`'s.
func plainBoundedMemoryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, e: Tensor, f: Tensor? = nil, initialKeys: Tensor, initialValues: Tensor,
    scale: Float, dropout: Double = 0, key: RandomKey? = nil
) -> Tensor {
    let f = f ?? e
    require(
        q.rank == 4 && k.shape == q.shape && v.shape == q.shape,
        "boundedMemoryAttention: q \(q.shape), k \(k.shape), v \(v.shape), expected one shape [b, n, h, d]")
    let (b, n, h, d, slots) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3], initialKeys.shape[initialKeys.rank - 2])
    if n == 0 { return .zeros([b, n, h, d]) }
    let (q, k, v) = (headsFirst(q), headsFirst(k), headsFirst(v))  // [b, h, n, d]
    func token(_ x: Tensor, _ t: Int) -> Tensor { x.sliced(2, from: t, to: t + 1) }
    func column(_ x: Tensor, _ t: Int) -> Tensor { x.sliced(-1, from: t, to: t + 1) }
    var keys = initialKeys.expanded(to: [b, h, slots, d])
    var values = initialValues.expanded(to: [b, h, slots, d])
    var (weights, written): ([Tensor], [Tensor]) = ([], [])
    for t in 0..<n {
        keys = keys + column(e, t) * token(k, t)  // [k, 1] · [1, d]
        values = values + column(f, t) * token(v, t)
        weights.append(softmax(matrixProduct(token(q, t), keys, transposeB: true) * scale))  // [b, h, 1, k]
        written.append(values)
    }
    let p = Tensors.dropout(concatenate(weights, axis: 2), probability: Float(dropout), key: key)  // [b, h, n, k]
    return headsFirst(concatenate((0..<n).map { matrixProduct(token(p, $0), written[$0]) }, axis: 2))
}

/// [b, n, h, d] ↔ [b, h, n, d]
private func headsFirst(_ x: Tensor) -> Tensor { x.permuted([0, 2, 1, 3]) }
