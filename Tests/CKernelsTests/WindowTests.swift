import CKernels
import Foundation
import Testing

/// Softmax over ranges of columns, tile after tile, against the definition in float64.
@Suite struct WindowTests {
    /// Scores of a few rows, and what each sees of them.
    struct Case {
        let rows: Int, cols: Int
        let x: [Float]
        /// By rows (step cols) or by diagonals (step −1), and the place of row 0, column 0.
        let bias: [Float]?
        let origin: Int, step: Int
        let mask: [Float]?

        init(_ rows: Int, _ cols: Int, _ kind: String, masked: Bool) {
            (self.rows, self.cols) = (rows, cols)
            x = values(rows * cols, scale: 3)
            bias = kind == "none" ? nil : values(rows * cols + rows, seed: 5)
            (origin, step) = kind == "rows" ? (0, cols) : (rows - 1, -1)
            mask = masked ? (0..<cols).map { $0 % 3 == 1 ? 0 : 1 } : nil
        }

        /// All columns for the first row, none for the second, fewer and fewer for the rest.
        func seen(_ row: Int) -> Range<Int> {
            row == 0 ? 0..<cols : row == 1 ? 0..<0 : min(row, cols)..<max(min(row, cols), cols - row)
        }

        func ends(_ tile: Range<Int>) -> (first: [Int32], last: [Int32]) {
            let ranges = (0..<rows).map { seen($0).clamped(to: tile) }
            return (
                ranges.map { Int32($0.lowerBound - tile.lowerBound) },
                ranges.map { Int32($0.upperBound - tile.lowerBound) }
            )
        }

        func columns(_ values: [Float], _ tile: Range<Int>) -> [Float] {
            (0..<rows).flatMap { values[$0 * cols + tile.lowerBound..<$0 * cols + tile.upperBound] }
        }

        /// −inf where a row does not see a column.
        func score(_ row: Int, _ column: Int) -> Double {
            guard seen(row).contains(column), mask == nil || mask![column] != 0 else { return -.infinity }
            return Double(x[row * cols + column]) + (bias.map { Double($0[origin + row * step + column]) } ?? 0)
        }

        func logSum(_ row: Int) -> Double { log((0..<cols).reduce(0) { $0 + exp(score(row, $1)) }) }

        /// Runs `body` with pointers at a tile's first column.
        func at(_ tile: Range<Int>, _ body: (UnsafePointer<Float>?, UnsafePointer<Float>?) -> Void) {
            (bias ?? []).withUnsafeBufferPointer { b in
                (mask ?? []).withUnsafeBufferPointer { m in
                    body(
                        bias == nil ? nil : b.baseAddress! + origin + tile.lowerBound,
                        mask == nil ? nil : m.baseAddress! + tile.lowerBound)
                }
            }
        }
    }

    static let sizes = [(1, 1, 0), (3, 7, 3), (5, 40, 17), (4, 100, 64), (6, 33, 32)]

    @Test("Softmax over ranges, tile by tile, agrees with float64", arguments: sizes, ["none", "rows", "diagonals"])
    func forward(
        _ size: (rows: Int, cols: Int, cut: Int), _ kind: String
    ) {
        for masked in [false, true] {
            let test = Case(size.rows, size.cols, kind, masked: masked)
            var (maxima, sums) = (
                [Float](repeating: -.infinity, count: test.rows), [Float](repeating: 0, count: test.rows)
            )
            var weights = [[Float]](repeating: [], count: test.rows)
            for tile in [0..<size.cut, size.cut..<size.cols] where !tile.isEmpty {
                let (first, last) = test.ends(tile)
                var rescale = [Float](repeating: .nan, count: test.rows)
                let y = output(test.rows * tile.count, initially: test.columns(test.x, tile)) { y in
                    test.at(tile) { bias, mask in
                        az_window_softmax_forward(
                            test.rows, tile.count, first, last, bias, test.step, mask, y, tile.count, &maxima, &sums,
                            &rescale)
                    }
                }
                for row in 0..<test.rows {
                    weights[row] = weights[row].map { $0 * rescale[row] } + y[row * tile.count..<(row + 1) * tile.count]
                }
            }
            for row in 0..<test.rows {
                let logSum = test.logSum(row)
                if logSum == -.infinity {
                    #expect(sums[row] == 0 && weights[row].allSatisfy { $0 == 0 })
                    continue
                }
                // Scores of up to 10 are rounded to 5e-7, which is an error of the exponential.
                #expect(abs(Double(maxima[row]) + log(Double(sums[row])) - logSum) < 2e-6)
                let expected = (0..<test.cols).map { exp(test.score(row, $0) - logSum) }
                expectClose(weights[row].map { $0 / sums[row] }, expected, relative: 4e-6, absolute: 1e-9, "row \(row)")
            }
        }
    }

    @Test("Gradients of a tile agree with float64", arguments: sizes, ["none", "rows", "diagonals"])
    func backward(
        _ size: (rows: Int, cols: Int, cut: Int), _ kind: String
    ) {
        let tile = size.cut..<size.cols
        for masked in [false, true] {
            let test = Case(size.rows, size.cols, kind, masked: masked)
            let (first, last) = test.ends(tile)
            let logSums = (0..<test.rows).map { row in
                let logSum = test.logSum(row)
                return Float(logSum == -.infinity ? .infinity : logSum)
            }
            let means = values(test.rows, seed: 8)
            let dy = values(test.rows * tile.count, seed: 9)
            var (gradient, dBias) = (dy, [Float](repeating: 1, count: test.bias?.count ?? 0))
            let weights = output(test.rows * tile.count, initially: test.columns(test.x, tile)) { x in
                test.at(tile) { bias, mask in
                    dBias.withUnsafeMutableBufferPointer { d in
                        az_window_softmax_backward(
                            test.rows, tile.count, first, last, bias, test.step, mask, logSums, means, x, tile.count,
                            &gradient, tile.count, bias == nil ? nil : d.baseAddress! + test.origin + tile.lowerBound,
                            test.step)
                    }
                }
            }
            var (p, g) = ([Double](), [Double]())
            var sums = dBias.map { _ in 1.0 }
            for (row, column) in (0..<test.rows).flatMap({ row in tile.map { (row, $0) } }) {
                p.append(exp(test.score(row, column) - Double(logSums[row])))
                g.append(p.last! * (Double(dy[g.count]) - Double(means[row])))
                if test.bias != nil && test.seen(row).contains(column) {
                    sums[test.origin + row * test.step + column] += g.last!
                }
            }
            expectClose(weights, p, relative: 4e-6, absolute: 1e-9, "weights")
            expectClose(gradient, g, relative: 6e-6, absolute: 1e-6, "gradient")
            expectClose(dBias, sums, relative: 6e-6, absolute: 2e-6, "bias")
        }
    }

    @Test("Rows and columns are multiplied, scaled, and summed within their stride")
    func rowsAndColumns() {
        let (rows, cols, stride) = (5, 19, 23)
        let (x, y) = (values(rows * stride), values(rows * stride, seed: 2))
        let dots = output(rows) { az_row_dots(rows, cols, x, stride, y, stride, $0) }
        let expected = (0..<rows).map { r in
            (0..<cols).reduce(0.0) { $0 + Double(x[r * stride + $1]) * Double(y[r * stride + $1]) }
        }
        expectClose(dots, expected, relative: 1e-6, absolute: 4e-6, "dots")
        let factors: [Float] = [2, 1, 0, -3, 0.5]
        let scaled = output(x.count, initially: x) { az_scale_rows(rows, cols, factors, $0, stride) }
        let byColumn = values(cols, seed: 3)
        let columns = output(x.count, initially: x) {
            az_scale_columns(rows, cols, byColumn, x, stride, $0, stride)
        }
        for (i, value) in x.enumerated() {
            let (row, column) = (i / stride, i % stride)
            #expect(scaled[i] == (column < cols ? value * factors[row] : value))
            #expect(columns[i] == (column < cols ? value * byColumn[column] : value))
        }
    }

    @Test(
        "Columns j and j + r/2 of the first r are turned by their angle, and back with sign −1 in place",
        arguments: [(2, 2), (6, 6), (40, 40), (7, 4), (5, 0)])
    func rotateHalves(_ d: Int, _ rotated: Int) {
        let (rows, half) = (3, rotated / 2)
        let angles = values(rows * half, scale: 3).doubles
        let x = values(rows * d, seed: 2)
        let (cosines, sines) = (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
        let turned = output(rows * d) { az_rotate_halves(rows, d, rotated, 1, cosines, sines, x, d, $0, d) }
        var expected = x.doubles
        for (r, j) in (0..<rows).flatMap({ r in (0..<half).map { (r, $0) } }) {
            let (a, low, high) = (angles[r * half + j], Double(x[r * d + j]), Double(x[r * d + j + half]))
            expected[r * d + j] = low * cos(a) - high * sin(a)
            expected[r * d + j + half] = high * cos(a) + low * sin(a)
        }
        expectClose(turned, expected, relative: 0, absolute: 5e-7, "turned")
        let back = output(rows * d, initially: turned) {
            az_rotate_halves(rows, d, rotated, -1, cosines, sines, $0, d, $0, d)
        }
        expectClose(back, x.doubles, relative: 0, absolute: 1e-6, "turned back")
    }
}
