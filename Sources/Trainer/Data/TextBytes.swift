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
        // Touching one page of a file maps its neighbours as well, 64 KiB in all, if they are in the system's cache.
        let neighbourhood = 1 << 16
        let start = range.lowerBound / neighbourhood * neighbourhood
        let end = min(file.count, (range.upperBound + neighbourhood - 1) / neighbourhood * neighbourhood)
        file.withUnsafeBytes { bytes in
            let address = UnsafeMutableRawPointer(mutating: bytes.baseAddress! + start)
            _ = madvise(address, end - start, MADV_DONTNEED)
        }
    }
}
