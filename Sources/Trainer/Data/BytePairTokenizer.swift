import AttentionZooTokenizers
import Foundation
import NN
import Tensors

/// Tokens of several bytes, by byte-level byte pair encoding: learned from a text, or of a file `tokenizer.json` such as those of
/// GPT-2 and Llama 3. Any text has tokens, whose bytes are the text.
public struct BytePairTokenizer: Tokenizer {
    /// The tokenizer of which this has the tokens, without special tokens around a text.
    public let tokenizer: SubwordTokenizer
    private let bytesOfTokens: [[UInt8]]

    /// The vocabulary that is learned where no size is given.
    public static let usualSize = 4096
    /// Vocabularies that can be learned: all bytes, and at most so many tokens that their numbers and counts fit.
    public static let sizes = 256...1 << 20

    /// Adopts a tokenizer.
    /// - Parameter name: what messages call it.
    /// - Throws: `InputError` for one whose tokens do not give back the bytes of a text.
    public init(_ tokenizer: SubwordTokenizer, name: String) throws {
        guard let bytes = tokenizer.bytesOfTokens else {
            throw InputError(
                "\(name): expected byte-level BPE without a normalizer and a prefix space, whose tokens give back the bytes of a"
                    + " text; found another \(tokenizer.modelType)")
        }
        (self.tokenizer, bytesOfTokens) = (tokenizer, bytes)
    }

    /// Reads a file `tokenizer.json`.
    /// - Throws: `InputError` that names the file, and the key where it has something unknown.
    public init(path: String) throws {
        let contents = try MappedFile(path: path)
        let data = contents.withUnsafeBytes { Data($0) }
        do {
            try self.init(SubwordTokenizer(data: data, name: path), name: path)
        } catch let error as TokenizerError { throw InputError(error.message) }
    }

    /// Learns from texts.
    /// - Parameter vocabularySize: the number of tokens, one of `sizes`; fewer are learned from a short text.
    /// - Throws: `InputError` when a text cannot be read any more.
    public init(learningFrom texts: [TextSource], vocabularySize: Int = usualSize) throws {
        require(
            Self.sizes.contains(vocabularySize),
            "BytePairTokenizer: a vocabulary of \(vocabularySize) tokens; expected one of \(Self.sizes)")
        let learned = try BPETrainer(vocabularySize: vocabularySize).train { pieces in
            for text in texts {
                for document in text.documents {
                    try text.forEachPiece(of: document.range) { _, bytes in pieces.append(bytes) }
                    pieces.endText()
                }
            }
        }
        try self.init(learned, name: "tokenizer.json")
    }

    public var kind: TokenizerKind { .bpe }

    public var vocabularySize: Int { tokenizer.vocabularySize }

    public func encode(_ text: String) -> [Int32] { encode(bytes: Array(text.utf8)) }

    public func encode(bytes: [UInt8]) -> [Int32] {
        tokenizer.encode(bytes: bytes, addSpecialTokens: false).map(Int32.init)
    }

    public func bytes(of token: Int32) -> [UInt8] {
        bytesOfTokens.indices.contains(Int(token)) ? bytesOfTokens[Int(token)] : Array("\u{FFFD}".utf8)
    }

    /// Encodes the whole text at once into memory, two bytes a token or four; a token lies in one file.
    public func tokens(of text: TextSource) throws -> TokenSource {
        var fileEnds: [Int] = []
        let array: CompactTokens.Array =
            vocabularySize <= 1 << 16
            ? .words(try compactTokens(of: text, &fileEnds)) : .integers(try compactTokens(of: text, &fileEnds))
        return TokenSource(
            name: text.name,
            storage: CompactTokens(
                tokens: array, widths: bytesOfTokens.map { Int32($0.count) }, ascii: [], fileEnds: fileEnds))
    }

    private func compactTokens<Element: FixedWidthInteger>(
        of text: TextSource, _ fileEnds: inout [Int]
    ) throws -> [Element] {
        var tokens: [Element] = []
        tokens.reserveCapacity(text.count / 4)
        for document in text.documents {
            var encoder = PieceEncoder(tokenizer)
            try text.forEachPiece(of: document.range) { _, bytes in
                for token in encoder.append(bytes) { tokens.append(Element(truncatingIfNeeded: token)) }
            }
            for token in encoder.finish() { tokens.append(Element(truncatingIfNeeded: token)) }
            fileEnds.append(tokens.count)
        }
        return tokens
    }

    // MARK: Saved

    public var savedState: any Encodable & Sendable { [String: String]() }

    /// Writes a file that Hugging Face's package reads.
    public func save(toFolder folder: String) throws {
        try AtomicFile.write(tokenizer.data, to: TokenizerKind.path(inFolder: folder))
    }
}
