import CZlib
import Foundation
import Tensors

/// Reads gzip files (RFC 1952), also ones of several members, as `cat a.gz b.gz` makes them.
enum Gzip {
    /// The decompressed contents, checked against the lengths and checksums in the file.
    /// - Throws: `InputError` naming the path when the file is not gzip, damaged, or cut off.
    static func decompress(_ file: TextFile) throws -> [UInt8] {
        guard try file.bytes(0..<min(2, file.count)) == [0x1F, 0x8B] else {
            throw InputError("\(file.path): is not gzip data; expected that of a file named .gz")
        }
        return try Inflation(file).run()
    }
}

/// One decompression in progress.
private final class Inflation {
    /// At a fixed address, which zlib remembers.
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let file: TextFile
    private var path: String { file.path }
    /// The input buffer of zlib, at a fixed address too, and the number of the file's bytes given to it.
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 1)
    private var given = 0
    private var output: [UInt8] = []
    private var chunk = [UInt8](repeating: 0, count: 1 << 18)

    init(_ file: TextFile) throws {
        self.file = file
        stream.initialize(to: z_stream())
        // 15 is the largest window, + 16 asks for gzip and nothing else.
        let status = inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else { throw InputError("\(file.path): zlib cannot start (status \(status))") }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        input.deallocate()
    }

    func run() throws -> [UInt8] {
        try reserveOutput()
        while true {
            // An array that is full is copied to one of twice the size.
            if output.count + chunk.count > output.capacity { try requireRoom(for: 2 * output.capacity) }
            try giveInput()
            switch inflateChunk() {
            case Z_OK: continue
            case Z_STREAM_END:
                if try isOnlyPadding(from: given - Int(stream.pointee.avail_in)) { return output }
                inflateReset(stream)  // another member follows
            case Z_BUF_ERROR where given == file.count && stream.pointee.avail_in == 0:
                throw InputError("\(path): ends in the middle; expected a complete gzip file")
            case Z_MEM_ERROR: throw InputError("\(path): not enough memory to decompress it")
            default:
                let reason = stream.pointee.msg.map { String(cString: $0) } ?? "unknown compression"
                throw InputError("\(path): damaged gzip data: \(reason)")
            }
        }
    }

    private func giveInput() throws {
        guard stream.pointee.avail_in == 0, given < file.count else { return }
        let length = min(file.count - given, input.count)
        try file.read(given..<given + length, into: input)
        stream.pointee.next_in = input.baseAddress!.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = UInt32(length)
        given += length
        ReadingProgress.report("reading \(path)", given, of: file.count)
    }

    /// Decompresses until the chunk is full, the input used up, or a member at its end.
    private func inflateChunk() -> Int32 {
        let status = chunk.withUnsafeMutableBufferPointer { buffer in
            stream.pointee.next_out = buffer.baseAddress
            stream.pointee.avail_out = UInt32(buffer.count)
            return inflate(stream, Z_NO_FLUSH)
        }
        output += chunk[..<(chunk.count - Int(stream.pointee.avail_out))]
        return status
    }

    /// - Throws: `InputError` where memory would not hold so many bytes more.
    private func requireRoom(for bytes: Int) throws {
        // What is small is had anyway, and asking takes as long as to decompress some of it.
        guard bytes > 1 << 24 else { return }
        try MemoryLimits.requireRoom(
            for: bytes, "\(path): is held in memory once it is decompressed, which takes", remedy: "decompress it first"
        )
    }

    /// Tells whether nothing but zeros follows, which tapes and some tools leave at the end.
    private func isOnlyPadding(from position: Int) throws -> Bool {
        try stride(from: position, to: file.count, by: 1 << 16).allSatisfy { start in
            try file.bytes(start..<min(start + 1 << 16, file.count)).allSatisfy { $0 == 0 }
        }
    }

    /// The last four bytes are the length (of the last member, below 4 GB): growing an array to it step by step would
    /// need up to three times the memory. A lying length costs nothing but address space.
    private func reserveOutput() throws {
        let trailer = try file.bytes(max(0, file.count - 4)..<file.count).reversed().reduce(0) { $0 << 8 | Int($1) }
        let most = file.count * 1032  // no deflate stream expands more
        try requireRoom(for: min(trailer, most))
        output.reserveCapacity(min(trailer, most))
    }
}
