import CKernels
import Testing

@Suite struct VectorTests {
    static let rows = [1, 2, 3, 8]
    static let columns = [0, 1, 15, 16, 31, 32, 33, 100, 1365]

    /// Rows wider than the matrix, with NaN between them.
    private func matrix(_ rows: Int, _ cols: Int) -> [Float] {
        let inside = values(rows * cols)
        return (0..<rows).flatMap { inside[$0 * cols..<($0 + 1) * cols] + [.nan, .nan, .nan] }
    }

    @Test("A matrix times a vector agrees with float64", arguments: rows, columns)
    func matrixTimesVector(_ rows: Int, _ cols: Int) {
        let stride = cols + 3
        let (w, x, before) = (matrix(rows, cols), values(cols, seed: 2), values(rows, seed: 3))
        let sums = (0..<rows).map { r in
            (0..<cols).reduce(0.0) { $0 + Double(w[r * stride + $1]) * Double(x[$1]) }
        }
        // Each addition rounds a partial sum of up to 12 by at most 7e-7, in either direction.
        let tolerance = 1e-6 * (1 + Double(cols).squareRoot())
        for (alpha, beta) in [(1, 0), (1, 1), (-0.5, 0.75)] as [(Float, Float)] {
            let y = output(rows, initially: beta == 0 ? nil : before) {
                az_matrix_vector(rows, cols, alpha, w, stride, x, beta, $0)
            }
            let expected = (0..<rows).map {
                Double(alpha) * sums[$0] + (beta == 0 ? 0 : Double(beta) * Double(before[$0]))
            }
            expectClose(y, expected, relative: 2e-7, absolute: tolerance, "alpha \(alpha), beta \(beta)")
        }
    }

    /// So not on how threads share them.
    @Test("A row's bits do not depend on the rows multiplied with it", arguments: columns)
    func eachRowIsOnItsOwn(_ cols: Int) {
        let (rows, stride) = (7, cols + 3)
        let (w, x) = (matrix(rows, cols), values(cols, seed: 2))
        let whole = output(rows) { az_matrix_vector(rows, cols, 1, w, stride, x, 0, $0) }
        for count in 1...rows {
            for first in 0...rows - count {
                let part = w.withUnsafeBufferPointer { w in
                    output(count) {
                        az_matrix_vector(count, cols, 1, w.baseAddress! + first * stride, stride, x, 0, $0)
                    }
                }
                expectSame(part, Array(whole[first..<first + count]))
            }
        }
    }

    @Test("A matrix grown by an outer product is multiplied as grown", arguments: rows, columns)
    func matrixThatGrows(_ rows: Int, _ cols: Int) {
        let (stride, step) = (cols + 3, 5)
        let (w, v, x) = (matrix(rows, cols), values(cols, seed: 2), values(cols, seed: 3))
        let (u, weights) = (values(rows * step, seed: 4), values(rows, seed: 5))
        let grown = (0..<rows * stride).map { place in
            let column = place % stride
            return column < cols
                ? Double(w[place]) + Double(u[place / stride * step]) * Double(v[column]) : .nan
        }
        // As above: sums of up to 1365 terms.
        let tolerance = 1e-6 * (1 + Double(cols).squareRoot())
        var sums: [Float] = []
        let first = output(rows * stride, initially: w) { w in
            sums = output(rows) { az_outer_matrix_vector(rows, cols, u, step, v, w, stride, -0.5, x, $0) }
        }
        expectClose(first, grown, relative: 2e-7, absolute: 1e-6, "w")
        let dots = (0..<rows).map { r in -0.5 * (0..<cols).reduce(0.0) { $0 + grown[r * stride + $1] * Double(x[$1]) } }
        expectClose(sums, dots, relative: 2e-7, absolute: 4 * tolerance, "w x")
        let second = output(rows * stride, initially: w) { w in
            sums = output(cols) { az_outer_vector_matrix(rows, cols, u, step, v, w, stride, weights, $0) }
        }
        expectSame(second, first, "w")
        let columns = (0..<cols).map { c in (0..<rows).reduce(0.0) { $0 + grown[$1 * stride + c] * Double(weights[$1]) }
        }
        expectClose(sums, columns, relative: 2e-7, absolute: 1e-5, "x w")
    }

    @Test("NaN and infinity stay in their row")
    func specialValues() {
        var w = values(4 * 40)
        (w[3], w[40 + 38], w[80 + 20]) = (.nan, .infinity, -.infinity)
        let y = output(4) { az_matrix_vector(4, 40, 1, w, 40, [Float](repeating: 1, count: 40), 0, $0) }
        #expect(y[0].isNaN && y[1] == .infinity && y[2] == -.infinity && y[3].isFinite)
    }
}
