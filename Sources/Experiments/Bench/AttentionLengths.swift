import Foundation
import NN
import Tensors

/// Causal attention of one head over growing lengths, three ways: sliding-window attention, full attention (the same
/// operation with one window as long as the sequence), and the masked quadratic form of the first, whose n² scores are
/// all in memory.
package struct AttentionLengths: Encodable {
    /// A way to compute attention.
    package enum Form: String, Encodable, CaseIterable {
        case window, full, masked
    }

    /// The measurements of one form at one length.
    package struct Row: Encodable {
        /// The length of the sequence.
        package let tokens: Int
        /// The form that was measured.
        package let form: Form
        /// The times of one pass without and one with gradients; nil where the form was not run.
        package let forwardSeconds: Double?, trainingSeconds: Double?
        /// The most memory that tensors held at once during the pass with gradients, mask and results included, beyond
        /// what the queries, keys and values take; where the form was not run, what it would have taken.
        package let peakMegabytes: Double
        /// The greatest difference from the output of `window` over its greatest value; of `masked` alone.
        package let difference: Double?
    }

    /// A query sees itself and `window` tokens before it.
    package let window: Int
    /// Columns of queries, keys and values.
    package let columns: Int
    /// A form that would take more is not run.
    package let limitMegabytes: Double
    /// The measurements, by length, then by form.
    package let rows: [Row]

    /// Sums of up to 257 products in another order, relative to the greatest.
    static let tolerance = 1e-5
    /// True where all forms that were run agree within the tolerance.
    package var allAgree: Bool { rows.allSatisfy { ($0.difference ?? 0) <= Self.tolerance } }

    /// Measures all forms at lengths; none that would take more memory than the limit is run.
    package static func run(
        lengths: [Int] = [1, 2, 4, 8, 16, 32, 64].map { $0 << 10 }, window: Int = 256, columns: Int = 64,
        limitMegabytes: Double = 4096
    ) -> AttentionLengths {
        var rows: [Row] = []
        for n in lengths {
            let measurement = LengthMeasurement(n, window, columns)
            for form in Form.allCases {
                // The scores, and with them nearly all memory, grow with n².
                let before = rows.last { $0.form == form }
                let expected = before.map { $0.peakMegabytes * pow(Double(n) / Double($0.tokens), 2) } ?? 0
                rows.append(
                    form == .masked && expected > limitMegabytes
                        ? Row(
                            tokens: n, form: form, forwardSeconds: nil, trainingSeconds: nil, peakMegabytes: expected,
                            difference: nil)
                        : measurement.row(form))
            }
        }
        return AttentionLengths(window: window, columns: columns, limitMegabytes: limitMegabytes, rows: rows)
    }

    /// The table for people: a line for each length.
    package func table() -> String {
        func cell(_ row: Row) -> String {
            guard let forward = row.forwardSeconds, let training = row.trainingSeconds else {
                return String(format: "not run: %.0f MB", row.peakMegabytes)
            }
            let agrees = (row.difference ?? 0) <= Self.tolerance ? "" : " DISAGREES"
            return String(format: "%9.1f %9.1f %8.1f", forward * 1e3, training * 1e3, row.peakMegabytes) + agrees
        }
        func line(_ first: String, _ cells: [String]) -> String {
            ([first] + cells).enumerated().map { index, cell in
                cell.padding(toLength: max(cell.count, index == 0 ? 8 : 30), withPad: " ", startingAt: 0)
            }.joined(separator: " ").trimmingCharacters(in: .whitespaces)
        }
        let lengths = Array(Set(rows.map(\.tokens))).sorted()
        return
            ([
                "causal attention, one head of \(columns); milliseconds forward and with gradients, peak MB"
                    + String(format: " (the masked form up to %.0f GB)", limitMegabytes / 1024),
                line("tokens", ["window of \(window)", "full", "masked quadratic form"]),
            ]
            + lengths.map { n in line("\(n)", rows.filter { $0.tokens == n }.map(cell)) }).joined(separator: "\n")
    }
}

/// One length: the same queries, keys and values for every form.
private struct LengthMeasurement {
    let n: Int, window: Int
    /// q, k, v: [1, 1, n, d]
    let inputs: [Tensor]
    let seed: Tensor
    let scale: Float

    init(_ n: Int, _ window: Int, _ d: Int) {
        (self.n, self.window) = (n, window)
        inputs = (0..<3).map { .normal([1, 1, n, d], key: RandomKey(seed: 31).child($0)).requiringGradient() }
        seed = .normal([1, 1, n, d], key: RandomKey(seed: 32))
        scale = 1 / Float(d).squareRoot()
    }

    func row(_ form: AttentionLengths.Form) -> AttentionLengths.Row {
        let before = MemoryPool.shared.statistics.current
        MemoryPool.shared.resetPeak()
        let forward = make(form)
        let gradients = gradients(of: forward(), seed: seed)
        let peak = Double(MemoryPool.shared.statistics.peak - before) / Double(1 << 20)
        withExtendedLifetime(gradients) {}
        let seconds = time { withoutGradients { _ = forward() } }
        let training = time { _ = Tensors.gradients(of: forward(), seed: seed) }
        return .init(
            tokens: n, form: form, forwardSeconds: seconds, trainingSeconds: training, peakMegabytes: peak,
            difference: form == .masked ? withoutGradients { difference(forward()) } : nil)
    }

    /// The form as a computation, with what is made once for all passes.
    private func make(_ form: AttentionLengths.Form) -> () -> Tensor {
        let (q, k, v) = (inputs[0], inputs[1], inputs[2])
        switch form {
        case .window, .full:
            let pattern =
                form == .full
                ? WindowPattern(window: n, isCausal: true, lookBackward: 0)
                : WindowPattern(window: window, isCausal: true, isExact: true)
            let options = WindowAttentionOptions(pattern, scale: scale)
            return { windowAttention(q, k, v, headsFirst: true, options: options) }
        case .masked:
            let visible = Tensor.lowerTriangle(n, n).upperTriangle(diagonal: -window)
            return { [scale] in
                let scores = matrixProduct(q, k, transposeB: true, alpha: scale)  // [1, 1, n, n]
                return matrixProduct(softmax(select(visible, scores, -.infinity)), v)
            }
        }
    }

    private func difference(_ output: Tensor) -> Double {
        let reference = make(.window)().values
        let largest = reference.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
        let off = zip(output.values, reference).reduce(Float(0)) { $1.0.isNaN ? .infinity : max($0, abs($1.0 - $1.1)) }
        return Double(off / largest)
    }

    /// The fastest of several runs; what takes longer than half a second runs once, as its buffers are warm already.
    private func time(_ body: () -> Void) -> Double {
        let start = now()
        body()
        let once = now() - start
        return once > 0.5 ? once : min(once, fastest(of: 3, body))
    }
}
