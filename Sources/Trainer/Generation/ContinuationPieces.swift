/// Turns tokens of a continuation into the pieces that are given out: without stop texts, and in whole characters where a
/// text is wanted instead of bytes.
struct ContinuationPieces {
    private let tokenizer: any Tokenizer
    private let wholeCharacters: Bool
    private var search: StopSearch
    /// The beginning of a character that is not complete yet.
    private var incomplete: [UInt8] = []

    init(_ tokenizer: any Tokenizer, stop: StopTexts?, wholeCharacters: Bool) {
        (self.tokenizer, self.wholeCharacters) = (tokenizer, wholeCharacters)
        search = stop?.makeSearch() ?? StopSearch()
    }

    /// True once a stop text has ended the continuation.
    var isFound: Bool { search.isFound }

    /// Bytes that have come and are not given out yet.
    var held: [UInt8] { incomplete + search.held }

    /// The bytes that a token makes ready; often none.
    mutating func append(_ token: Int32) -> [UInt8] { append(bytes: tokenizer.bytes(of: token)) }

    mutating func append(bytes: [UInt8]) -> [UInt8] {
        let free = search.append(bytes)
        guard wholeCharacters else { return free }
        incomplete += free
        let ready = incomplete.count - (isFound ? 0 : StreamingDecoder.incompleteSuffix(of: incomplete))
        defer { incomplete.removeFirst(ready) }
        return Array(incomplete[..<ready])
    }
}
