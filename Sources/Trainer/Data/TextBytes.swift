/// The storage of one document's bytes.
enum TextBytes: Sendable {
    /// A file that is read where its bytes are asked for.
    case file(TextFile)
    /// Bytes of our own: what came out of a compressed file.
    case memory([UInt8])

    var count: Int {
        switch self {
        case .file(let file): file.count
        case .memory(let bytes): bytes.count
        }
    }

    /// Calls `body` with the bytes of a range; the buffer must not be used after `body` returns.
    /// - Parameter scratch: where those of a file are read to; has room for them.
    /// - Throws: `InputError` that names the file when it was shortened, changed, or cannot be read.
    @inline(__always)
    func withBytes<Result>(
        _ range: Range<Int>, scratch: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        switch self {
        case .file(let file):
            try file.read(range, into: scratch)
            return try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<range.count]))
        case .memory(let bytes):
            return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        }
    }
}
