/// Byte pair encoding (1508.07909): the characters of a word, of which neighbors are merged in the order that training has learned.
struct BPEModel: Sendable {
    let vocabulary: Vocabulary
    /// The merges in the order of their ranks.
    private let merges: BPEMerges
    /// Whether words that are tokens are looked up first.
    private let ignoresMerges: Bool
    private let unknown: Int32?
    private let fusesUnknown: Bool
    private let byteTokens: [Int32?]?
    private let continuingPrefix: String
    private let endSuffix: String
    /// The tokens of the 256 characters of the byte alphabet.
    private let alphabet: [Int32?]

    /// - Parameter merges: pairs of tokens with the token each makes, in the order of their ranks.
    init(vocabulary: Vocabulary, merges: BPEMerges) {
        (self.vocabulary, self.merges) = (vocabulary, merges)
        (ignoresMerges, unknown, fusesUnknown, byteTokens) = (false, nil, false, nil)
        (continuingPrefix, endSuffix) = ("", "")
        alphabet = Self.alphabet(vocabulary)
    }

    init(_ component: Component) throws {
        let vocabulary = try Vocabulary(component.required("vocab"))
        self.vocabulary = vocabulary
        continuingPrefix = try component.string("continuing_subword_prefix", default: "")
        endSuffix = try component.string("end_of_word_suffix", default: "")
        merges = try BPEMerges(component.required("merges"), vocabulary, prefix: continuingPrefix)
        ignoresMerges = try component.bool("ignore_merges", default: false)
        unknown = try component.optional("unk_token").map(vocabulary.unknownToken)
        fusesUnknown = try component.bool("fuse_unk", default: false)
        byteTokens = try component.bool("byte_fallback", default: false) ? vocabulary.byteTokens : nil
        alphabet = Self.alphabet(vocabulary)
        if let dropout = component.optional("dropout"), try dropout.number() != 0 {
            throw dropout.error("expected null or 0: merges are not left out by chance here")
        }
    }

    private static func alphabet(_ vocabulary: Vocabulary) -> [Int32?] {
        (0..<256).map { vocabulary.id(of: ByteAlphabet.encoded([UInt8($0)])) }
    }

    /// True if each byte of the byte alphabet has a token, and a word's tokens are made of these alone.
    var hasAllBytes: Bool {
        alphabet.allSatisfy { $0 != nil } && continuingPrefix.isEmpty && endSuffix.isEmpty
    }

    /// Appends the tokens of a word of characters.
    func append(_ word: Bytes, to tokens: inout [Int32]) {
        if ignoresMerges, let token = vocabulary.id(of: word) { return tokens.append(token) }
        let start = tokens.count
        appendCharacters(of: word, to: &tokens)
        merges.merge(&tokens, from: start)
    }

    /// Appends the tokens of a word of bytes that stands for their characters in the byte alphabet.
    func append(byteLevel word: Bytes, to tokens: inout [Int32]) {
        guard unknown == nil, byteTokens == nil, continuingPrefix.isEmpty, endSuffix.isEmpty else {
            return ByteAlphabet.encoded(word).withUnsafeBufferPointer { append($0, to: &tokens) }
        }
        if ignoresMerges, let token = vocabulary.id(of: ByteAlphabet.encoded(word)) { return tokens.append(token) }
        let start = tokens.count
        for byte in word { if let token = alphabet[Int(byte)] { tokens.append(token) } }
        merges.merge(&tokens, from: start)
    }

    private func appendCharacters(of word: Bytes, to tokens: inout [Int32]) {
        var pendingUnknown: Int32?
        word.forEachScalar { scalar, range in
            let character = decorated(
                word.part(range), isFirst: range.lowerBound == 0, isLast: range.upperBound == word.count)
            character.withUnsafeBufferPointer { character in
                if let token = vocabulary.id(of: character) {
                    if let unknown = pendingUnknown { tokens.append(unknown) }
                    pendingUnknown = nil
                    tokens.append(token)
                } else if byteTokens?.append(character, to: &tokens) != true, let unknown {
                    if pendingUnknown != nil, !fusesUnknown { tokens.append(unknown) }
                    pendingUnknown = unknown
                }
            }
        }
        if let unknown = pendingUnknown { tokens.append(unknown) }
    }

    private func decorated(_ character: Bytes, isFirst: Bool, isLast: Bool) -> [UInt8] {
        var result = isFirst ? [] : Array(continuingPrefix.utf8)
        result.append(contentsOf: character)
        if isLast { result.append(contentsOf: endSuffix.utf8) }
        return result
    }

    var json: JSON {
        [
            "type": "BPE", "dropout": nil, "unk_token": unknown.map { .string(vocabulary.text(of: $0)) } ?? .null,
            "continuing_subword_prefix": continuingPrefix.isEmpty ? .null : .string(continuingPrefix),
            "end_of_word_suffix": endSuffix.isEmpty ? .null : .string(endSuffix), "fuse_unk": .bool(fusesUnknown),
            "byte_fallback": .bool(byteTokens != nil), "ignore_merges": .bool(ignoresMerges), "vocab": vocabulary.json,
            "merges": .array(
                merges.pairs.map { pair in
                    [.string(vocabulary.text(of: pair.left)), .string(vocabulary.text(of: pair.right))]
                }),
        ]
    }
}
