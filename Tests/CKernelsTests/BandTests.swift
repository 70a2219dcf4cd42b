import CKernels
import Testing

/// Products of tiles whose rows see ranges of columns, against sums in float64.
@Suite("Products by bands") struct BandTests {
    /// A tile, and what each of its rows sees.
    struct Case {
        let rows: Int, columns: Int, width: Int
        let first: [Int32], last: [Int32]

        /// Row r sees `window` columns up to column r + shift; with a step, columns up to the multiple of it.
        init(_ rows: Int, _ columns: Int, width: Int, window: Int, shift: Int, step: Int = 1) {
            (self.rows, self.columns, self.width) = (rows, columns, width)
            let ends = (0..<rows).map { min(max(0, ($0 + 1 + shift) / step * step), columns) }
            last = ends.map { Int32($0) }
            first = ends.map { Int32(max(0, $0 - window)) }
        }

        func sees(_ row: Int, _ column: Int) -> Bool { first[row] <= Int32(column) && Int32(column) < last[row] }

        /// Rows of scores lie so far apart.
        var stride: Int { (columns + 15) / 16 * 16 }

        /// Weights that are 0 where nothing is seen.
        var weights: [Float] {
            let all = values(rows * stride, seed: 3)
            return all.indices.map { sees($0 / stride, $0 % stride) ? all[$0] : 0 }
        }
    }

    static let cases = [
        Case(1, 1, width: 1, window: 1, shift: 0), Case(7, 20, width: 3, window: 5, shift: 4),
        Case(13, 40, width: 16, window: 9, shift: 20), Case(64, 192, width: 32, window: 128, shift: 127),
        Case(64, 90, width: 34, window: 40, shift: 20), Case(31, 17, width: 50, window: 90, shift: -10, step: 4),
        Case(9, 33, width: 81, window: 12, shift: 3, step: 5),
    ]

    @Test("Scores of the columns that rows see are dot products", arguments: cases)
    func scores(_ test: Case) {
        let (d, stride) = (test.width, test.stride)
        let q = values(test.rows * (d + 2))
        let keys = values(d * test.columns + 15, seed: 2)
        let got = output(test.rows * stride) { scores in
            az_band_scores(
                test.rows, d, test.first, test.last, 0.5, q, d + 2, keys, test.columns, scores, stride)
        }
        for row in 0..<test.rows {
            for column in 0..<test.columns where test.sees(row, column) {
                let sum = (0..<d).reduce(0.0) {
                    $0 + Double(q[row * (d + 2) + $1]) * Double(keys[$1 * test.columns + column])
                }
                #expect(abs(Double(got[row * stride + column]) - sum / 2) < 1e-6 * Double(4 * d), "\(row), \(column)")
            }
        }
    }

    @Test("Weighted sums of the rows seen, put in place or added", arguments: cases, [false, true])
    func apply(_ test: Case, adds: Bool) {
        let (e, p) = (test.width, test.weights)
        let x = values(test.columns * (e + 1), seed: 4)
        let before = values(test.rows * e, seed: 5)
        let got = output(test.rows * e, initially: adds ? before : nil) { y in
            az_band_apply(
                test.rows, e, test.first, test.last, 0.5, p, test.stride, x, e + 1, adds ? 1 : 0, y, e)
        }
        for row in 0..<test.rows {
            for c in 0..<e {
                let sum = (0..<test.columns).reduce(0.0) {
                    $0 + Double(p[row * test.stride + $1]) * Double(x[$1 * (e + 1) + c])
                }
                let expected = sum / 2 + (adds ? Double(before[row * e + c]) : 0)
                #expect(abs(Double(got[row * e + c]) - expected) < 1e-6 * Double(4 * test.columns), "\(row), \(c)")
            }
        }
    }

    @Test("Sums over the rows that see a column are added to it", arguments: cases)
    func transposed(_ test: Case) {
        let (e, p, from) = (test.width, test.weights, test.columns / 3)
        let x = values(test.rows * (e + 1), seed: 4)
        let before = values((test.columns - from) * e, seed: 5)
        let got = output(before.count, initially: before) { y in
            az_band_transposed(
                test.rows, e, from, test.columns, test.first, test.last, 0.5, p, test.stride, x, e + 1, y, e)
        }
        for column in from..<test.columns {
            for c in 0..<e {
                let sum = (0..<test.rows).reduce(0.0) {
                    $0 + Double(p[$1 * test.stride + column]) * Double(x[$1 * (e + 1) + c])
                }
                let place = (column - from) * e + c
                #expect(
                    abs(Double(got[place]) - Double(before[place]) - sum / 2) < 1e-6 * Double(4 * test.rows),
                    "\(column), \(c)")
            }
        }
    }
}
