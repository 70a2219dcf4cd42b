import Tensors

/// The weights of `windowAttention`, to be looked at: with bias, masks and factors as it applies them, without dropout.
///
/// - Parameters:
///   - q, k: [b, n, h, d], or [b, h, n, d] with `headsFirst`.
/// - Returns: what each query takes of each key, 0 of those it does not see: [b, h, n, n]. Nothing is recorded for
///   backward. The row of a query whose keys are all masked has what it takes of the places inside the sequence.
public func windowAttentionWeights(
    _ q: Tensor, _ k: Tensor, headsFirst: Bool = false, options: WindowAttentionOptions,
    implementation: Implementation = .fused
) -> Tensor {
    require(q.rank == 4 && q.shape == k.shape, "windowAttentionWeights: q \(q.shape), k \(k.shape)")
    var options = options
    options.key = nil
    let rules = options
    let (queries, keys) = headsFirst ? (q, k) : (q.transposed(1, 2), k.transposed(1, 2))
    let (b, h, n) = (queries.shape[0], queries.shape[1], queries.shape[2])
    func attend(_ values: Tensor) -> Tensor {
        windowAttention(
            queries, keys, values.expanded(to: [b, h, n, values.shape[1]]), headsFirst: true, options: rules,
            implementation: implementation)
    }
    return withoutGradients {
        // P I = P: so these are the operation's own weights, whatever goes into them.
        let weights = attend(.identity(n))
        // A query that sees nothing takes −1 for places outside the sequence, which is the weight of no token.
        return options.mask == nil ? weights : weights - attend(.zeros([n, 1]))
    }
}
