import Tensors

/// E x for each sequence of a batch, in place of products whose gradients would be summed over the batch afterwards: E is
/// as long as the sequence.
///
/// - Parameters:
///   - e: [k, n], a view where one of the axes is dense.
///   - x: [b, n, c].
/// - Returns: [b, k, c].
func projectTokens(_ e: Tensor, _ x: Tensor) -> Tensor {
    require(
        e.rank == 2 && x.rank == 3 && e.shape[1] == x.shape[1],
        "projectTokens: \(e.shape) for x \(x.shape); expected [k, \(x.rank == 3 ? x.shape[1] : 0)]")
    let (k, n, b, c) = (e.shape[0], e.shape[1], x.shape[0], x.shape[2])
    let (matrix, transposed) = (MatrixView(e, false), MatrixView(e, true))
    let dense = x.contiguous()
    let y = Tensor(uninitialized: [b, k, c])
    /// Calls `body` with each sequence, several at a time where there are enough.
    @Sendable func forEachSequence(_ body: (Int, _ isAlone: Bool) -> Void) {
        if b < Threads.count {
            for row in 0..<b { body(row, true) }
            return
        }
        parallelFor(b) { body($0, false) }
    }
    let target = y.mutablePointer
    forEachSequence { row, isAlone in
        multiply(
            isAlone, k, c, n, matrix.operand, .init(dense.pointer + row * n * c, stride: c), 0, target + row * k * c, c)
    }
    return .record("projectTokens", y, inputs: [e, dense]) { gradient, slots in
        let dy = gradient.contiguous()
        slots[0].accumulate { destination, beta in
            for row in 0..<b {
                multiply(
                    true, k, n, c, .init(dy.pointer + row * k * c, stride: c),
                    .init(dense.pointer + row * n * c, stride: c, transposed: true), row == 0 ? beta : 1, destination, n
                )
            }
        }
        slots[1].accumulate { destination, beta in
            forEachSequence { row, isAlone in
                multiply(
                    isAlone, n, c, k, transposed.operand, .init(dy.pointer + row * k * c, stride: c), beta,
                    destination + row * n * c, c)
            }
        }
    }
}

private func multiply(
    _ isAlone: Bool, _ m: Int, _ n: Int, _ k: Int, _ a: BLAS.Operand, _ b: BLAS.Operand, _ beta: Float,
    _ target: UnsafeMutablePointer<Float>, _ stride: Int
) {
    if isAlone {
        BLAS.multiplyInParallel(m, n, k, a, b, beta: beta, target, stride: stride)
    } else {
        BLAS.multiply(m, n, k, a, b, beta: beta, target, stride: stride)
    }
}
