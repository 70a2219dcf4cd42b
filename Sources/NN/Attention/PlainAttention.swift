import Tensors

// Attention as it is written, with every score computed and kept: the plain forms of `attention` and
// `multiQueryAttention`, to read and to compare with.
//
// b batch, h heads, n queries, m keys, d columns of queries and keys, e columns of values

/// The plain form of `attention`: softmax(scale · q kᵀ) v for each head.
///
/// - Parameters: those of `attention`.
/// - Returns: [b, n, h, e].
public func plainAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, isCausal: Bool = false, mask: Tensor? = nil,
    dropout probability: Double = 0, key: RandomKey? = nil
) -> Tensor {
    let weights = attentionWeights(q, k, scale: scale, isCausal: isCausal, mask: mask)  // [b, h, n, m]
    // The fused form counts the elements of rows of max(n, m).
    let (n, m) = (q.shape[1], k.shape[1])
    let kept = dropout(
        weights.padded(axis: 3, after: max(n, m) - m), probability: Float(probability), key: key
    ).sliced(3, to: m)
    return matrixProduct(kept, v.permuted([0, 2, 1, 3])).permuted([0, 2, 1, 3])
}

/// The weights of `attention`, 0 where a query sees no key: [b, h, n, m].
///
/// - Parameters: those of `attention`.
public func attentionWeights(
    _ q: Tensor, _ k: Tensor, scale: Float, isCausal: Bool = false, mask: Tensor? = nil
) -> Tensor {
    let (b, n, h, m) = (q.shape[0], q.shape[1], q.shape[2], k.shape[1])
    var seen = isCausal ? causalMask(queries: n, keys: m, offset: 0) : .ones([n, m])
    if let mask { seen = seen * mask.reshaped([b, mask.shape[0] == b ? 1 : h, 1, m]) }
    return maskedSoftmax(
        matrixProduct(q.permuted([0, 2, 1, 3]), k.permuted([0, 2, 1, 3]), transposeB: true) * scale, seen: seen)
}

/// The plain form of `multiQueryAttention`: softmax(scale · q kᵀ) v for each head, all of which share k and v.
///
/// - Parameters: those of `multiQueryAttention`.
/// - Returns: [b, n, h, e].
public func plainMultiQueryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, isCausal: Bool = false, reach: Int? = nil
) -> Tensor {
    let weights = multiQueryAttentionWeights(q, k, scale: scale, isCausal: isCausal, reach: reach)
    return matrixProduct(weights, v.unsqueezed(1)).permuted([0, 2, 1, 3])
}

/// The weights of `multiQueryAttention`: [b, h, n, m].
///
/// - Parameters: those of `multiQueryAttention`.
public func multiQueryAttentionWeights(
    _ q: Tensor, _ k: Tensor, scale: Float, isCausal: Bool = false, reach: Int? = nil
) -> Tensor {
    let (n, m) = (q.shape[1], k.shape[1])
    let scores = matrixProduct(q.permuted([0, 2, 1, 3]), k.unsqueezed(1), transposeB: true) * scale
    guard isCausal else { return softmax(scores) }
    return maskedSoftmax(scores, seen: causalMask(queries: n, keys: m, offset: m - n, reach: reach))
}

/// Attention of heads that share keys and values, in either form; see the function without `implementation`.
public func multiQueryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, isCausal: Bool = false, reach: Int? = nil,
    implementation: Implementation
) -> Tensor {
    switch implementation {
    case .plain: plainMultiQueryAttention(q, k, v, scale: scale, isCausal: isCausal, reach: reach)
    case .fused: multiQueryAttention(q, k, v, scale: scale, isCausal: isCausal, reach: reach)
    }
}

/// Keys that causal queries see, as 1, else 0: [n, m].
/// - Parameters:
///   - offset: the key at which the first query stands.
///   - reach: the number of keys a query sees at most, its own included; nil for all before it.
func causalMask(queries n: Int, keys m: Int, offset: Int, reach: Int? = nil) -> Tensor {
    let past = Tensor.lowerTriangle(n, m, diagonal: offset)
    guard let reach else { return past }
    return past - .lowerTriangle(n, m, diagonal: offset - reach)
}

/// The softmax over the keys that are seen, zeros where none is.
func maskedSoftmax(_ scores: Tensor, seen: Tensor) -> Tensor {
    softmax(select(seen, scores, -1e30)) * seen
}
