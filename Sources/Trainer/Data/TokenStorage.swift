import Tensors

/// A tokenizer's storage of a text's tokens, or its way to make them when they are asked for.
///
/// The first three are needed; the others have implementations on top of them for a text in one file.
public protocol TokenStorage: Sendable {
    /// The number of tokens.
    var count: Int { get }

    /// Writes the tokens of `range` to `destination`, which has room for them.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    func copy(_ range: Range<Int>, into destination: UnsafeMutablePointer<Int32>) throws

    /// Counts the bytes of UTF-8 text that the tokens of `range` encode.
    func byteCount(of range: Range<Int>) throws -> Int

    /// The CRC-32 of the tokens of `range`; unless said otherwise, of their 32 bits, the low byte first.
    func checksum(of range: Range<Int>) throws -> UInt32

    /// The token that stands for this byte and no other; nil when there is none. Unless said otherwise, its number.
    func token(of byte: UInt8) -> Int32?

    /// Returns the end of the file that holds the token at `position`: the position after its last token.
    func fileEnd(after position: Int) -> Int

    /// Calls `body` with the position of every `token` within `range`, in order, as long as it returns true.
    func forEachPosition(of token: Int32, in range: Range<Int>, _ body: (Int) throws -> Bool) throws
}

extension TokenStorage {
    public func token(of byte: UInt8) -> Int32? { Int32(byte) }

    public func fileEnd(after position: Int) -> Int { count }

    public func forEachPosition(of token: Int32, in range: Range<Int>, _ body: (Int) throws -> Bool) throws {
        let pieceLength = 1 << 12
        try withUnsafeTemporaryAllocation(of: Int32.self, capacity: min(pieceLength, range.count)) { piece in
            for start in stride(from: range.lowerBound, to: range.upperBound, by: pieceLength) {
                let part = start..<min(start + pieceLength, range.upperBound)
                try copy(part, into: piece.baseAddress!)
                for i in 0..<part.count where try piece[i] == token && !body(start + i) { return }
            }
        }
    }
}

/// Tokens in memory, each standing for one byte of text.
struct TokenArray: TokenStorage {
    let tokens: [Int32]

    var count: Int { tokens.count }

    func copy(_ range: Range<Int>, into destination: UnsafeMutablePointer<Int32>) {
        _ = UnsafeMutableBufferPointer(start: destination, count: range.count).update(fromContentsOf: tokens[range])
    }

    func byteCount(of range: Range<Int>) -> Int { range.count }
}
