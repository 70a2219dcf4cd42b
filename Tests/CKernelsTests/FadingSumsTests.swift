import CKernels
import Foundation
import Testing

/// Sums that fade from row to row, against their definition in float64.
@Suite struct FadingSumsTests {
    static let sizes = [(1, 1), (2, 3), (7, 17), (20, 64), (33, 83), (9, 48), (32, 130), (5, 32)]

    private struct Case {
        let n: Int, m: Int
        var logs: [Double], s: [Double], x: [Double]
        var wide: Int { (m + 15) / 16 * 16 }
        /// The step between rows of squares.
        var row: Int { n + 3 }

        /// Factors from 1 down to 0.
        init(_ n: Int, _ m: Int) {
            (self.n, self.m) = (n, m)
            logs = values(n * m, seed: 1, scale: 1.5, offset: -1.5).doubles
            for (place, log) in [0, -Double.infinity, -100, -1e-7].enumerated() where place * 5 < n * m {
                logs[place * 5] = log
            }
            (s, x) = (values(n * (n + 3), seed: 2).doubles, values(n * m, seed: 3).doubles)
        }

        /// e^log and 1 − e^log, padded, as float32.
        var factors: (kept: [Float], written: [Float]) {
            var written: [Float] = []
            let kept = output(n * wide) { kept in
                written = output(n * wide) {
                    az_fading_factors(n, m, logs.map { Float($0) }, m, kept, $0, wide)
                }
            }
            return (kept, written)
        }

        /// The weight of row i at row t, by column.
        func weight(_ t: Int, _ i: Int, _ j: Int, _ logs: [Double]) -> Double {
            let kept = i < t ? exp((i + 1...t).reduce(0) { $0 + logs[$1 * m + j] }) : 1
            return -expm1(logs[i * m + j]) * kept
        }

        func kept(_ t: Int, _ j: Int, _ logs: [Double]) -> Double { exp((0...t).reduce(0) { $0 + logs[$1 * m + j] }) }

        func sums(_ logs: [Double], _ s: [Double], _ x: [Double]) -> [Double] {
            (0..<n * m).map { place in
                let (t, j) = (place / m, place % m)
                return (0...t).reduce(kept(t, j, logs) * x[place]) {
                    $0 + s[t * row + $1] * weight(t, $1, j, logs)
                }
            }
        }

        func totals(_ logs: [Double], _ reads: [Double], _ sums: [Double]) -> [Double] {
            (0..<m).map { j in
                (0..<n).reduce(kept(n - 1, j, logs) * sums[j]) { $0 + reads[$1 * m + j] * weight(n - 1, $1, j, logs) }
            }
        }

        /// Differences by the logarithms, where they are finite.
        func slopes(_ dy: [Double], _ f: ([Double]) -> [Double]) -> [Double?] {
            logs.indices.map { place in
                guard logs[place].isFinite else { return nil }
                func at(_ step: Double) -> Double {
                    var moved = logs
                    moved[place] += step
                    return zip(f(moved), dy).reduce(0) { $0 + $1.0 * $1.1 }
                }
                return (at(1e-5) - at(-1e-5)) / 2e-5
            }
        }

        /// The columns of rows that are `wide` apart.
        func dense(_ x: [Float]) -> [Float] { (0..<n * m).map { x[$0 / m * wide + $0 % m] } }
        func square(_ x: [Float]) -> [Float] { (0..<n * n).map { x[$0 / n * row + $0 % n] } }
    }

    @Test("Factors are e^x and 1 - e^x to the last digits, with zeros behind", arguments: sizes)
    func factors(_ n: Int, _ m: Int) {
        let test = Case(n, m)
        let (kept, written) = test.factors
        let logs = test.logs.map { Double(Float($0)) }
        expectClose(test.dense(kept), logs.map { exp($0) }, relative: 2e-7, absolute: 1e-38, "kept")
        expectClose(test.dense(written), logs.map { -expm1($0) }, relative: 2e-7, absolute: 1e-38, "written")
        for x in [kept, written] {
            #expect((0..<n * test.wide).allSatisfy { $0 % test.wide < m || x[$0] == 0 })
        }
    }

    /// Sums of up to 33 products of numbers up to 2 and factors up to 1.
    @Test("Sums are those of their definition", arguments: sizes)
    func forward(_ n: Int, _ m: Int) {
        let test = Case(n, m)
        let (kept, written) = test.factors
        let y = output(n * m, initially: test.x.map { Float($0) }) {
            az_fading_sums_forward(n, m, kept, written, test.wide, test.s.map { Float($0) }, test.row, $0)
        }
        expectClose(y, test.sums(test.logs, test.s, test.x), absolute: 1e-5, "y")
    }

    @Test("The transpose is that of the sums", arguments: sizes)
    func transpose(_ n: Int, _ m: Int) {
        let test = Case(n, m)
        let (kept, written) = test.factors
        var faded: [Float] = []
        let s = output(n * test.row, initially: [Float](repeating: 5, count: n * test.row)) { s in
            faded = output(n * m, initially: test.x.map { Float($0) }) {
                az_fading_sums_transpose(n, m, kept, written, test.wide, $0, s, test.row)
            }
        }
        let (expectedS, expectedX) = transposed(test, test.x)
        expectClose(test.square(s), expectedS, absolute: 3e-5, "s")
        expectClose(faded, expectedX, absolute: 1e-6, "x")
        #expect((0..<n).allSatisfy { s[$0 * test.row + n..<$0 * test.row + n + 3].allSatisfy { $0 == 5 } })
    }

    private func transposed(_ test: Case, _ x: [Double]) -> (s: [Double], x: [Double]) {
        let (n, m) = (test.n, test.m)
        let s = (0..<n * n).map { place -> Double in
            let (t, i) = (place / n, place % n)
            return i > t ? 0 : (0..<m).reduce(0) { $0 + x[t * m + $1] * test.weight(t, i, $1, test.logs) }
        }
        return (s, (0..<n * m).map { x[$0] * test.kept($0 / m, $0 % m, test.logs) })
    }

    @Test("Gradients of the sums agree with the transpose and with differences", arguments: sizes)
    func backward(_ n: Int, _ m: Int) {
        let test = Case(n, m)
        let (kept, written) = test.factors
        let dy = values(n * m, seed: 5)
        var (dx, ds): ([Float], [Float]) = ([], [])
        let dLog = output(n * test.wide, initially: [Float](repeating: 0.5, count: n * test.wide)) { dLog in
            ds = output(n * test.row) { ds in
                dx = output(n * m, initially: dy) { dx in
                    _ = output(64 * n) {
                        az_fading_sums_backward(
                            n, m, kept, written, test.wide, test.s.map { Float($0) }, test.row,
                            test.x.map { Float($0) }, dx, ds, test.row, dLog, $0)
                    }
                }
            }
        }
        let expected = transposed(test, dy.doubles)
        expectClose(test.square(ds), expected.s, absolute: 3e-5, "ds")
        expectClose(dx, expected.x, absolute: 1e-6, "dx")
        if n * m > 200 { return }  // the differences would take long
        let slopes = test.slopes(dy.doubles) { test.sums($0, test.s, test.x) }
        // Where nothing is kept, nothing changes.
        expectClose(test.dense(dLog), slopes.map { 0.5 + ($0 ?? 0) }, absolute: 1e-4, "dLog")
    }

    @Test("What lasts beyond the last row, and its gradient", arguments: sizes)
    func total(_ n: Int, _ m: Int) {
        let test = Case(n, m)
        let (kept, written) = test.factors
        var whole: [Float] = []
        let lasting = output(n * m) { lasting in
            whole = output(m) { az_fading_total_forward(n, m, kept, written, test.wide, lasting, $0) }
        }
        expectClose(
            lasting, (0..<n * m).map { test.weight(n - 1, $0 / m, $0 % m, test.logs) }, absolute: 1e-6, "lasting")
        expectClose(whole, (0..<m).map { test.kept(n - 1, $0, test.logs) }, absolute: 1e-6, "whole")
        let (reads, sums) = (values(n * m, seed: 6), values(m, seed: 7))
        let dLog = output(n * test.wide, initially: [Float](repeating: 0.5, count: n * test.wide)) { dLog in
            _ = output(n * m, initially: reads) { reads in
                _ = output(m, initially: sums) {
                    az_fading_total_backward(n, m, kept, written, test.wide, reads, $0, dLog)
                }
            }
        }
        if n * m > 200 { return }
        let slopes = test.slopes([Double](repeating: 1, count: m)) { test.totals($0, reads.doubles, sums.doubles) }
        expectClose(test.dense(dLog), slopes.map { 0.5 + ($0 ?? 0) }, absolute: 3e-5, "dLog")
    }

    @Test("One row in place is the matrix written and multiplied", arguments: sizes)
    func step(_ rows: Int, _ cols: Int) {
        let (w, v) = (values(rows * cols, seed: 1), values(cols, seed: 2))
        let kept = values(rows, seed: 3, scale: 0.5, offset: 0.5)
        let written = kept.map { 1 - $0 }
        let expected = (0..<rows * cols).map { place -> Double in
            let row = place / cols
            return Double(kept[row]) * Double(w[place]) + Double(written[row]) * Double(v[place % cols])
        }
        let (x, weights) = (values(cols, seed: 4), values(rows, seed: 5))
        var changed: [Float] = []
        let y = output(rows) { y in
            changed = output(rows * cols, initially: w) {
                az_fading_rows_matrix_vector(rows, cols, kept, written, v, $0, 0.5, x, y)
            }
        }
        expectClose(changed, expected, absolute: 1e-6, "w")
        let product = (0..<rows).map { r in (0..<cols).reduce(0) { $0 + 0.5 * expected[r * cols + $1] * Double(x[$1]) }
        }
        expectClose(y, product, absolute: 3e-5, "W x")
        let z = output(cols) { z in
            changed = output(rows * cols, initially: w) {
                az_fading_rows_vector_matrix(rows, cols, kept, written, v, $0, weights, z)
            }
        }
        expectClose(changed, expected, absolute: 1e-6, "w")
        let other = (0..<cols).map { j in
            (0..<rows).reduce(0) { $0 + expected[$1 * cols + j] * Double(weights[$1]) }
        }
        expectClose(z, other, absolute: 3e-5, "W transposed x")
    }
}
