/// The longest tokens from left to right (BERT); a word with a part that is no token is unknown as a whole.
struct WordPieceModel: Sendable {
    let vocabulary: Vocabulary
    private let unknown: Int32
    private let prefix: String
    private let longestWord: Int
    /// Bytes of the longest token: no longer part need be looked up.
    private let longestToken: Int

    init(_ component: Component) throws {
        vocabulary = try Vocabulary(component.required("vocab"))
        unknown = try vocabulary.unknownToken(component.required("unk_token"))
        prefix = try component.string("continuing_subword_prefix", default: "##")
        longestWord = try component.optional("max_input_chars_per_word")?.count() ?? 100
        longestToken = (0..<vocabulary.endIndex).map { [vocabulary] in vocabulary.token(of: $0)?.count ?? 0 }.max() ?? 0
    }

    func append(_ word: Bytes, to tokens: inout [Int32]) {
        let before = tokens.count
        guard word.count(where: { $0 & 0xC0 != 0x80 }) <= longestWord, appendParts(of: word, to: &tokens) else {
            tokens.removeSubrange(before...)
            tokens.append(unknown)
            return
        }
    }

    private func appendParts(of word: Bytes, to tokens: inout [Int32]) -> Bool {
        var start = 0
        var part: [UInt8] = []
        while start < word.count {
            var end = min(word.count, start + longestToken)
            while end < word.count, word[end] & 0xC0 == 0x80 { end -= 1 }
            var found: Int32?
            while end > start {
                part.removeAll(keepingCapacity: true)
                if start > 0 { part.append(contentsOf: prefix.utf8) }
                part.append(contentsOf: word[start..<end])
                found = vocabulary.id(of: part)
                if found != nil { break }
                end = word.scalar(before: end).range.lowerBound
            }
            guard let found else { return false }
            tokens.append(found)
            start = end
        }
        return true
    }

    var json: JSON {
        [
            "type": "WordPiece", "unk_token": .string(vocabulary.text(of: unknown)),
            "continuing_subword_prefix": .string(prefix),
            "max_input_chars_per_word": .number(Double(longestWord)), "vocab": vocabulary.json,
        ]
    }
}
