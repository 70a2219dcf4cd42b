import Tensors

/// Attention whose heads share one set of keys and values (Shazeer, 1911.02150): softmax(scale · q kᵀ) v for each head. The
/// heads of a token are rows of one product, so that keys and values are read once for all of them.
///
/// - Parameters:
///   - q: [b, n, h, d]; k: [b, m, d]; v: [b, m, e]. Keys and values are read in place, also expanded over the batch.
///   - isCausal: whether the queries are at the last n keys (n ≤ m) and see none after their own.
///   - reach: the number of keys, its own included, that a causal query sees at most, at least 2; nil for all.
/// - Returns: [b, n, h, e].
public func multiQueryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, isCausal: Bool = false, reach: Int? = nil
) -> Tensor {
    var shapes: String { "multiQueryAttention: q \(q.shape), k \(k.shape), v \(v.shape)" }
    require(q.rank == 4 && k.rank == 3 && v.rank == 3 && v.shape.dropLast() == k.shape.dropLast(), shapes)
    require(q.shape[0] == k.shape[0] && q.shape[3] == k.shape[2], shapes)
    let (b, n, h, m) = (q.shape[0], q.shape[1], q.shape[2], k.shape[1])
    require(m > 0 && (!isCausal || n <= m), "\(shapes): too few keys")
    require(reach == nil || (isCausal && reach! >= 2), "\(shapes): reach \(reach ?? 0), expected at least 2, causal")
    let pattern = WindowPattern.causal(reach, isCausal: isCausal, longest: max(n, m))
    let attention = DenseAttention(
        q.reshaped([b, n * h, 1, q.shape[3]]), k.unsqueezed(2), v.unsqueezed(2),
        options: WindowAttentionOptions(pattern, scale: scale), group: h, offset: isCausal ? m - n : 0)
    return attention.record().reshaped([b, n, h, v.shape[2]])
}
