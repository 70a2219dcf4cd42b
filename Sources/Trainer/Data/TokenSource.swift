import Tensors

/// The tokens of a text, or of a part of it, handed out range by range.
public struct TokenSource: Sendable {
    /// The name of the text in messages.
    public let name: String
    /// The separator of documents in the text.
    public let separator: DocumentSeparator
    let storage: any TokenStorage
    /// The part of the storage that this is.
    let range: Range<Int>

    /// Creates a source of stored tokens; messages call it by its name.
    public init(name: String, storage: some TokenStorage) {
        self.init(name: name, storage: storage, range: 0..<storage.count, separator: .nothing)
    }

    /// Tokens in memory, each standing for one byte of text.
    public init(name: String, tokens: [Int32]) {
        self.init(name: name, storage: TokenArray(tokens: tokens))
    }

    init(name: String, storage: any TokenStorage, range: Range<Int>, separator: DocumentSeparator) {
        self.name = name
        self.storage = storage
        self.range = range
        self.separator = separator
    }

    /// The number of tokens.
    public var count: Int { range.count }

    /// The tokens of a range.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    public subscript(part: Range<Int>) -> [Int32] {
        get throws {
            try Array(unsafeUninitializedCapacity: part.count) { buffer, count in
                if let address = buffer.baseAddress { try copy(part, into: address) }
                count = part.count
            }
        }
    }

    /// Writes the tokens of a range to `destination`, which must have room for `part.count`.
    public func copy(_ part: Range<Int>, into destination: UnsafeMutablePointer<Int32>) throws {
        try storage.copy(within(part), into: destination)
    }

    /// A part of the text as a source of its own, with the same ends of documents; nothing is copied.
    public func slice(_ part: Range<Int>, name: String) -> TokenSource {
        TokenSource(name: name, storage: storage, range: within(part), separator: separator)
    }

    /// Counts the bytes of UTF-8 text that the tokens encode. May have to look at every one of them: keep the answer.
    public func byteCount() throws -> Int { try storage.byteCount(of: range) }

    /// A range of this source as one of the storage.
    func within(_ part: Range<Int>) -> Range<Int> {
        require(
            part.lowerBound >= 0 && part.upperBound <= count,
            "TokenSource: tokens \(part) of \(name), which has \(count)")
        return range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound
    }
}
