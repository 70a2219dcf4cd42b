import Foundation
import NN
import Tensors

/// Turns text into tokens and back. Tokens are numbers from 0 up to, but not including, `vocabularySize`.
public protocol Tokenizer: Sendable {
    /// The kind by which configurations and the saved file call it.
    var kind: TokenizerKind { get }

    /// The number of different tokens; a model's vocabulary must be at least as large.
    var vocabularySize: Int { get }

    /// The tokens of a prompt.
    /// - Throws: `InputError` for text the tokenizer has no tokens for.
    func encode(_ text: String) throws -> [Int32]

    /// The tokens of a prompt of bytes, which need not be UTF-8 where tokens are bytes.
    /// - Throws: `InputError` for bytes the tokenizer has no tokens for.
    func encode(bytes: [UInt8]) throws -> [Int32]

    /// The UTF-8 bytes a token stands for, which may be a part of a character only. A number outside the vocabulary (a
    /// model may have more tokens than its tokenizer) stands for U+FFFD, the replacement character.
    func bytes(of token: Int32) -> [UInt8]

    /// The tokens of a whole text.
    /// - Throws: `InputError` that names file and position of what the tokenizer has no tokens for.
    func tokens(of text: TextSource) throws -> TokenSource

    /// The state that `TokenizerKind.load` needs to make the same tokenizer again: what is encoded as a JSON object.
    var savedState: any Encodable & Sendable { get }

    /// Writes the tokenizer as `tokenizer.json` to a run folder, atomically.
    func save(toFolder folder: String) throws
}

extension Tokenizer {
    public func encode(bytes: [UInt8]) throws -> [Int32] {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw InputError("the text is not valid UTF-8, which the tokenizer (\(kind.rawValue)) needs")
        }
        return try encode(text)
    }

    /// The text that tokens stand for; bytes that are not valid UTF-8 become U+FFFD.
    public func decode(_ tokens: [Int32]) -> String {
        String(decoding: tokens.flatMap(bytes), as: UTF8.self)
    }

    /// Decodes token by token, for output that is shown as it comes.
    public func makeDecoder() -> StreamingDecoder {
        StreamingDecoder(self)
    }

    /// Writes the tokenizer as `tokenizer.json` to a run folder, atomically.
    public func save(toFolder folder: String) throws {
        let state = try JSONValue(parsing: JSONValue.text(encoding: savedState).utf8, file: "\(Self.self)")
        let members = (state.objectValue ?? [:]).merging(["type": .string(kind.rawValue)]) { $1 }
        let document = JSONValue.object(members)
        try AtomicFile.write(Data("\(document)\n".utf8), to: TokenizerKind.path(inFolder: folder))
    }
}

/// The tokenizers there are, by the names that configurations have.
public enum TokenizerKind: String, CaseIterable, Sendable {
    case bytes
    case characters
    case bpe

    /// A new tokenizer.
    /// - Parameters:
    ///   - texts: what a vocabulary is learned from: the training text, and the validation text if it is one of its own.
    ///     A tokenizer without a learned vocabulary does not look at them, and byte pair encoding only at the first.
    ///   - vocabularySize: the tokens of byte pair encoding; the others decide for themselves.
    public func makeTokenizer(
        learningFrom texts: [TextSource], vocabularySize: Int = BytePairTokenizer.usualSize
    ) throws -> any Tokenizer {
        switch self {
        case .bytes: ByteTokenizer()
        case .characters: try CharacterTokenizer(learningFrom: texts)
        case .bpe: try BytePairTokenizer(learningFrom: Array(texts.prefix(1)), vocabularySize: vocabularySize)
        }
    }

    /// The tokenizer saved in a run folder.
    /// - Throws: `InputError` that names the file when it is missing or not such a file.
    public static func load(fromFolder folder: String) throws -> any Tokenizer {
        let path = path(inFolder: folder)
        let json = try MappedFile(path: path).withUnsafeBytes { try JSONValue(parsing: $0, file: path) }
        // The format of another package, whose files have no type.
        if json.objectValue?["model"] != nil { return try BytePairTokenizer(path: path) }
        var reader = try ConfigurationReader(json, file: path)
        let kinds = [TokenizerKind.bytes, .characters].map(\.rawValue)
        let isCharacters = try reader.string("type", oneOf: kinds) == TokenizerKind.characters.rawValue
        let tokenizer: any Tokenizer = isCharacters ? try CharacterTokenizer(reading: &reader) : ByteTokenizer()
        try reader.finish()
        return tokenizer
    }

    static func path(inFolder folder: String) -> String {
        (folder as NSString).appendingPathComponent("tokenizer.json")
    }
}
