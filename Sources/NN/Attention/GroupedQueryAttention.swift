import Tensors

/// Attention of h heads to g heads of keys and values (Ainslie et al., 2305.13245): head i sees those of head ⌊i g / h⌋. One
/// head of keys is multi-query attention, as many as there are queries the attention of Vaswani et al. (1706.03762).
///
/// - Parameters:
///   - q: [b, n, h, d]; k: [b, m, g, d]; v: [b, m, g, e], h a multiple of g. Keys and values are read in place.
///   - scale, isCausal, reach: those of `multiQueryAttention`.
/// - Returns: [b, n, h, e].
public func groupedQueryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, isCausal: Bool = false, reach: Int? = nil,
    implementation: Implementation = .fused
) -> Tensor {
    var shapes: String { "groupedQueryAttention: q \(q.shape), k \(k.shape), v \(v.shape)" }
    require(q.rank == 4 && k.rank == 4 && v.rank == 4 && v.shape.dropLast() == k.shape.dropLast(), shapes)
    let (b, n, h, g, m) = (q.shape[0], q.shape[1], q.shape[2], k.shape[2], k.shape[1])
    require(b == k.shape[0] && q.shape[3] == k.shape[3] && g > 0 && h % g == 0, shapes)
    if g == 1 {
        return multiQueryAttention(
            q, k.squeezed(2), v.squeezed(2), scale: scale, isCausal: isCausal, reach: reach,
            implementation: implementation)
    }
    require(m > 0 && (!isCausal || n <= m), "\(shapes): too few keys")
    require(reach == nil || (isCausal && reach! >= 2), "\(shapes): reach \(reach ?? 0), expected at least 2, causal")
    switch implementation {
    case .plain:
        // Each head of keys, once for every head of queries that sees it: [b, h, m, …].
        func repeated(_ x: Tensor) -> Tensor {
            let heads = x.permuted([0, 2, 1, 3]).unsqueezed(2)
            return heads.expanded(to: [b, g, h / g, m, x.shape[3]]).reshaped([b, h, m, x.shape[3]])
        }
        let scores = matrixProduct(q.permuted([0, 2, 1, 3]), repeated(k), transposeB: true) * scale
        let weights =
            isCausal
            ? maskedSoftmax(scores, seen: causalMask(queries: n, keys: m, offset: m - n, reach: reach))
            : softmax(scores)
        return matrixProduct(weights, repeated(v)).permuted([0, 2, 1, 3])
    case .fused:
        // The queries that share keys are rows of one product: [b, n · h / g, g, d].
        let rows = q.reshaped([b, n, g, h / g, q.shape[3]]).permuted([0, 1, 3, 2, 4])
        let attention = DenseAttention(
            rows.reshaped([b, n * (h / g), g, q.shape[3]]), k, v,
            options: WindowAttentionOptions(.causal(reach, isCausal: isCausal, longest: max(n, m)), scale: scale),
            group: h / g, offset: isCausal ? m - n : 0)
        let heads = attention.record().reshaped([b, n, h / g, g, v.shape[3]])
        return heads.permuted([0, 1, 3, 2, 4]).reshaped([b, n, h, v.shape[3]])
    }
}

extension WindowPattern {
    /// The pattern of queries that see all keys, or all before them, or the last `reach` of those.
    static func causal(_ reach: Int?, isCausal: Bool, longest: Int) -> WindowPattern {
        reach.map { WindowPattern(window: $0 - 1, isCausal: true, isExact: true) }
            ?? WindowPattern(window: longest, isCausal: isCausal, lookBackward: 0, lookForward: 0)
    }
}
