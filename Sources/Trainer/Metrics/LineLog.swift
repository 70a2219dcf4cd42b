import Foundation
import Tensors

/// A file of one JSON object a line, which grows as training goes.
///
/// A line is written in one piece; the last one may still be cut off when the machine stops, and is then ignored. Lines that
/// cannot be read (a bad disk, an editor) are no reason to stop a training: they are left out and reported.
final class LineLog: Sendable {
    /// Reads a line at a place ("FILE, line N").
    /// - Throws: `InputError` for a broken line.
    typealias Reader<Value> = (_ line: ArraySlice<UInt8>, _ place: String) throws -> Value

    let path: String
    private let descriptor: Int32

    /// Opens a log to append to; a missing file is created, and what follows the last whole line removed.
    /// - Parameters:
    ///   - warn: is called with a sentence about the lines that are broken, which are removed.
    ///   - isKept: is given each whole line; those that are not to be kept are removed.
    /// - Throws: `InputError` that names the path.
    init(path: String, warn: (String) -> Void, where isKept: Reader<Bool>) throws {
        try Self.clean(path, warn, where: isKept)
        self.path = path
        descriptor = try Self.open(path).descriptor
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
    /// - Throws: `InputError` that names the path.
    func shorten(while isKept: Reader<Bool>) throws {
        var end = 0
        for (line, place) in try Self.lines(of: path) {
            guard (try? isKept(line, place)) ?? true else { break }
            end = line.endIndex + 1
        }
        guard ftruncate(descriptor, off_t(end)) == 0 else { throw Self.failure("cannot be shortened", path) }
    }

    /// Waits until all lines are on the disk.
    /// - Throws: `InputError` with the system's reason.
    func synchronize() throws {
        guard Tensors.synchronize(descriptor) else { throw Self.failure("cannot be written", path) }
    }

    // MARK: Reading

    /// Reads the values of the whole lines of a file, in order.
    /// - Parameter warn: is called with a sentence about the lines that are broken, which are left out; nil to throw the
    ///   error of the first.
    static func values<Value>(
        of path: String, warn: ((String) -> Void)?, _ read: Reader<Value>
    ) throws -> [Value] {
        let lines = try lines(of: path)
        guard let warn else { return try lines.map { try read($0.line, $0.place) } }
        return passingBroken(lines, warn) { line, place in try read(line, place) }
    }

    private typealias Line = (line: ArraySlice<UInt8>, place: String)

    /// The values of the lines that have one and are not broken.
    private static func passingBroken<Value>(
        _ lines: [Line], _ warn: (String) -> Void, _ value: Reader<Value?>
    ) -> [Value] {
        var values: [Value] = []
        var problems: [String] = []
        for (line, place) in lines {
            do {
                if let value = try value(line, place) { values.append(value) }
            } catch {
                problems.append((error as? InputError)?.message ?? "\(place): \(error)")
            }
        }
        if let first = problems.first {
            let others = problems.count - 1
            let also = others == 0 ? "" : " (and \(others) other \(others == 1 ? "line" : "lines"))"
            warn("\(first)\(also); left out")
        }
        return values
    }

    /// The whole lines of a file.
    private static func lines(of path: String) throws -> [Line] {
        let bytes = try MappedFile(path: path).withUnsafeBytes { Array($0) }
        let whole = bytes.prefix((bytes.lastIndex(of: 0x0A) ?? -1) + 1)
        return whole.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast().enumerated()
            .map { (line: $1, place: "\(path), line \($0 + 1)") }
    }

    // MARK: Files

    /// Removes from a file what is not to be kept and what is broken.
    private static func clean(_ path: String, _ warn: (String) -> Void, where isKept: Reader<Bool>) throws {
        let (descriptor, names) = try open(path)
        defer { close(descriptor) }
        let kept = passingBroken(try lines(of: path), warn) { line, place in try isKept(line, place) ? line : nil }
        let count = kept.reduce(0) { $0 + $1.count + 1 }
        let isBeginning = kept.last.map { $0.endIndex + 1 == count } ?? true
        // A file that has another name too, as in a copy made of links, stays as it is there.
        guard isBeginning, names == 1 else {
            return try AtomicFile.write(Array(kept.map { $0 + [0x0A] }.joined()), to: path)
        }
        guard ftruncate(descriptor, off_t(count)) == 0 else { throw failure("cannot be shortened", path) }
    }

    /// Opens a log, but not through a link, whose target belongs to others.
    private static func open(_ path: String) throws -> (descriptor: Int32, names: UInt64) {
        let flags = O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        let descriptor = Foundation.open(path.fileSystemName, flags, 0o666)
        if descriptor < 0, errno == ELOOP {
            throw InputError("\(path): is a symbolic link; expected a file of the run's own")
        }
        guard descriptor >= 0 else { throw failure("cannot be opened for writing", path) }
        var status = stat()
        fstat(descriptor, &status)
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw InputError("\(path): is not a regular file")
        }
        return (descriptor, UInt64(status.st_nlink))
    }

    private static func failure(_ problem: String, _ path: String) -> InputError {
        InputError("\(path): \(problem): \(String(cString: strerror(errno)))")
    }
}
