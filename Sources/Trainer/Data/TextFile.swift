import Foundation
import Tensors

/// A file of a text, read piece by piece at the length that it had when it was opened.
///
/// It is read, not mapped into memory: touching a mapped page behind the end of a file that was shortened meanwhile ends
/// the process by a signal, and no look at the length beforehand closes the gap between the look and the touch. A read says
/// how much it got, needs no handler of signals, and costs a batch of windows a few microseconds.
///
/// Bytes appended to the file are not read. A file that is moved, removed, or replaced by a rename is read on; one that
/// is shortened or written to is an error.
final class TextFile: Sendable {
    /// The path as given.
    let path: String
    /// The number of bytes.
    let count: Int
    private let written: Moment
    /// The last bytes, by which a file that was appended to is told from one that was written anew and is longer now.
    private let tail: [UInt8]
    private let identity: Identity
    /// nil where the file is opened for each read.
    private let descriptor: Int32?

    /// The identity of the file that a name refers to.
    private struct Identity: Equatable {
        let device: dev_t
        let inode: ino_t

        init(_ status: stat) { (device, inode) = (status.st_dev, status.st_ino) }
    }

    /// The time when a file was last written to.
    private struct Moment: Equatable {
        let seconds: Int
        let nanoseconds: Int

        init(_ status: stat) {
            #if canImport(Darwin)
                let time = status.st_mtimespec
            #else
                let time = status.st_mtim
            #endif
            (seconds, nanoseconds) = (Int(time.tv_sec), Int(time.tv_nsec))
        }
    }

    /// The number of files kept open, limited so that a folder of any number of them takes no more descriptors.
    private static let kept = Guarded(0)
    private static let mostKept = 128
    private static let tailLength = 64

    /// - Throws: `InputError` that names the path when it is missing, a folder, not a regular file, or not readable.
    init(path: String) throws {
        let (descriptor, status) = try RegularFile.open(path)
        self.path = path
        count = Int(status.st_size)
        (written, identity) = (Moment(status), Identity(status))
        do {
            let range = max(0, count - Self.tailLength)..<count
            tail = try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, read in
                read = try Self.read(range, of: path, descriptor, into: .init(buffer))
            }
        } catch {
            close(descriptor)
            throw error
        }
        let isKept = Self.kept.withLock { count in
            defer { count += count < Self.mostKept ? 1 : 0 }
            return count < Self.mostKept
        }
        self.descriptor = isKept ? descriptor : nil
        if !isKept { close(descriptor) }
    }

    deinit {
        guard let descriptor else { return }
        close(descriptor)
        Self.kept.withLock { $0 -= 1 }
    }

    /// Copies the bytes of a range to the beginning of `buffer`, which has room for them.
    /// - Throws: `InputError` that names the file when it was shortened, written to, or cannot be read.
    func read(_ range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws {
        if let descriptor { return try read(range, from: descriptor, into: buffer) }
        let (descriptor, status) = try RegularFile.open(path)
        defer { close(descriptor) }
        guard Identity(status) == identity else { throw changed("was replaced by another file") }
        try read(range, from: descriptor, into: buffer)
    }

    /// The bytes of a range.
    /// - Throws: as `read(_:into:)`.
    func bytes(_ range: Range<Int>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            try read(range, into: .init(buffer))
            count = range.count
        }
    }

    private func read(_ range: Range<Int>, from descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer) throws {
        let found = try Self.read(range, of: path, descriptor, into: buffer)
        // After the read: what was written before or during it has changed the file's time by now.
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw RegularFile.unreadable(path, errno) }
        let length = Int(status.st_size)
        guard length >= count, found == range.count else {
            throw changed("was shortened from \(count) to \(length) bytes")
        }
        if Moment(status) != written { try requireOnlyAppended(length, descriptor) }
    }

    /// - Throws: `InputError` when the bytes there were can be others now.
    private func requireOnlyAppended(_ length: Int, _ descriptor: Int32) throws {
        let now = try [UInt8](unsafeUninitializedCapacity: tail.count) { buffer, read in
            read = try Self.read(count - tail.count..<count, of: path, descriptor, into: .init(buffer))
        }
        guard length > count, now == tail else { throw changed("was changed") }
    }

    private func changed(_ what: String) -> InputError {
        InputError(
            "\(path): \(what) while it was in use; expected a text that stays as it is (what is appended is ignored)")
    }

    /// - Returns: how many bytes there were, fewer than asked for where the file has been shortened.
    private static func read(
        _ range: Range<Int>, of path: String, _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer
    ) throws -> Int {
        var count = 0
        while count < range.count {
            let found = pread(
                descriptor, buffer.baseAddress! + count, min(range.count - count, 1 << 30),
                off_t(range.lowerBound + count))
            if found < 0 && errno == EINTR { continue }
            guard found >= 0 else { throw RegularFile.unreadable(path, errno) }
            if found == 0 { break }
            count += found
        }
        return count
    }
}
