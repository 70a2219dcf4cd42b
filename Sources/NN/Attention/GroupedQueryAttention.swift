import Tensors

/// Attention of h heads to g heads of keys and values (Ainslie et al., 2305.13245): head i sees those of head ⌊i g / h⌋. One
/// head of keys is multi-query attention, as many as there are queries the attention of Vaswani et al. (1706.03762).
///
/// - Parameters:
///   - q: [b, n, h, d]; k: [b, m, g, d]; v: [b, m, g, e], h a multiple of g. Keys and values are read in place.
///   - scale, isCausal, reach: those of `multiQueryAttention`.
///   - bias: what is added to the scores of causal queries by the distance of the key, the farthest first: [h, r], r at least
///     m, of which the last column is that of a query's own key; nil for none.
/// - Returns: [b, n, h, e].
public func groupedQueryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, isCausal: Bool = false, reach: Int? = nil,
    bias: Tensor? = nil, implementation: Implementation = .fused
) -> Tensor {
    var shapes: String { "groupedQueryAttention: q \(q.shape), k \(k.shape), v \(v.shape)" }
    require(q.rank == 4 && k.rank == 4 && v.rank == 4 && v.shape.dropLast() == k.shape.dropLast(), shapes)
    let (b, n, h, g, m) = (q.shape[0], q.shape[1], q.shape[2], k.shape[2], k.shape[1])
    require(b == k.shape[0] && q.shape[3] == k.shape[3] && g > 0 && h % g == 0, shapes)
    require(m > 0 && (!isCausal || n <= m), "\(shapes): too few keys")
    require(reach == nil || (isCausal && reach! >= 2), "\(shapes): reach \(reach ?? 0), expected at least 2, causal")
    if let bias {
        require(
            isCausal && bias.rank == 2 && bias.shape[0] == h && bias.shape[1] >= m,
            "\(shapes): bias \(bias.shape), expected [\(h), \(m) or more], causal")
    }
    if g == 1 && bias == nil {
        return multiQueryAttention(
            q, k.squeezed(2), v.squeezed(2), scale: scale, isCausal: isCausal, reach: reach,
            implementation: implementation)
    }
    let last = bias.map { $0.sliced(1, from: $0.shape[1] - m) }
    switch implementation {
    case .plain:
        let heads = [k, v].map { repeated($0, h / g).permuted([0, 2, 1, 3]) }  // [b, h, m, …]
        var scores = matrixProduct(q.permuted([0, 2, 1, 3]), heads[0], transposeB: true) * scale
        if let last { scores = scores + byPair(last, queries: n) }
        let weights =
            isCausal
            ? maskedSoftmax(scores, seen: causalMask(queries: n, keys: m, offset: m - n, reach: reach))
            : softmax(scores)
        return matrixProduct(weights, heads[1]).permuted([0, 2, 1, 3])
    case .fused:
        if let last { return biasedAttention(q, k, v, scale: scale, reach: reach, bias: last) }
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

/// Causal attention with a bias by distance, [h, m], as sliding-window attention: that has a query at each key and heads of
/// their own, so queries that nobody reads come before the others, and heads of keys are repeated.
private func biasedAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, reach: Int?, bias: Tensor
) -> Tensor {
    let (n, h, m) = (q.shape[1], q.shape[2], k.shape[1])
    var options = WindowAttentionOptions(.causal(reach, isCausal: true, longest: m), scale: scale)
    options.bias = .byDistance(bias, origin: m - 1)
    let share = h / k.shape[2]
    return windowAttention(
        q.padded(axis: 1, before: m - n), repeated(k, share), repeated(v, share), headsFirst: false, options: options
    )
    .sliced(1, from: m - n)
}

/// Repeats each head for all heads of queries that see it. [b, m, g, d] → [b, m, g · count, d]
private func repeated(_ x: Tensor, _ count: Int) -> Tensor {
    if count == 1 { return x }
    let (b, m, g, d) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    return x.unsqueezed(3).expanded(to: [b, m, g, count, d]).reshaped([b, m, g * count, d])
}

/// Spreads a bias by distance, [h, m], over pairs of the last n queries and m keys: [h, n, m]. A key after its query, which
/// it does not see, gets any.
private func byPair(_ bias: Tensor, queries n: Int) -> Tensor {
    let (h, m) = (bias.shape[0], bias.shape[1])
    let columns = (0..<n).flatMap { i in (0..<m).map { j in Int32(min(n - 1 - i + j, m - 1)) } }
    return bias.taking(TokenTensor(columns, shape: [n, m]), axis: 1).reshaped([h, n, m])
}

extension WindowPattern {
    /// The pattern of queries that see all keys, or all before them, or the last `reach` of those.
    static func causal(_ reach: Int?, isCausal: Bool, longest: Int) -> WindowPattern {
        reach.map { WindowPattern(window: $0 - 1, isCausal: true, isExact: true) }
            ?? WindowPattern(window: longest, isCausal: isCausal, lookBackward: 0, lookForward: 0)
    }
}
