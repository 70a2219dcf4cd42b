import AttentionZooReports
import Foundation
import Linformers
import NN
import Tensors

/// Inference of one Linformer attention layer (512 channels, 8 heads) over growing lengths, against full attention: the
/// paper's Table 3 (2006.04768). Full attention in two forms: that of the package, which keeps no scores, and the usual
/// one, whose h n² scores are all in memory.
package struct ProjectionLengths: Encodable {
    /// A form of the attention layer.
    package enum Form: Encodable, Hashable {
        case full, quadratic
        case projected(slots: Int)

        var name: String {
            switch self {
            case .full: "full"
            case .quadratic: "quadratic"
            case .projected(let slots): "k=\(slots)"
            }
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(name)
        }
    }

    /// The measurements of one form at one length.
    package struct Row: Encodable {
        /// The length of the sequence.
        package let tokens: Int
        /// The form that was measured.
        package let form: Form
        /// The time of one forward pass; nil where the form was not run.
        package let seconds: Double?
        /// The most that tensors held at once beyond weights and input; where the form was not run, what it would have taken.
        package let peakMegabytes: Double
    }

    /// The numbers of slots k.
    package let slots: [Int]
    /// The quadratic form is not run where it would take more.
    package let limitMegabytes: Double
    /// The measurements, by length, then by form.
    package let rows: [Row]
    /// OpenBLAS's kernels.
    package let kernels = UsedKernels()

    enum CodingKeys: String, CodingKey { case slots, limitMegabytes, rows, kernels }

    /// Measures all forms at lengths; none that would take more memory than the limit is run.
    package static func run(
        lengths: [Int] = (9...16).map { 1 << $0 }, slots: [Int] = [128, 256], channels: Int = 512, heads: Int = 8,
        limitMegabytes: Double = 6144
    ) -> ProjectionLengths {
        var rows: [Row] = []
        for n in lengths {
            let before = rows.last { $0.form == .quadratic }
            // Its scores, and with them nearly all memory, grow with n².
            let expected = before.map { $0.peakMegabytes * pow(Double(n) / Double($0.tokens), 2) } ?? 0
            for form in [Form.full, .quadratic] + slots.map({ .projected(slots: $0) }) {
                rows.append(
                    form == .quadratic && expected > limitMegabytes
                        ? Row(tokens: n, form: form, seconds: nil, peakMegabytes: expected)
                        : measure(form, tokens: n, channels: channels, heads: heads))
            }
        }
        return ProjectionLengths(slots: slots, limitMegabytes: limitMegabytes, rows: rows)
    }

    private static func measure(_ form: Form, tokens n: Int, channels: Int, heads: Int) -> Row {
        var configuration = LinformerConfiguration(inputSize: n, channels: channels, slots: 1)
        configuration.heads = heads
        if case .projected(let slots) = form {
            configuration.slots = min(slots, n)
        } else {
            configuration.usesFullAttention = true
        }
        let layer = MHAttention(configuration, key: RandomKey(seed: 1))
        let x = Tensor.normal([1, n, channels], key: RandomKey(seed: 2))
        func forward() -> Tensor { form == .quadratic ? layer.quadratic(x) : layer(x) }
        return withoutGradients {
            let before = MemoryPool.shared.statistics.current
            MemoryPool.shared.resetPeak()
            let start = now()
            _ = forward()
            let once = now() - start
            let peak = Double(MemoryPool.shared.statistics.peak - before) / Double(1 << 20)
            // What takes seconds runs once more, as its buffers are warm then, and what is shorter several times.
            let seconds = once > 5 ? once : fastest(of: once > 0.5 ? 1 : 3) { _ = forward() }
            return Row(tokens: n, form: form, seconds: seconds, peakMegabytes: peak)
        }
    }

    /// The table for people: a line for each length, of each k the speed and the memory of full attention over its own.
    package func table() -> String {
        func row(_ n: Int, _ form: Form) -> Row { rows.first { $0.tokens == n && $0.form == form }! }
        func milliseconds(_ row: Row) -> String {
            row.seconds.map { String(format: "%.1f", $0 * 1e3) } ?? "not run"
        }
        var lines = [
            ["tokens", "full ms", "quadratic ms", "MB", "quadratic MB"]
                + slots.flatMap { ["k=\($0) ms", "times", "memory"] }
        ]
        for n in Array(Set(rows.map(\.tokens))).sorted() {
            let (full, quadratic) = (row(n, .full), row(n, .quadratic))
            lines.append(
                [
                    "\(n)", milliseconds(full), milliseconds(quadratic), String(format: "%.1f", full.peakMegabytes),
                    String(format: "%.0f", quadratic.peakMegabytes) + (quadratic.seconds == nil ? " (n²)" : ""),
                ]
                    + slots.flatMap { slots in
                        let own = row(n, .projected(slots: slots))
                        return [
                            milliseconds(own), String(format: "%.1f", full.seconds! / own.seconds!),
                            String(format: "%.1f", quadratic.peakMegabytes / own.peakMegabytes),
                        ]
                    })
        }
        return String(Table(rows: lines, numeric: Set(lines[0].indices)).text.dropLast())  // without its last line end
    }
}

extension MHAttention {
    /// The same layer with full attention as it is usually computed, [1, h, n, n] scores in memory. x: [1, n, m]
    fileprivate func quadratic(_ x: Tensor) -> Tensor {
        func split(_ weights: PackedParameters) -> Tensor {
            let y = linear(x, weight: weights.value)
            return y.reshaped([1, x.shape[1], heads.count, y.shape[2] / heads.count]).permuted([0, 2, 1, 3])
        }
        let (q, k, v) = (split(toQueries), split(toKeys), split(toValues))
        let scale = 1 / Float(q.shape[3]).squareRoot()
        let weights = softmax(matrixProduct(q, k, transposeB: true, alpha: scale))
        let y = matrixProduct(weights, v).permuted([0, 2, 1, 3])
        return toOut[0](y.reshaped([1, x.shape[1], heads.count * q.shape[3]]))
    }
}
