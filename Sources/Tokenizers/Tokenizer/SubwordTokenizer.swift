import Foundation

/// A tokenizer of parts of words, as a file `tokenizer.json` of Hugging Face's package `tokenizers` describes it.
///
///     let tokenizer = try SubwordTokenizer(contentsOf: URL(filePath: "tokenizer.json"))
///     let tokens = tokenizer.encode("Hello world")
///     let text = tokenizer.decode(tokens)
///
/// The tokens are those of the Python package: models BPE, WordPiece, Unigram and WordLevel with their normalizers,
/// pre-tokenizers, post-processors and decoders. What a file has beyond these is refused by name. `truncation` and `padding`
/// are kept in the file and not applied. ``BPETrainer`` learns a tokenizer from text.
public struct SubwordTokenizer: Sendable {
    let parts: TokenizerParts

    /// Reads a file.
    /// - Throws: `TokenizerError` that names the file, and key or line.
    public init(contentsOf url: URL) throws {
        let path = url.isFileURL ? url.relativePath : url.absoluteString
        let data: Data
        do { data = try Data(contentsOf: url) } catch {
            throw TokenizerError("\(path): cannot be read: \(error.localizedDescription)")
        }
        try self.init(data: data, name: path)
    }

    /// Reads the bytes of a file.
    /// - Parameter name: what messages call it.
    /// - Throws: `TokenizerError` that names it, and key or line.
    public init(data: Data, name: String = "tokenizer.json") throws {
        let json = try JSONParser.parse([UInt8](data), file: name)
        parts = try TokenizerParts(Component(json: json, file: name, path: ""))
    }

    init(_ parts: TokenizerParts) { self.parts = parts }

    // MARK: Vocabulary

    /// The largest number of a token and one: the vocabulary a model needs.
    public var vocabularySize: Int { max(parts.model.vocabulary.endIndex, parts.added.endIndex) }

    /// The tokens beyond the model's.
    public var addedTokens: [AddedToken] { parts.added.tokens }

    /// The kind of model: BPE, WordPiece, Unigram or WordLevel.
    public var modelType: String {
        switch parts.model {
        case .bpe: "BPE"
        case .wordPiece: "WordPiece"
        case .unigram: "Unigram"
        case .wordLevel: "WordLevel"
        }
    }

    /// The token of a number as the vocabulary spells it; nil for numbers that have none.
    public func token(for id: Int) -> String? {
        tokenBytes(id).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The number of a token as the vocabulary spells it; nil for text that is none.
    public func id(for token: String) -> Int? {
        let bytes = Array(token.utf8)
        return parts.added.id(of: bytes) ?? parts.model.vocabulary.id(of: bytes).map(Int.init)
    }

    func tokenBytes(_ id: Int) -> [UInt8]? {
        parts.added.token(of: id).map { Array($0.content.utf8) } ?? parts.model.vocabulary.token(of: id).map(Array.init)
    }
}
