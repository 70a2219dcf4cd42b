/// Encodes a text that comes in pieces with the tokens that it has as a whole. Memory is that of a piece where the text can be
/// cut between words, which byte-level tokenizers with a well-known pattern allow, and else that of the text.
package struct PieceEncoder {
    private let tokenizer: SubwordTokenizer
    private let allowsCuts: Bool
    private var rest: [UInt8] = []
    /// The length at which a cut is looked for: more where none was found, so that searches stay short.
    private var next = size

    private static let size = 1 << 20

    /// Creates an encoder of one text, without the special tokens around it.
    package init(_ tokenizer: SubwordTokenizer) {
        self.tokenizer = tokenizer
        if case .pattern = tokenizer.parts.splitting {
            allowsCuts = tokenizer.parts.normalizer == nil && tokenizer.parts.added.allowCuts
        } else {
            allowsCuts = false
        }
    }

    /// Appends a piece of the text.
    /// - Returns: the tokens of what is complete.
    package mutating func append(_ bytes: some Sequence<UInt8>) -> [Int32] {
        rest.append(contentsOf: bytes)
        guard allowsCuts, rest.count >= next else { return [] }
        let cut = rest.withUnsafeBufferPointer { KnownPattern.lastCut(in: $0) } ?? 0
        let tokens = encode(rest[..<cut])
        rest.removeFirst(cut)
        next = 2 * rest.count + Self.size
        return tokens
    }

    /// Ends the text.
    /// - Returns: the tokens of what was held back.
    package mutating func finish() -> [Int32] {
        defer { (rest, next) = ([], Self.size) }
        return encode(rest[...])
    }

    private func encode(_ bytes: ArraySlice<UInt8>) -> [Int32] {
        bytes.withUnsafeBufferPointer { tokenizer.encode($0, addSpecialTokens: false) }
    }
}

extension SubwordTokenizer {
    /// The bytes of each token, where those of a text's tokens are always the text; nil where they are not, and for unused numbers.
    /// Byte-level BPE without a normalizer has such tokens.
    package var bytesOfTokens: [[UInt8]]? {
        guard case .bpe(let model) = parts.model, model.hasAllBytes, parts.normalizer == nil,
            parts.splitting.keepsBytes,
            addedTokens.allSatisfy({ !$0.stripsLeft && !$0.stripsRight })
        else { return nil }
        return (0..<vocabularySize).map { id in
            if let added = parts.added.token(of: id) { return Array(added.content.utf8) }
            guard let token = tokenBytes(id) else { return [] }
            return ByteAlphabet.decoded(token) ?? token
        }
    }
}

extension WordSplitting {
    /// True if the words are the bytes of the text, one after another.
    fileprivate var keepsBytes: Bool {
        switch self {
        case .pattern: true
        case .characters: false
        case .bytes(let steps, let last): !last.addsPrefixSpace && steps.allSatisfy(\.keepsBytes)
        }
    }
}

extension PreTokenizer {
    fileprivate var keepsBytes: Bool {
        switch self {
        case .split(_, let behavior, _), .punctuation(let behavior): behavior != .removed
        case .digits: true
        case .sequence(let steps): steps.allSatisfy(\.keepsBytes)
        case .byteLevel, .metaspace, .delimiter, .whitespace, .whitespaceSplit, .bert: false
        }
    }
}
