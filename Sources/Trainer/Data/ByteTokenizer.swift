import Foundation
import NN

/// One token a byte of the UTF-8 text: 256 tokens, any text, nothing to learn or to keep.
public struct ByteTokenizer: Tokenizer {
    /// Creates the tokenizer, which has no options.
    public init() {}

    public var kind: TokenizerKind { .bytes }

    public var vocabularySize: Int { 256 }

    public func encode(_ text: String) -> [Int32] {
        text.utf8.map(Int32.init)
    }

    public func encode(bytes: [UInt8]) -> [Int32] { bytes.map(Int32.init) }

    public func bytes(of token: Int32) -> [UInt8] {
        UInt8(exactly: token).map { [$0] } ?? Array("\u{FFFD}".utf8)
    }

    /// Bytes are read from the files when they are asked for; the text need not be valid UTF-8.
    public func tokens(of text: TextSource) -> TokenSource {
        TokenSource(name: text.name, storage: ByteTokens(text: text))
    }

    public var savedState: any Encodable & Sendable { [String: String]() }
}

private struct ByteTokens: TokenStorage {
    let text: TextSource

    var count: Int { text.count }

    func copy(_ range: Range<Int>, into destination: UnsafeMutablePointer<Int32>) throws {
        try text.forEachPiece(of: range) { offset, bytes in
            for i in bytes.indices { destination[offset + i] = Int32(bytes[i]) }
        }
    }

    func byteCount(of range: Range<Int>) -> Int { range.count }

    /// Computes the checksum of the bytes as they are, which is that of the text.
    func checksum(of range: Range<Int>) throws -> UInt32 {
        var checksum = CRC32()
        try text.forEachPiece(of: range) { _, bytes in checksum.update(bytes) }
        return checksum.value
    }

    func fileEnd(after position: Int) -> Int { text.document(at: position).range.upperBound }

    func forEachPosition(of token: Int32, in range: Range<Int>, _ body: (Int) throws -> Bool) throws {
        guard let byte = UInt8(exactly: token) else { return }
        try text.forPieces(of: range) { offset, bytes in
            var rest = bytes
            while let start = rest.baseAddress, let found = memchr(start, Int32(byte), rest.count) {
                let position = UnsafeRawPointer(found) - bytes.baseAddress!
                guard try body(range.lowerBound + offset + position) else { return false }
                rest = UnsafeRawBufferPointer(rebasing: bytes[(position + 1)...])
            }
            return true
        }
    }
}
