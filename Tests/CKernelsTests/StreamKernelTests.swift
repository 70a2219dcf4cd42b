import CKernels
import Foundation
import Testing

@Suite struct StreamKernelTests {
    /// Numbers of vectors: blocks of 4, 2 and 1 in all combinations. Lengths: rests of 64, 32 and 16 columns.
    private static let counts = [1, 2, 3, 4, 5, 6, 7, 9]
    private static let lengths = [1, 15, 16, 37, 64, 117]

    /// Calls `body` with vectors as kernels take them: source s of `rows` rows lies at x[s * rows * d…], the last one is
    /// the same for all rows.
    private func withVectors<R>(_ x: [Float], _ rows: Int, _ count: Int, _ d: Int, _ body: ([az_vectors]) -> R) -> R {
        x.withUnsafeBufferPointer { x in
            body((0..<count).map { az_vectors(first: x.baseAddress! + $0 * rows * d, row: $0 == count - 1 ? 0 : d) })
        }
    }

    /// Element i of source s in a row.
    private func element(_ x: [Float], _ s: Int, _ r: Int, _ i: Int, _ rows: Int, _ count: Int, _ d: Int) -> Double {
        Double(x[(s * rows + (s == count - 1 ? 0 : r)) * d + i])
    }

    /// A sum of 9 products of values below 4 in float32: 9 roundings to 2⁻²⁴ of up to 36.
    @Test("Mixes of streams agree with float64", arguments: counts, lengths)
    func mixes(_ count: Int, _ d: Int) {
        let rows = 3
        for outputs in [1, 2, 3, 4, 6, 7] {
            let x = values(count * rows * d)
            let w = values(rows * count * outputs * 2, seed: 2)
            for base in [nil, values(rows * outputs * d, seed: 3)] {
                let y = withVectors(x, rows, count, d) { vectors in
                    output(rows * outputs * d, initially: base) { y in
                        // Weights with gaps: [rows, outputs, sources, 2].
                        az_mix_rows(
                            rows, d, count, outputs, vectors, w, count * outputs * 2, 2, count * 2,
                            base == nil ? nil : UnsafePointer(y), y)
                    }
                }
                let expected = (0..<rows * outputs * d).map { place in
                    let (r, t, i) = (place / (outputs * d), place / d % outputs, place % d)
                    return (0..<count).reduce(Double(base?[place] ?? 0)) {
                        $0 + Double(w[((r * outputs + t) * count + $1) * 2]) * element(x, $1, r, i, rows, count, d)
                    }
                }
                expectClose(y, expected, absolute: 9 * 36 * 0x1p-24, "\(outputs) outputs")
            }
        }
    }

    /// Sums of 117 products below 4, over 16 lanes: some 12 roundings to 2⁻²⁴ of up to 470.
    @Test("Dot products and squares of streams agree with float64", arguments: counts, lengths)
    func dotProducts(_ n: Int, _ d: Int) {
        let rows = 3
        for m in [1, 2, 3, 4, 6, 7] {
            let (a, b) = (values(n * rows * d), values(m * rows * d, seed: 2))
            var squares: [Float] = []
            let y = withVectors(a, rows, n, d) { left in
                withVectors(b, rows, m, d) { right in
                    let y = output(rows * n * m) { y in
                        squares = output(rows * n) { az_dot_rows(rows, d, n, m, left, right, y, $0) }
                    }
                    expectSame(output(rows * n * m) { az_dot_rows(rows, d, n, m, left, right, $0, nil) }, y)
                    return y
                }
            }
            let expected = (0..<rows * n * m).map { place in
                let (r, i, j) = (place / (n * m), place / m % n, place % m)
                return (0..<d).reduce(0) {
                    $0 + element(a, i, r, $1, rows, n, d) * element(b, j, r, $1, rows, m, d)
                }
            }
            expectClose(y, expected, absolute: 12 * 470 * 0x1p-24, "\(m) others")
            let lengths = (0..<rows * n).map { place in
                (0..<d).reduce(0) { sum, k in
                    let value = element(a, place % n, place / n, k, rows, n, d)
                    return sum + value * value
                }
            }
            expectClose(squares, lengths, absolute: 12 * 470 * 0x1p-24, "squares")
        }
    }

    @Test("NaN and infinity stay in their elements, remainders of a vector included")
    func specialValues() {
        for place in [0, 20, 36] {
            var x = [Float](repeating: 1, count: 2 * 37)
            x[place] = .infinity
            x[37 + place] = .nan
            let weights: [Float] = [2, 0, 0, 1]
            withVectors(x, 1, 2, 37) { vectors in
                let y = output(74) { az_mix_rows(1, 37, 2, 2, vectors, weights, 0, 2, 1, nil, $0) }
                #expect(y.indices.filter { !y[$0].isFinite } == [place, 37 + place])
                let dots = output(4) { az_dot_rows(1, 37, 2, 2, vectors, vectors, $0, nil) }
                #expect(dots[0] == .infinity && dots[1...].allSatisfy(\.isNaN))
            }
        }
    }

    /// k ≤ 5 products below 4.
    @Test("Small products agree with float64", arguments: [1, 2, 3, 4, 5, 8], [1, 3, 5])
    func smallProducts(_ n: Int, _ k: Int) {
        let (rows, m) = (3, 2)
        let (a, b) = (values(rows * m * k), values(rows * k * (n + 1), seed: 2))
        let initially = [Float](repeating: 5, count: rows * m * (n + 2))
        let y = output(rows * m * (n + 2), initially: initially) {
            // a is stored transposed; b and y have a gap after each row.
            az_small_products(rows, m, k, n, a, m * k, 1, m, b, k * (n + 1), n + 1, $0, m * (n + 2), n + 2)
        }
        let expected = y.indices.map { place in
            let (r, i, j) = (place / (m * (n + 2)), place / (n + 2) % m, place % (n + 2))
            if j >= n { return 5.0 }
            return (0..<k).reduce(0.0) {
                $0 + Double(a[(r * k + $1) * m + i]) * Double(b[(r * k + $1) * (n + 1) + j])
            }
        }
        expectClose(y, expected, absolute: 5 * 20 * 0x1p-24)
    }

    // MARK: Weights from dot products

    /// y of one row: n vectors x and c vectors g of length d, in float64.
    private func weights(_ x: [Double], _ g: [Double], _ n: Int, _ c: Int, _ gain: [Double], _ shift: [Double])
        -> [Double]
    {
        let d = x.count / n
        return (0..<n * c).map { place in
            let (i, j) = (place / c, place % c)
            let length = (0..<d).reduce(0) { $0 + x[i * d + $1] * x[i * d + $1] }.squareRoot()
            let dot = (0..<d).reduce(0) { $0 + x[i * d + $1] * g[j * d + $1] }
            return tanh(dot / max(length, 0.5)) * gain[place] + shift[place]
        }
    }

    /// Dots and squares of float32 vectors below 2, tanh and an affine map: 1e-6 of values below 3; gradients, whose
    /// formula subtracts, 1e-5.
    @Test("Cosine weights and their gradients agree with float64", arguments: [1, 2, 3, 4], [3, 6])
    func cosineWeights(_ n: Int, _ c: Int) {
        let (rows, d) = (3, 5)
        var x = values(rows * n * d)
        // A vector whose length is below eps.
        for i in 0..<d { x[(n - 1) * d + i] *= 0.05 }
        let g = values(c * d, seed: 2, scale: 0.5)
        let (gain, shift) = (values(n * c, seed: 3), values(n * c, seed: 4))
        func rowVectors(_ row: Int) -> [Double] { Array(x[row * n * d..<(row + 1) * n * d]).doubles }
        var (dots, squares) = ([Float](), [Float]())
        x.withUnsafeBufferPointer { x in
            g.withUnsafeBufferPointer { g in
                let left = (0..<n).map { az_vectors(first: x.baseAddress! + $0 * d, row: n * d) }
                let right = (0..<c).map { az_vectors(first: g.baseAddress! + $0 * d, row: 0) }
                dots = output(rows * n * c) { dots in
                    squares = output(rows * n) { az_dot_rows(rows, d, n, c, left, right, dots, $0) }
                }
            }
        }
        var (arguments, inverse) = ([Float](), [Float]())
        let y = output(rows * n * c) { y in
            inverse = output(rows * n) { inverse in
                arguments = output(rows * n * c, initially: dots) {
                    az_cosine_weights_forward(rows, n, c, 0.5, squares, gain, shift, $0, inverse, y)
                }
            }
        }
        let expected = (0..<rows).flatMap {
            weights(rowVectors($0), g.doubles, n, c, gain.doubles, shift.doubles)
        }
        expectClose(y, expected, absolute: 2e-6, "y")
        #expect(inverse.indices.filter { inverse[$0] < 0 } == [n - 1])

        let dy = values(rows * n * c, seed: 5)
        let mixRow = (c + n) * n + 2
        var (mix, dgain, dshift) = ([Float](), [Float](), [Float]())
        let ones = [Float](repeating: 1, count: n * c)
        let slope = output(rows * n * c) { slope in
            mix = output(rows * mixRow) { mix in
                dgain = output(n * c, initially: ones) { dgain in
                    dshift = output(n * c, initially: ones) {
                        az_cosine_weights_backward(
                            rows, n, c, arguments, inverse, gain, dy, slope, mix, mixRow, dgain, $0)
                    }
                }
            }
        }
        // What the weighted sums give, against central differences.
        var dg = [Double](repeating: 0, count: c * d)
        var expectedGradient = [Double](repeating: 0, count: c * d)
        for r in 0..<rows {
            let (xs, gs) = (rowVectors(r), g.doubles)
            let rowDy = Array(dy[r * n * c..<(r + 1) * n * c]).doubles
            let dx = numericalGradient(
                of: { weights($0, gs, n, c, gain.doubles, shift.doubles) }, at: xs, dy: rowDy)
            let sums = (0..<n * d).map { place in
                let (i, k) = (place / d, place % d)
                return (0..<c + n).reduce(0.0) { sum, s in
                    let vector = s < c ? gs[s * d + k] : xs[(s - c) * d + k]
                    return sum + Double(mix[r * mixRow + s * n + i]) * vector
                }
            }
            expectClose(sums.map(Float.init), dx, absolute: 1e-5, "dx")
            for i in 0..<n {
                for (j, k) in (0..<c).flatMap({ j in (0..<d).map { (j, $0) } }) {
                    dg[j * d + k] += Double(slope[(r * n + i) * c + j]) * xs[i * d + k]
                }
            }
            let part = numericalGradient(
                of: { weights(xs, $0, n, c, gain.doubles, shift.doubles) }, at: gs, dy: rowDy)
            for (place, value) in part.enumerated() { expectedGradient[place] += value }
        }
        expectClose(dg.map(Float.init), expectedGradient, absolute: 1e-5, "dg")
        let sums = (0..<n * c).map { place in (0..<rows).map { Double(dy[$0 * n * c + place]) } }
        expectClose(dshift, sums.map { 1 + $0.reduce(0, +) }, absolute: 1e-5, "dshift")
        let products = (0..<n * c).map { place in
            (0..<rows).reduce(1.0) {
                $0 + Double(dy[$1 * n * c + place]) * tanh(Double(arguments[$1 * n * c + place]))
            }
        }
        expectClose(dgain, products, absolute: 1e-5, "dgain")
    }
}
