import Foundation
import Tensors

/// A file of one JSON object a line, which grows as training goes.
///
/// A line is written in one piece; the last one may still be cut off when the machine stops, and is then ignored.
final class LineLog: Sendable {
    let path: String
    private let descriptor: Int32

    /// Opens a log to append to; a missing file is created, and what follows the last whole line removed.
    /// - Parameter isKept: is given whole lines with their place ("FILE, line N") until one is not to be kept; that and all
    ///   after it are removed.
    /// - Throws: `InputError` that names the path.
    init(path: String, while isKept: (_ line: ArraySlice<UInt8>, _ place: String) throws -> Bool) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.failure("cannot be opened for writing", path) }
        self.path = path
        self.descriptor = descriptor
        try shorten(while: isKept)
    }

    deinit { close(descriptor) }

    /// Appends a line.
    /// - Throws: `InputError` with the system's reason, such as a full disk; the file then ends with the line before.
    func append(_ line: String) throws {
        let end = lseek(descriptor, 0, SEEK_END)
        do {
            // The second call after one that wrote a part of the line gives the reason.
            try Array((line + "\n").utf8).withUnsafeBytes {
                try AtomicFile.Output(descriptor: descriptor, path: path).write($0)
            }
        } catch {
            ftruncate(descriptor, end)
            throw error
        }
    }

    /// Removes the first whole line that is not to be kept, and all that follows it.
    /// - Throws: `InputError` that names the path, or what `isKept` throws.
    func shorten(while isKept: (_ line: ArraySlice<UInt8>, _ place: String) throws -> Bool) throws {
        var end = 0
        for (line, place) in try Self.lines(of: path) {
            guard try isKept(line, place) else { break }
            end = line.endIndex + 1
        }
        guard ftruncate(descriptor, off_t(end)) == 0 else { throw Self.failure("cannot be shortened", path) }
    }

    /// Waits until all lines are on the disk.
    /// - Throws: `InputError` with the system's reason.
    func synchronize() throws {
        guard Tensors.synchronize(descriptor) else { throw Self.failure("cannot be written", path) }
    }

    /// The whole lines of a file, each with its place ("FILE, line N", counted from 1).
    static func lines(of path: String) throws -> [(line: ArraySlice<UInt8>, place: String)] {
        let bytes = try MappedFile(path: path).withUnsafeBytes { Array($0) }
        let whole = bytes.prefix((bytes.lastIndex(of: 0x0A) ?? -1) + 1)
        return whole.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast().enumerated()
            .map { (line: $1, place: "\(path), line \($0 + 1)") }
    }

    private static func failure(_ problem: String, _ path: String) -> InputError {
        InputError("\(path): \(problem): \(String(cString: strerror(errno)))")
    }
}
