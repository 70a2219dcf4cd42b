import Tensors

/// `metrics.jsonl`: one JSON object a line and step, appended as training goes.
///
/// A line is written in one piece; the last one may still be cut off when the machine stops, and is then ignored.
public final class MetricsLog: Sendable {
    private let log: LineLog
    /// The path of the file.
    public var path: String { log.path }

    /// Opens a log to append to; a missing file is created.
    /// - Parameters:
    ///   - step: the step from which training is resumed, 0 for a new run: the lines of later steps are removed, as those
    ///     steps will be made again. nil keeps all steps.
    ///   - warn: is called with a sentence about the lines that are no metrics, which are removed.
    /// - Throws: `InputError` that names the path.
    public init(path: String, resumingAfter step: Int? = nil, warn: (String) -> Void = { _ in }) throws {
        log = try LineLog(path: path, warn: warn) { line, place in
            try StepMetrics(line: line, place: place).step <= step ?? .max
        }
    }

    /// Appends a line.
    /// - Throws: `InputError` with the system's reason, such as a full disk; the file then ends with the line before.
    public func append(_ metrics: StepMetrics) throws { try log.append(metrics.line) }

    /// Waits until all lines are on the disk.
    /// - Throws: `InputError` with the system's reason.
    public func synchronize() throws { try log.synchronize() }

    /// Removes the lines of steps later than `step`.
    /// - Throws: `InputError` that names the path.
    public func rewind(to step: Int) throws {
        try log.shorten { line, place in try StepMetrics(line: line, place: place).step <= step }
    }

    /// All lines of a log, in order.
    /// - Parameter warn: is called with a sentence about the lines that are no metrics, which are left out; nil to throw.
    /// - Throws: `InputError` with file and line number.
    public static func read(path: String, warn: ((String) -> Void)? = nil) throws -> [StepMetrics] {
        try LineLog.values(of: path, warn: warn) { line, place in try StepMetrics(line: line, place: place) }
    }
}
