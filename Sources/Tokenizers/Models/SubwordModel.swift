/// The part of a tokenizer that turns a word into tokens.
enum SubwordModel: Sendable {
    case bpe(BPEModel)
    case wordPiece(WordPieceModel)
    case unigram(UnigramModel)
    case wordLevel(WordLevelModel)

    private static let known = ["BPE", "WordPiece", "Unigram", "WordLevel"]

    init(_ component: Component) throws {
        let type = try component.optional("type")?.string() ?? Self.guessedType(component)
        switch type {
        case "BPE": self = .bpe(try BPEModel(component))
        case "WordPiece": self = .wordPiece(try WordPieceModel(component))
        case "Unigram": self = .unigram(try UnigramModel(component))
        case "WordLevel": self = .wordLevel(try WordLevelModel(component))
        default: throw component.unknown(type, known: Self.known)
        }
    }

    /// Files of the first versions leave the type out.
    private static func guessedType(_ component: Component) throws -> String {
        if component.optional("merges") != nil { return "BPE" }
        throw component.error("type is missing; known are \(known.joined(separator: ", "))")
    }

    var vocabulary: Vocabulary {
        switch self {
        case .bpe(let model): model.vocabulary
        case .wordPiece(let model): model.vocabulary
        case .unigram(let model): model.vocabulary
        case .wordLevel(let model): model.vocabulary
        }
    }

    /// Appends the tokens of a word.
    func append(_ word: Bytes, to tokens: inout [Int32]) {
        switch self {
        case .bpe(let model): model.append(word, to: &tokens)
        case .wordPiece(let model): model.append(word, to: &tokens)
        case .unigram(let model): model.append(word, to: &tokens)
        case .wordLevel(let model): model.append(word, to: &tokens)
        }
    }

    var json: JSON {
        switch self {
        case .bpe(let model): model.json
        case .wordPiece(let model): model.json
        case .unigram(let model): model.json
        case .wordLevel(let model): model.json
        }
    }
}
