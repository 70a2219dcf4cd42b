import ModelZoo

/// The tokenizer that `--tokenizer` names.
enum TokenizerChoice {
    case bytes
    case characters
    /// Byte pair encoding that is learned, with so many tokens.
    case learned(Int)
    case file(String)

    private static let expected =
        "expected bytes, characters, bpe:N with N from \(BytePairTokenizer.sizes.lowerBound) to"
        + " \(BytePairTokenizer.sizes.upperBound), or a file tokenizer.json"

    /// - Parameter text: the option's value; nil for bytes.
    /// - Throws: `InputError` that says what can be named.
    init(_ text: String?) throws {
        switch text {
        case nil, TokenizerKind.bytes.rawValue?: self = .bytes
        case TokenizerKind.characters.rawValue?: self = .characters
        case TokenizerKind.bpe.rawValue?: self = .learned(BytePairTokenizer.usualSize)
        case let text? where text.hasPrefix("bpe:"):
            guard let size = Int(text.dropFirst(4)), BytePairTokenizer.sizes.contains(size) else {
                throw InputError("--tokenizer: \(Self.expected), found \"\(text)\"")
            }
            self = .learned(size)
        case let text? where text.hasSuffix(".json"): self = .file(text)
        case let text?: throw InputError("--tokenizer: \(Self.expected), found \"\(text)\"")
        }
    }

    /// The value of the option that names the tokenizer of a run.
    static func text(of tokenizer: any Tokenizer) -> String {
        tokenizer.kind == .bpe ? "bpe:\(tokenizer.vocabularySize)" : tokenizer.kind.rawValue
    }

    /// - Throws: `InputError` that names the file or the text.
    func makeTokenizer(learningFrom origin: RunOrigin) throws -> any Tokenizer {
        switch self {
        case .bytes: ByteTokenizer()
        case .characters: try CharacterTokenizer(learningFrom: origin.texts())
        case .learned(let size):
            try TokenizerKind.bpe.makeTokenizer(learningFrom: origin.texts(), vocabularySize: size)
        case .file(let path): try BytePairTokenizer(path: path)
        }
    }
}
