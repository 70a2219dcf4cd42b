/// The added tokens of a tokenizer, and the search for them.
struct AddedTokens: Sendable {
    let tokens: [AddedToken]
    private let byID: [Int: AddedToken]
    private let idOfContent: [[UInt8]: Int]
    private let specialContents: Set<[UInt8]>
    private let original: ByteTrie
    private let normalized: ByteTrie

    init(_ tokens: [AddedToken], _ normalizer: Normalizer?) {
        self.tokens = tokens
        byID = Dictionary(tokens.map { ($0.id, $0) }) { _, last in last }
        idOfContent = Dictionary(tokens.map { (Array($0.content.utf8), $0.id) }) { _, last in last }
        specialContents = Set(tokens.filter(\.isSpecial).map { Array($0.content.utf8) })
        (original, normalized) = (
            Self.trie(tokens, normalizer, ofNormalized: false), Self.trie(tokens, normalizer, ofNormalized: true)
        )
    }

    private static func trie(_ tokens: [AddedToken], _ normalizer: Normalizer?, ofNormalized: Bool) -> ByteTrie {
        var trie = ByteTrie()
        for token in tokens where token.normalized == ofNormalized {
            var content = Array(token.content.utf8)
            var keepsStart = true
            if ofNormalized, let normalizer { content = normalizer.apply(to: content, keepsStart: &keepsStart) }
            trie.insert(content, Int32(token.id))
        }
        return trie
    }

    func token(of id: Int) -> AddedToken? { byID[id] }

    func id(of content: [UInt8]) -> Int? { idOfContent[content] }

    /// True if decoding leaves a token out.
    func isSpecial(_ content: [UInt8]) -> Bool { specialContents.contains(content) }

    var endIndex: Int { tokens.map { $0.id + 1 }.max() ?? 0 }

    /// Whether a text may be cut between two letters and a space without cutting a token or changing what is found.
    var allowCuts: Bool {
        tokens.allSatisfy {
            !$0.stripsLeft && !$0.stripsRight && !$0.singleWord && !$0.content.utf8.contains(0x20)
        }
    }

    /// Calls `body` with the parts of a text in order: a token that was found, or nil and a range of other text, not empty.
    /// - Parameter isNormalized: which of the tokens are searched for.
    func forEachPart(of text: Bytes, isNormalized: Bool, _ body: (_ id: Int32?, _ range: Range<Int>) -> Void) {
        let trie = isNormalized ? normalized : original
        var (end, position) = (0, 0)
        while let match = trie.firstMatch(in: text, from: position) {
            position = match.range.upperBound
            guard let token = byID[Int(match.value)], !token.singleWord || isWord(match.range, of: text) else {
                continue
            }
            let range = widened(match.range, token, in: text, after: end)
            if range.lowerBound > end { body(nil, end..<range.lowerBound) }
            body(match.value, range)
            end = range.upperBound
        }
        if end < text.count { body(nil, end..<text.count) }
    }

    private func isWord(_ range: Range<Int>, of text: Bytes) -> Bool {
        if range.lowerBound > 0, isWord(text.scalar(before: range.lowerBound).value) { return false }
        return range.upperBound == text.count || !isWord(text.scalar(at: range.upperBound).value)
    }

    private func isWord(_ value: UInt32) -> Bool { Unicode.Scalar(value)!.isWord }

    /// The range with the white space that belongs to the token.
    private func widened(_ range: Range<Int>, _ token: AddedToken, in text: Bytes, after end: Int) -> Range<Int> {
        var (lower, upper) = (range.lowerBound, range.upperBound)
        if token.stripsLeft {
            while lower > end, case (let value, let before) = text.scalar(before: lower), isSpace(value) {
                lower = before.lowerBound
            }
            lower = max(lower, end)
        }
        if token.stripsRight {
            while upper < text.count, case (let value, let length) = text.scalar(at: upper), isSpace(value) {
                upper += length
            }
        }
        return lower..<upper
    }

    private func isSpace(_ value: UInt32) -> Bool { Unicode.Scalar(value)!.properties.isWhitespace }
}
