import FLASHTransformers
import Foundation
import Tensors

/// Our operations against their plain forms, or loops, over the same data: speed, share of the machine's peak, and whether
/// both give the same numbers.
package struct KernelBenchmarks: Encodable {
    /// The comparison of one operation at one size.
    package struct Row: Encodable {
        /// The operation's name, and the sizes of its inputs.
        package let name: String, size: String
        /// The rates of ours and of the plain form or loop, in `unit`.
        package let rate: Double, naiveRate: Double
        /// GF/s for products, GB/s (bytes that must be read or written at least once) for the rest.
        package let unit: String
        /// Our rate over the machine's: the best product for GF/s, a copy of large arrays for GB/s. Above 1 where data
        /// stays in cache.
        package let shareOfPeak: Double
        /// The greatest difference over the greatest naive value.
        package let difference: Double
        /// The greatest difference that rounding explains.
        package let tolerance: Double
        /// True if rounding explains the difference.
        package var agrees: Bool { difference <= tolerance }
    }

    /// The threads used.
    package let threads: Int
    /// OpenBLAS's kernels.
    package let kernels = UsedKernels()
    /// The machine's best product in GF/s, and its copy of large arrays in GB/s.
    package let peakGflops: Double, peakGigabytes: Double
    /// The comparisons.
    package let rows: [Row]
    /// Attention over growing lengths.
    package let attention: AttentionLengths
    /// True if all operations agree with their plain forms or loops.
    package var allAgree: Bool { rows.allSatisfy(\.agrees) && attention.allAgree }

    /// Measures all operations.
    package static func run() -> KernelBenchmarks {
        let peakGflops = Peaks.product()
        let peakGigabytes = Peaks.copy()
        let cases = ProductCases.all + RowCases.all + CrossEntropyCases.all + AttentionCases.all
        let rows = cases.map { $0.measure(peakGflops: peakGflops, peakGigabytes: peakGigabytes) }
        return KernelBenchmarks(
            threads: Threads.count, peakGflops: peakGflops, peakGigabytes: peakGigabytes, rows: rows,
            attention: .run())
    }

    /// The table for people.
    package func table() -> String {
        var lines = [
            String(
                format: "%d threads, OpenBLAS's kernels for \(kernels.name); best product %.0f GF/s, copy %.1f GB/s",
                threads, peakGflops, peakGigabytes),
            columns("operation", "size", "ours", "naive", "", "ratio", "of peak", "difference"),
        ]
        for row in rows {
            lines.append(
                columns(
                    row.name, row.size, String(format: "%.1f", row.rate), String(format: "%.2f", row.naiveRate),
                    row.unit, String(format: "%.1fx", row.rate / row.naiveRate),
                    String(format: "%.0f%%", 100 * row.shareOfPeak),
                    String(format: "%.0e", row.difference) + (row.agrees ? "" : " DISAGREES")))
        }
        return (lines + ["", attention.table()]).joined(separator: "\n")
    }

    private func columns(_ cells: String...) -> String {
        zip(cells, [26, 24, 9, 9, 5, 9, 8, 12]).map { cell, width in
            cell.padding(toLength: max(width, cell.count), withPad: " ", startingAt: 0)
        }.joined(separator: " ").trimmingCharacters(in: .whitespaces)
    }
}

/// One comparison: the work in floating-point operations or bytes, our way and the naive way.
struct KernelCase {
    enum Work {
        case operations(Double)
        case bytes(Double)
    }
    let name: String, size: String
    let work: Work
    /// Relative to the greatest naive value; both sum in float32, in different orders.
    let tolerance: Double
    let ours: () -> Tensor
    let naive: () -> [Float]

    func measure(peakGflops: Double, peakGigabytes: Double) -> KernelBenchmarks.Row {
        let (amount, unit, peak) =
            switch work {
            case .operations(let count): (count, "GF/s", peakGflops)
            case .bytes(let count): (count, "GB/s", peakGigabytes)
            }
        var expected: [Float] = []
        let naiveSeconds = fastest(of: 1, atLeast: 0) { expected = naive() }
        let got = ours().values
        let seconds = fastest { _ = ours() }
        let largest = expected.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
        let off = zip(got, expected).reduce(Float(0)) { $1.0.isNaN ? .infinity : max($0, abs($1.0 - $1.1)) }
        return .init(
            name: name, size: size, rate: amount / seconds / 1e9, naiveRate: amount / naiveSeconds / 1e9, unit: unit,
            shareOfPeak: amount / seconds / 1e9 / peak,
            difference: got.count == expected.count ? Double(off / largest) : .infinity, tolerance: tolerance)
    }
}
