import AttentionZooTestSupport
import Tensors
import Testing

/// A product with row strides wider than the matrices, whose gaps are NaN: reading one spoils the result.
private struct Product {
    let m: Int, n: Int, k: Int, transposeA: Bool, transposeB: Bool
    private let a: Tensor, b: Tensor, c: Tensor
    /// Σ a b by definition, and without signs, [m, n].
    private let sums: [Double], magnitudes: [Double]

    init(_ m: Int, _ n: Int, _ k: Int, _ transposeA: Bool, _ transposeB: Bool) {
        func matrix(_ rows: Int, _ columns: Int, _ seed: UInt64) -> Tensor {
            sample([rows, columns], seed: seed).padded(axis: 1, after: 3, value: .nan)
        }
        (self.m, self.n, self.k, self.transposeA, self.transposeB) = (m, n, k, transposeA, transposeB)
        a = transposeA ? matrix(k, m, 1) : matrix(m, k, 1)
        b = transposeB ? matrix(n, k, 2) : matrix(k, n, 2)
        c = matrix(m, n, 3)
        let (pa, pb) = (a.pointer, b.pointer)
        let (ai, al) = transposeA ? (1, a.shape[1]) : (a.shape[1], 1)
        let (bl, bj) = transposeB ? (1, b.shape[1]) : (b.shape[1], 1)
        var sums = [Double](repeating: 0, count: m * n)
        var magnitudes = sums
        for i in 0..<m {
            for j in 0..<n {
                for l in 0..<k {
                    let product = Double(pa[i * ai + l * al]) * Double(pb[l * bl + j * bj])
                    sums[i * n + j] += product
                    magnitudes[i * n + j] += abs(product)
                }
            }
        }
        (self.sums, self.magnitudes) = (sums, magnitudes)
    }

    /// The largest error of C = alpha A B + beta C in units of what rounding allows; infinite where a gap of C was written
    /// to or C is not finite.
    func error(alpha: Float, beta: Float, inParallel: Bool) -> Double {
        // With beta = 0 the destination may hold anything.
        let before = beta == 0 ? [Float](repeating: .nan, count: c.count) : c.values
        let after = Tensor(before, shape: c.shape)
        let x = BLAS.Operand(a.pointer, stride: a.shape[1], transposed: transposeA)
        let w = BLAS.Operand(b.pointer, stride: b.shape[1], transposed: transposeB)
        if inParallel {
            BLAS.multiplyInParallel(m, n, k, alpha: alpha, x, w, beta: beta, after.mutablePointer, stride: n + 3)
        } else {
            BLAS.multiply(m, n, k, alpha: alpha, x, w, beta: beta, after.mutablePointer, stride: n + 3)
        }
        var worst = 0.0
        for (place, value) in after.values.enumerated() {
            let (i, j) = (place / (n + 3), place % (n + 3))
            if j >= n {
                if !value.isNaN { return .infinity }
                continue
            }
            let old = beta == 0 ? 0 : Double(beta) * Double(before[place])
            let expected = Double(alpha) * sums[i * n + j] + old
            // k products and their sum, alpha, and what is added.
            let bound = Rounding.bound(k + 3, of: abs(Double(alpha)) * magnitudes[i * n + j] + abs(old))
            let difference = abs(Double(value) - expected) / bound
            if difference.isNaN { return .infinity }
            worst = max(worst, difference)
        }
        return worst
    }
}

@Suite struct BLASTests {
    static let sizes = [
        (1, 1, 1), (1, 17, 5), (1, 15, 9), (1, 100, 33), (3, 1, 4), (2, 3, 0), (1, 4, 0), (0, 3, 2), (3, 0, 2),
        (17, 5, 9), (33, 47, 65), (5, 300, 7),
        (2, 64, 64), (8, 130, 64), (3, 63, 64), (9, 70, 64),  // around the kernel of few rows
    ]
    static let transposes = [(false, false), (false, true), (true, false), (true, true)]

    @Test("Products of all sizes and transposes agree with float64", arguments: sizes, transposes)
    func products(_ size: (Int, Int, Int), _ transposes: (Bool, Bool)) {
        let product = Product(size.0, size.1, size.2, transposes.0, transposes.1)
        for alpha: Float in [1, -0.5] {
            for beta: Float in [0, 1, 0.75] {
                for inParallel in [false, true] {
                    let error = product.error(alpha: alpha, beta: beta, inParallel: inParallel)
                    #expect(error <= 1, "alpha \(alpha), beta \(beta), parallel: \(inParallel)")
                }
            }
        }
    }

    /// In a process of its own, as the number of threads is shared.
    @Test("Products agree with float64 on any number of threads")
    func productsOnAnyNumberOfThreads() async {
        await #expect(processExitsWith: .success) {
            // Split by rows, by columns, and too small to be split.
            for (m, n, k) in [(130, 70, 33), (9, 700, 65), (8, 700, 64), (1, 2000, 70), (7, 9, 11)] {
                for (a, b) in BLASTests.transposes {
                    let product = Product(m, n, k, a, b)
                    for threads in [1, 2, 3, 5] {
                        Threads.count = threads
                        for beta: Float in [0, 0.75] {
                            let error = product.error(alpha: -0.5, beta: beta, inParallel: true)
                            require(error <= 1, "\(m) × \(n) × \(k) on \(threads) threads: error \(error)")
                        }
                    }
                }
            }
        }
    }

    @Test("Operations are counted, forward and backward")
    func countsOperations() async {
        await #expect(processExitsWith: .success) {
            func operations(_ body: () -> Void) -> Int {
                let before = BLAS.operationCount
                body()
                return BLAS.operationCount - before
            }
            let (a, b) = (Tensor.ones([4, 30, 50]), Tensor.ones([50, 70]))
            require(operations { _ = matrixProduct(a, b) } == 2 * 4 * 30 * 50 * 70, "forward")
            let x = a.requiringGradient()
            let loss = matrixProduct(x, b).sum()
            require(operations { _ = gradients(of: loss) } == 2 * 4 * 30 * 50 * 70, "one gradient")
            require(operations { _ = matrixProduct(.ones([1, 30]), .ones([30, 40])) } == 2 * 30 * 40, "one row")
            require(operations { _ = matrixProduct(.ones([3, 0]), .ones([0, 4])) } == 0, "no inner length")
            Threads.count = 3
            require(
                operations { _ = matrixProduct(.ones([99, 98]), .ones([98, 97])) } == 2 * 99 * 98 * 97, "in parallel")
        }
    }
}
