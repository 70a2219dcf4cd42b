import Tensors

/// Where a tokenizer keeps the tokens of a text, or how it makes them when they are asked for.
public protocol TokenStorage: Sendable {
    /// The number of tokens.
    var count: Int { get }

    /// Writes the tokens of `range` to `destination`, which has room for them.
    func copy(_ range: Range<Int>, into destination: UnsafeMutablePointer<Int32>)

    /// How many bytes of UTF-8 text the tokens of `range` stand for.
    func byteCount(of range: Range<Int>) -> Int

    /// The CRC-32 of the tokens of `range`; unless said otherwise, of their 32 bits, the low byte first.
    func checksum(of range: Range<Int>) -> UInt32
}

/// The tokens of a text, or of a part of it, handed out range by range.
public struct TokenSource: Sendable {
    /// What messages call the text.
    public let name: String
    private let storage: any TokenStorage
    private let range: Range<Int>

    public init(name: String, storage: some TokenStorage) {
        self.init(name: name, storage: storage, range: 0..<storage.count)
    }

    /// Tokens in memory, each standing for one byte of text.
    public init(name: String, tokens: [Int32]) {
        self.init(name: name, storage: TokenArray(tokens: tokens))
    }

    private init(name: String, storage: any TokenStorage, range: Range<Int>) {
        self.name = name
        self.storage = storage
        self.range = range
    }

    /// The number of tokens.
    public var count: Int { range.count }

    /// The tokens of a range.
    public subscript(part: Range<Int>) -> [Int32] {
        Array(unsafeUninitializedCapacity: part.count) { buffer, count in
            if let address = buffer.baseAddress { copy(part, into: address) }
            count = part.count
        }
    }

    /// Writes the tokens of a range to `destination`, which must have room for `part.count`.
    public func copy(_ part: Range<Int>, into destination: UnsafeMutablePointer<Int32>) {
        storage.copy(within(part), into: destination)
    }

    /// A part of the text as a source of its own; nothing is copied.
    public func slice(_ part: Range<Int>, name: String) -> TokenSource {
        TokenSource(name: name, storage: storage, range: within(part))
    }

    /// How many bytes of UTF-8 text the tokens stand for. May have to look at every one of them: keep the answer.
    public func byteCount() -> Int { storage.byteCount(of: range) }

    func checksum() -> UInt32 { storage.checksum(of: range) }

    private func within(_ part: Range<Int>) -> Range<Int> {
        require(
            part.lowerBound >= 0 && part.upperBound <= count,
            "TokenSource: tokens \(part) of \(name), which has \(count)")
        return range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound
    }
}

private struct TokenArray: TokenStorage {
    let tokens: [Int32]

    var count: Int { tokens.count }

    func copy(_ range: Range<Int>, into destination: UnsafeMutablePointer<Int32>) {
        _ = UnsafeMutableBufferPointer(start: destination, count: range.count).update(fromContentsOf: tokens[range])
    }

    func byteCount(of range: Range<Int>) -> Int { range.count }
}
