import Foundation
import Tensors

/// Where the bytes of one document lie.
enum TextBytes: Sendable {
    /// A file that the system reads when its bytes are touched.
    case mapped(MappedFile)
    /// Bytes of our own: what came out of a compressed file.
    case memory([UInt8])

    var count: Int {
        switch self {
        case .mapped(let file): file.count
        case .memory(let bytes): bytes.count
        }
    }

    /// Calls `body` with all bytes; the buffer must not be used after `body` returns.
    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        switch self {
        case .mapped(let file): try file.withUnsafeBytes(body)
        case .memory(let bytes): try bytes.withUnsafeBytes(body)
        }
    }

    /// Tells the system that the bytes of `range` are not needed for now, so that a process that has been through a
    /// text of a gigabyte is not a gigabyte large. They are read again when touched again, by whichever thread.
    func release(_ range: Range<Int>) {
        guard case .mapped(let file) = self, !range.isEmpty else { return }
        // Touching one page of a file maps its neighbours as well if they are in the system's cache, as far as 2 MiB away:
        // Linux maps the 64 KiB around it, and all of what it keeps in one piece.
        let reach = 1 << 21
        file.withUnsafeBytes { bytes in
            let page = 1 << 16  // a multiple of what any system calls a page
            let start = max(0, range.lowerBound - reach) / page * page
            let end = min(file.count, range.upperBound + reach)
            let address = UnsafeMutableRawPointer(mutating: bytes.baseAddress! + start)
            _ = madvise(address, end - start, MADV_DONTNEED)
        }
    }
}
