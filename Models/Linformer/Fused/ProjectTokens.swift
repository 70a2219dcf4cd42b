import Tensors

// The fused form of E x. A product of [k, n] and [b, n, c] would make a gradient of E for each sequence and sum them over the
// batch afterwards, and E is as long as a sequence: here all sequences add to one.

/// E x for each sequence of a batch.
///
/// - Parameters:
///   - e: [k, n], a view where one of the axes is dense.
///   - x: [b, n, c].
/// - Returns: [b, k, c].
func fusedProjectTokens(_ e: Tensor, _ x: Tensor) -> Tensor {
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
            (k, c, n), matrix.operand, .init(dense.pointer + row * n * c, stride: c), beta: 0,
            into: target + row * k * c, stride: c, inParallel: isAlone)
    }
    return .record("projectTokens", y, inputs: [e, dense]) { gradient, slots in
        let dy = gradient.contiguous()
        slots[0].accumulate { destination, beta in
            for row in 0..<b {
                multiply(
                    (k, n, c), .init(dy.pointer + row * k * c, stride: c),
                    .init(dense.pointer + row * n * c, stride: c, transposed: true), beta: row == 0 ? beta : 1,
                    into: destination, stride: n, inParallel: true)
            }
        }
        slots[1].accumulate { destination, beta in
            forEachSequence { row, isAlone in
                multiply(
                    (n, c, k), transposed.operand, .init(dy.pointer + row * k * c, stride: c), beta: beta,
                    into: destination + row * n * c, stride: c, inParallel: isAlone)
            }
        }
    }
}

/// Multiplies [m, k] and [k, n], on all threads or on this one.
private func multiply(
    _ sizes: (m: Int, n: Int, k: Int), _ a: BLAS.Operand, _ b: BLAS.Operand, beta: Float,
    into target: UnsafeMutablePointer<Float>, stride: Int, inParallel: Bool
) {
    if inParallel {
        BLAS.multiplyInParallel(sizes.m, sizes.n, sizes.k, a, b, beta: beta, target, stride: stride)
    } else {
        BLAS.multiply(sizes.m, sizes.n, sizes.k, a, b, beta: beta, target, stride: stride)
    }
}
