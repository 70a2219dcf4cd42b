import CKernels
import Testing

@Suite struct FeatureTests {
    /// φ of rows in float64, straight from the definition.
    private func dpfp(_ x: [Double], _ d: Int, _ nu: Int, _ eps: Double) -> [Double] {
        stride(from: 0, to: x.count, by: d).flatMap { first -> [Double] in
            let row = x[first..<first + d]
            let r = row.map { max($0, 0) } + row.map { max(-$0, 0) }
            let y = (1...nu).flatMap { (j: Int) -> [Double] in
                r.indices.map { (i: Int) -> Double in r[i] * r[(i - j + r.count) % r.count] }
            }
            let total = y.reduce(0, +) + eps
            return eps < 0 ? y : y.map { $0 / total }
        }
    }

    @Test(
        "DPFP features and their gradients agree with float64",
        arguments: [(1, 1), (3, 1), (4, 3), (17, 2), (5, 9), (64, 1), (64, 3)], [-1, 1e-6, 0.5] as [Float])
    func dpfp(_ size: (Int, Int), eps: Float) {
        let ((d, nu), rows) = (size, 3)
        let (wide, stride) = (2 * d * nu, d + 2)
        let x = values(rows * stride)  // with something else between the rows
        let inside = (0..<rows).flatMap { x[$0 * stride..<$0 * stride + d] }
        var scratch = [Float](repeating: .nan, count: 2 * (2 * d + nu))
        let y = output(rows * wide) { az_dpfp_forward(rows, d, nu, eps, x, stride, $0, &scratch) }
        // A sum of up to 400 products, and a quotient.
        expectClose(
            y, dpfp(inside.map(Double.init), d, nu, Double(eps)), relative: 4e-6, absolute: 1e-12, "d \(d), nu \(nu)")

        let dy = values(rows * wide, seed: 2)
        let dx = output(rows * d) { az_dpfp_backward(rows, d, nu, eps, x, stride, dy, $0, d, &scratch) }
        let expected = numericalGradient(
            of: { dpfp($0, d, nu, Double(eps)) }, at: inside.map(Double.init), dy: dy.map(Double.init))
        let largest = expected.reduce(0) { max($0, abs($1)) }
        expectClose(dx, expected, relative: 1e-5, absolute: 1e-5 * largest, "gradient, d \(d), nu \(nu)")
    }

    /// As in PyTorch's relu.
    @Test("Zeros have zero features and zero gradients")
    func zeros() {
        let (d, nu) = (4, 2)
        let x: [Float] = [0, 1, 0, -2, 0, 0, 0, 0]
        var scratch = [Float](repeating: .nan, count: 2 * (2 * d + nu))
        let y = output(2 * 16) { az_dpfp_forward(2, d, nu, 1e-6, x, d, $0, &scratch) }
        #expect(y[16...].allSatisfy { $0 == 0 } && y[..<16].contains { $0 > 0 })
        let dy = values(2 * 16)
        let dx = output(2 * d) { az_dpfp_backward(2, d, nu, 1e-6, x, d, dy, $0, d, &scratch) }
        #expect(dx.indices.allSatisfy { (dx[$0] != 0) == (x[$0] != 0) })
    }

    /// u row after row: beta v − gamma (e + N u).
    private func substitute(
        _ n: [Double], _ beta: [Double], _ gamma: [Double], _ v: [Double], _ e: [Double], _ cols: Int
    ) -> (sums: [Double], updates: [Double]) {
        let rows = beta.count
        var (sums, u) = (e, [Double](repeating: 0, count: e.count))
        for i in 0..<rows {
            for c in 0..<cols {
                let place = i * cols + c
                for j in 0..<i {
                    let factor: Double = n[i * rows + j]
                    sums[place] += factor * u[j * cols + c]
                }
                u[place] = beta[i] * v[place] - gamma[i] * sums[place]
            }
        }
        return (sums, u)
    }

    @Test("Erasing substitution and its gradient agree with float64", arguments: [1, 2, 4, 5, 16, 33], [1, 7, 64])
    func substitution(_ rows: Int, _ cols: Int) {
        let (wide, step) = (rows + 3, 2)
        // What is on and above the diagonal may be anything.
        let small = values(rows * rows, scale: 0.3)
        var n = [Float](repeating: .nan, count: rows * wide)
        for i in 0..<rows { for j in 0..<i { n[i * wide + j] = small[i * rows + j] } }
        let beta = values(rows * step, seed: 2, scale: 0.5, offset: 0.5)
        let gamma = values(rows * step, seed: 3, scale: 0.5, offset: 0.5)
        let (v, e) = (values(rows * (cols + 1), seed: 4), values(rows * cols, seed: 5))
        func every(_ x: [Float], _ step: Int) -> [Double] { (0..<rows).map { Double(x[$0 * step]) } }
        let inside = (0..<rows).flatMap { (row: Int) -> ArraySlice<Float> in v.dropFirst(row * (cols + 1)).prefix(cols)
        }
        let dense = inside.map(Double.init)
        let expected = substitute(
            small.map(Double.init), every(beta, step), every(gamma, step), dense, e.map(Double.init), cols)
        var sums = e
        let u = output(rows * cols) {
            az_erasing_substitution_forward(rows, cols, n, wide, beta, step, gamma, step, v, cols + 1, &sums, $0)
        }
        // Each of up to 33 steps adds the rounding of those before.
        let scale = expected.updates.reduce(1) { max($0, abs($1)) }
        expectClose(u, expected.updates, relative: 1e-5, absolute: 1e-5 * scale, "u")
        expectClose(sums, expected.sums, relative: 1e-5, absolute: 1e-5 * scale, "e")

        let du = values(rows * cols, seed: 6)
        var r = du
        let x = output(rows * cols) { az_erasing_substitution_backward(rows, cols, n, wide, gamma, step, &r, $0) }
        // Columns do not meet, so each has differences of its own.
        func column(_ x: [Double], _ c: Int) -> [Double] { (0..<rows).map { x[$0 * cols + c] } }
        let (weights, b, g) = (small.map(Double.init), every(beta, step), every(gamma, step))
        let columns = (0..<cols).map { c in
            let v = column(dense, c)
            return numericalGradient(
                of: { substitute(weights, b, g, v, $0, 1).updates }, at: column(e.map(Double.init), c),
                dy: column(du.map(Double.init), c))
        }
        let gradient = (0..<rows * cols).map { columns[$0 % cols][$0 / cols] }
        let largest = gradient.reduce(1) { max($0, abs($1)) }
        expectClose(x, gradient, relative: 1e-5, absolute: 1e-5 * largest, "gradient of e")
        let shares = every(gamma, step)
        let negated = r.indices.map { -Double(r[$0]) * shares[$0 / cols] }
        expectClose(x, negated, relative: 1e-6, absolute: 1e-7, "x = −gamma r")
    }
}
