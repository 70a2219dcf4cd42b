import COpenBLAS

/// The choice of OpenBLAS's kernels and the result of their check.
///
/// OpenBLAS chooses by the processor's model, and takes its oldest kernels for processors that are younger than it. The
/// shim under this package asks the processor for its instructions, has OpenBLAS choose again where that pays, and
/// compares products of the kernels with plain C before the first one that counts.
public struct KernelSelection: Sendable {
    /// Why the kernels in use are what they are.
    public enum Reason: String, Sendable, Codable {
        /// The library's own choice suits the processor.
        case fits
        /// `OPENBLAS_CORETYPE` names them.
        case variable
        /// The library's choice used less than the processor has.
        case tooLow = "too low"
        /// The library's choice needs instructions that the processor lacks.
        case tooHigh = "too high"
        /// A name newer than this package's table; left alone.
        case unknown
        /// Not x86-64; left alone.
        case otherProcessor = "other processor"
    }

    /// OpenBLAS's version, such as 0.3.21.
    public let version: String
    /// The kernels the library chose by itself (or by the variable), and those in use: names such as Haswell, or "plain C"
    /// where none of the library's computed right products.
    public let chosen: String, used: String
    /// The reason for the choice.
    public let reason: Reason
    /// True if the kernels in use have given the products of plain C.
    public let isChecked: Bool
    /// The time of that check, in seconds.
    public let checkSeconds: Double
    /// True if the kernels in use compute less widely than the processor could: speeds measured with them are not the
    /// processor's.
    public let isBelowProcessor: Bool
    /// The widest instruction set in use here for vectors: baseline, SSE4.2, AVX, AVX2 or AVX-512.
    public let processor: String
    /// Warnings for the user, each in one line; usually none.
    public let warnings: [String]
    /// The number of threads that the library was built for.
    public let mostThreads: Int

    init() {
        let report = az_openblas_report().pointee
        version = String(cString: az_openblas_version())
        chosen = withUnsafeBytes(of: report.chosen) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        used = withUnsafeBytes(of: report.used) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        reason =
            switch report.reason {
            case AZ_KERNELS_FIT: .fits
            case AZ_KERNELS_BY_VARIABLE: .variable
            case AZ_KERNELS_TOO_LOW: .tooLow
            case AZ_KERNELS_TOO_HIGH: .tooHigh
            case AZ_KERNELS_OTHER_PROCESSOR: .otherProcessor
            default: .unknown
            }
        isChecked = report.passed != 0
        checkSeconds = report.check_seconds
        isBelowProcessor = report.below != 0
        let features = az_processor_features()
        let classes = ["baseline", "SSE4.2", "AVX", "AVX2", "AVX-512"]
        processor =
            features & UInt32(AZ_X86_64) == 0 ? "not x86-64" : classes[Int(az_processor_class(features))]
        warnings = withUnsafeBytes(of: report.lines) { bytes in
            (0..<Int(report.line_count)).map { line in
                let start = line * Int(AZ_REPORT_LENGTH)
                return String(decoding: bytes[start...].prefix { $0 != 0 }, as: UTF8.self)
            }
        }
        mostThreads = Int(az_openblas_most_threads())
    }
}
