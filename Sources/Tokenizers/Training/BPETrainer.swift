import Foundation

/// Learns byte-level byte pair encoding from text.
///
///     let tokenizer = BPETrainer(vocabularySize: 4096).train(on: text)
///     try tokenizer.write(to: URL(filePath: "tokenizer.json"))
///
/// The merges are those of the Python package's `BpeTrainer` with its `ByteLevel` pre-tokenizer and alphabet: the most frequent pair
/// first, of several the one with the smallest numbers. The same text gives the same tokenizer.
public struct BPETrainer: Sendable {
    /// The patterns by which texts are split into words, within which tokens are learned.
    public enum Splitting: Sendable {
        /// GPT-2's pattern.
        case gpt2
        /// Llama 3's pattern, with numbers of at most three digits.
        case llama3

        var pattern: KnownPattern { self == .gpt2 ? .gpt2 : .llama3(mostDigits: 3) }
    }

    /// The number of tokens to learn, with the special tokens and the 256 bytes.
    public let vocabularySize: Int
    /// Special tokens, which get the first numbers.
    public let specialTokens: [String]
    /// Pairs that occur less often are not merged.
    public let minimumFrequency: Int
    /// The pattern that splits texts into words.
    public let splitting: Splitting

    /// - Parameter vocabularySize: the number of tokens to learn; fewer are learned from a short text, and never less than the special
    ///   tokens and the 256 bytes.
    public init(
        vocabularySize: Int, specialTokens: [String] = [], minimumFrequency: Int = 0, splitting: Splitting = .gpt2
    ) {
        (self.vocabularySize, self.specialTokens) = (vocabularySize, specialTokens)
        (self.minimumFrequency, self.splitting) = (minimumFrequency, splitting)
    }

    /// Learns from a text.
    public func train(on text: String) -> SubwordTokenizer {
        var text = text
        return text.withUTF8 { text in trained { $0.add(text) } }
    }

    /// Learns from a text of bytes (`Data`, `[UInt8]` …), which need not be UTF-8.
    public func train(bytes text: some ContiguousBytes) -> SubwordTokenizer {
        text.withUnsafeBytes { text in text.withMemoryRebound(to: UInt8.self) { text in trained { $0.add(text) } } }
    }

    /// Learns from texts that come in pieces.
    /// - Parameter read: hands over the texts.
    /// - Throws: what `read` throws.
    public func train(reading read: (inout TextPieces) throws -> Void) rethrows -> SubwordTokenizer {
        var pieces = TextPieces(counts: WordCounts(splitting.pattern))
        try read(&pieces)
        pieces.endText()
        return tokenizer(from: pieces.counts)
    }

    private func trained(counting count: (inout WordCounts) -> Void) -> SubwordTokenizer {
        var counts = WordCounts(splitting.pattern)
        count(&counts)
        return tokenizer(from: counts)
    }

    /// Texts that come in pieces: words that a piece cuts are counted whole.
    public struct TextPieces {
        var counts: WordCounts
        private var rest: [UInt8] = []

        fileprivate init(counts: WordCounts) { self.counts = counts }

        /// Appends bytes to the current text.
        public mutating func append(_ bytes: some Sequence<UInt8>) {
            rest.append(contentsOf: bytes)
            guard rest.count >= next else { return }
            let cut = rest.withUnsafeBufferPointer { text in
                let cut = KnownPattern.lastCut(in: text) ?? 0
                counts.add(text.part(0..<cut))
                return cut
            }
            rest.removeFirst(cut)
            next = rest.count + Self.size
        }

        /// The length at which words are counted: twice as long where no cut was found, so that searches stay short.
        private var next = size
        private static let size = 1 << 20

        /// Ends the current text; what follows begins another.
        public mutating func endText() {
            rest.withUnsafeBufferPointer { counts.add($0) }
            rest.removeAll(keepingCapacity: true)
            next = Self.size
        }
    }

    // MARK: The tokenizer

    private func tokenizer(from words: WordCounts) -> SubwordTokenizer {
        var vocabulary: [[UInt8]] = []
        for token in specialTokens.map({ Array($0.utf8) }) where !vocabulary.contains(token) {
            vocabulary.append(token)
        }
        let added = vocabulary.enumerated().map {
            AddedToken(special: String(decoding: $0.element, as: UTF8.self), id: $0.offset)
        }
        // The alphabet in the order of its characters, as the Python package sorts it.
        let alphabet = (0..<256).sorted { ByteAlphabet.scalars[$0] < ByteAlphabet.scalars[$1] }
        var tokenOfByte = [Int32](repeating: 0, count: 256)
        for byte in alphabet {
            let character = ByteAlphabet.encoded([UInt8(byte)])
            if let special = vocabulary.firstIndex(of: character) {
                tokenOfByte[byte] = Int32(special)
            } else {
                tokenOfByte[byte] = Int32(vocabulary.count)
                vocabulary.append(character)
            }
        }
        var learning = BPELearning(words, vocabulary: vocabulary, tokenOfByte: tokenOfByte)
        learning.learn(vocabularySize: vocabularySize, minimumFrequency: minimumFrequency)
        let model = BPEModel(vocabulary: learning.vocabulary, merges: learning.merges)
        let file = preTokenizer
        let component = Component(json: file, file: "tokenizer.json", path: "pre_tokenizer")
        // What is written here is read without errors.
        guard let preTokenizer = try? PreTokenizer(component) else { fatalError("BPETrainer: \(file)") }
        return SubwordTokenizer(
            TokenizerParts(
                model: .bpe(model), added: added, preTokenizer: preTokenizer, decoder: .byteLevel,
                components: [
                    .init(key: "pre_tokenizer", value: file),
                    .init(key: "decoder", value: Self.byteLevel(pattern: true)),
                ]))
    }

    private var preTokenizer: JSON {
        switch splitting {
        case .gpt2: Self.byteLevel(pattern: true)
        case .llama3:
            [
                "type": "Sequence",
                "pretokenizers": [
                    [
                        "type": "Split", "pattern": ["Regex": .string(splitting.pattern.pattern)],
                        "behavior": "Isolated", "invert": false,
                    ], Self.byteLevel(pattern: false),
                ],
            ]
        }
    }

    private static func byteLevel(pattern: Bool) -> JSON {
        ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(pattern)]
    }
}
