import Foundation
import Tensors

/// The machine as the package uses it: processor, kernels, threads, and its best rates.
package struct MachineReport: Encodable {
    /// The machine's best rates.
    package struct Speeds: Encodable {
        /// The best product, in GF/s, on one thread and on all that are used.
        package let productOneThread: Double, product: Double
        /// A copy of large arrays on all threads, in GB/s read and written.
        package let copy: Double

        enum CodingKeys: String, CodingKey {
            case productOneThread = "product_gflops_one_thread"
            case product = "product_gflops"
            case copy = "copy_gigabytes"
        }
    }

    /// The processor's name, and the widest vectors it has and the system saves: baseline, SSE4.2, AVX, AVX2 or AVX-512.
    package let processor: String, instructions: String
    /// OpenBLAS's version, what it chose by itself, and what is used and why.
    package let openblas: String, kernelsChosen: String, kernels: String, reason: String
    /// True if the kernels compute less widely than the processor could.
    package let kernelsBelowProcessor: Bool
    /// True if the kernels gave the products of plain C, with the time of that check.
    package let checkPassed: Bool
    /// The time of that check, in seconds.
    package let checkSeconds: Double
    /// Warnings for the user, each in one line.
    package let warnings: [String]
    /// The threads used.
    package let threads: Int
    /// The processors that the system lets this process run on, and the quota of their time; nil without one.
    package let processors: Int
    /// The quota of processors; nil without one.
    package let quota: Double?
    /// The number of threads at once that OpenBLAS was built for.
    package let openblasThreads: Int
    /// Nil where they were not measured.
    package let speeds: Speeds?

    enum CodingKeys: String, CodingKey {
        case processor, instructions, openblas, kernels, reason, warnings, threads, processors, quota, speeds
        case kernelsChosen = "kernels_chosen"
        case kernelsBelowProcessor = "kernels_below_processor"
        case checkPassed = "check_passed"
        case checkSeconds = "check_seconds"
        case openblasThreads = "openblas_threads"
    }

    /// - Parameter measuresSpeeds: whether the best rates are measured, which takes a few seconds.
    package static func run(measuresSpeeds: Bool = true) -> MachineReport {
        let selection = BLAS.selection
        return MachineReport(
            processor: Processor.name, instructions: selection.processor, openblas: selection.version,
            kernelsChosen: selection.chosen, kernels: selection.used, reason: selection.reason.rawValue,
            kernelsBelowProcessor: selection.isBelowProcessor, checkPassed: selection.isChecked,
            checkSeconds: selection.checkSeconds, warnings: selection.warnings, threads: Threads.count,
            processors: Threads.limits.affinity, quota: Threads.limits.quota, openblasThreads: selection.mostThreads,
            speeds: measuresSpeeds ? measure() : nil)
    }

    private static func measure() -> Speeds {
        let threads = Threads.count
        Threads.count = 1
        let one = Peaks.product()
        Threads.count = threads
        return Speeds(productOneThread: one, product: threads == 1 ? one : Peaks.product(), copy: Peaks.copy())
    }

    /// The lines for people.
    package func text() -> String {
        var rows = [
            ("processor", "\(processor), \(instructions)"),
            ("OpenBLAS", "\(openblas), built for at most \(openblasThreads) threads"),
            ("kernels", "\(kernels): \(explanation)"),
            (
                "check",
                checkPassed
                    ? String(format: "products agree with plain C (%.1f ms)", checkSeconds * 1e3)
                    : "no kernels of this library gave the products of plain C"
            ),
            ("threads", "\(threads); \(Threads.limits.explanation)"),
        ]
        if let speeds {
            let all = threads == 1 ? "" : String(format: ", %.0f on %d", speeds.product, threads)
            rows.append(("best product", String(format: "%.0f GF/s on one thread", speeds.productOneThread) + all))
            rows.append(("copy", String(format: "%.1f GB/s", speeds.copy)))
        }
        rows += warnings.map { ("warning", $0) }
        return rows.map { $0.padding(toLength: 14, withPad: " ", startingAt: 0) + $1 }.joined(separator: "\n")
    }

    private var explanation: String {
        switch KernelSelection.Reason(rawValue: reason) {
        case .fits: "OpenBLAS's own choice"
        case .variable:
            "as OPENBLAS_CORETYPE says" + (kernelsBelowProcessor ? ", less than the processor can do" : "")
        case .tooLow, .tooHigh:
            "OpenBLAS chose \(kernelsChosen), which "
                + (reason == KernelSelection.Reason.tooLow.rawValue ? "uses less than" : "needs more than")
                + " the processor has"
        case .otherProcessor: "OpenBLAS's own choice, left alone on this architecture"
        case .unknown, nil: "OpenBLAS's own choice, unknown to this version of the package"
        }
    }
}
