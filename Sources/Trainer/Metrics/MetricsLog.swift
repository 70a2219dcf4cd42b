import Foundation
import Tensors

/// `metrics.jsonl`: one JSON object a line and step, appended as training goes.
///
/// A line is written in one piece; the last one may still be cut off when the machine stops, and is then ignored.
public final class MetricsLog: Sendable {
    public let path: String
    private let descriptor: Int32

    /// Opens a log to append to; a missing file is created.
    /// - Parameter step: the step from which training is resumed, 0 for a new run: the lines of later steps are
    ///   removed, as those steps will be made again. nil leaves the file as it is.
    /// - Throws: `InputError` that names the path, and the line that is no metrics.
    public init(path: String, resumingAfter step: Int? = nil) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.failure("cannot be opened for writing", path) }
        self.path = path
        self.descriptor = descriptor
        let end = try Self.end(of: path, after: step)
        guard ftruncate(descriptor, off_t(end)) == 0 else { throw Self.failure("cannot be shortened", path) }
    }

    deinit { close(descriptor) }

    /// Appends a line.
    /// - Throws: `InputError` with the system's reason, such as a full disk; the file then ends with the line before.
    public func append(_ metrics: StepMetrics) throws {
        let end = lseek(descriptor, 0, SEEK_END)
        do {
            // The second call after one that wrote a part of the line gives the reason.
            try Array((metrics.line + "\n").utf8).withUnsafeBytes {
                try AtomicFile.Output(descriptor: descriptor, path: path).write($0)
            }
        } catch {
            ftruncate(descriptor, end)
            throw error
        }
    }

    /// Waits until all lines are on the disk.
    /// - Throws: `InputError` with the system's reason.
    public func synchronize() throws {
        guard fsync(descriptor) == 0 else { throw Self.failure("cannot be written", path) }
    }

    /// Removes the lines of steps later than `step`.
    /// - Throws: `InputError` that names the path, and the line that is no metrics.
    public func rewind(to step: Int) throws {
        guard ftruncate(descriptor, off_t(try Self.end(of: path, after: step))) == 0 else {
            throw Self.failure("cannot be shortened", path)
        }
    }

    /// All lines of a log, in order.
    /// - Throws: `InputError` with file and line number.
    public static func read(path: String) throws -> [StepMetrics] {
        try lines(of: path).map { number, bytes in
            try StepMetrics(line: bytes, place: "\(path), line \(number)")
        }
    }

    /// Where the file has to end: before the first line of a step later than `step`, and after the last whole line.
    private static func end(of path: String, after step: Int?) throws -> Int {
        var end = 0
        for (number, bytes) in try lines(of: path) {
            if let step {
                let metrics = try StepMetrics(line: bytes, place: "\(path), line \(number)")
                if metrics.step > step { break }
            }
            end = bytes.endIndex + 1
        }
        return end
    }

    /// The whole lines with their numbers, counted from 1.
    private static func lines(of path: String) throws -> [(number: Int, bytes: ArraySlice<UInt8>)] {
        let bytes = try MappedFile(path: path).withUnsafeBytes { Array($0) }
        let whole = bytes.prefix((bytes.lastIndex(of: 0x0A) ?? -1) + 1)
        return whole.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast().enumerated()
            .map { (number: $0 + 1, bytes: $1) }
    }

    private static func failure(_ problem: String, _ path: String) -> InputError {
        InputError("\(path): \(problem): \(String(cString: strerror(errno)))")
    }
}
