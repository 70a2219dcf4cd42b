import Foundation
import NN
import Tensors

/// One token a character, out of a vocabulary learned from a text.
///
/// A character is a Unicode scalar ("é" typed as "e" with a combining accent is two), so that the vocabulary is what
/// other languages call the set of characters too (`sorted(set(text))` in Python gives the same numbers), and any text
/// splits into them in one way only. Token i is the i-th scalar of the vocabulary in the order of Unicode.
public struct CharacterTokenizer: Tokenizer {
    /// The characters in the order of their tokens.
    public let vocabulary: [Unicode.Scalar]
    /// The token of a scalar by its number, −1 for those not in the vocabulary; ends with the last that is.
    private let tokenOfScalar: [Int32]

    /// Learns the vocabulary: all characters of the texts.
    /// - Throws: `InputError` with file, line and column where a text is not valid UTF-8.
    public init(learningFrom texts: [TextSource]) throws {
        var isUsed = [Bool](repeating: false, count: 0x110000)
        for text in texts {
            try text.forEachScalar { scalar, _, _ in isUsed[Int(scalar.value)] = true }
        }
        self.init(sorted: isUsed.indices.filter { isUsed[$0] }.map { Unicode.Scalar(UInt32($0))! })
    }

    /// Reads what `savedState` holds.
    init(reading reader: inout ConfigurationReader) throws {
        let scalars = Array(try reader.string("vocabulary").unicodeScalars)
        guard !scalars.isEmpty, zip(scalars, scalars.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw reader.error("vocabulary", "expected different characters in the order of Unicode")
        }
        self.init(sorted: scalars)
    }

    private init(sorted scalars: [Unicode.Scalar]) {
        vocabulary = scalars
        var tokens = [Int32](repeating: -1, count: Int(scalars.last?.value ?? 0) + 1)
        for (token, scalar) in scalars.enumerated() { tokens[Int(scalar.value)] = Int32(token) }
        tokenOfScalar = tokens
    }

    public var kind: TokenizerKind { .characters }

    public var vocabularySize: Int { vocabulary.count }

    public var savedState: any Encodable & Sendable {
        var characters = ""
        characters.unicodeScalars.append(contentsOf: vocabulary)
        return ["vocabulary": characters]
    }

    public func encode(_ text: String) throws -> [Int32] {
        try text.unicodeScalars.enumerated().map { index, scalar in
            guard let token = token(of: scalar) else {
                throw InputError("position \(index + 1) of the text: \(unknown(scalar))")
            }
            return token
        }
    }

    public func bytes(of token: Int32) -> [UInt8] {
        Array(UTF8.encode(vocabulary.indices.contains(Int(token)) ? vocabulary[Int(token)] : "\u{FFFD}")!)
    }

    /// Encodes the whole text at once into memory: one byte a character when the vocabulary has at most 256 of them,
    /// two up to 65,536, else four.
    public func tokens(of text: TextSource) throws -> TokenSource {
        var fileEnds: [Int] = []
        let array: CompactTokens.Array =
            switch vocabularySize {
            case ...(1 << 8): .bytes(try compactTokens(of: text, &fileEnds))
            case ...(1 << 16): .words(try compactTokens(of: text, &fileEnds))
            default: .integers(try compactTokens(of: text, &fileEnds))
            }
        let widths = vocabulary.map { Int32(UTF8.width($0)) }
        let ascii = (0..<128).map { token(of: Unicode.Scalar(UInt8($0))) }
        return TokenSource(
            name: text.name, storage: CompactTokens(tokens: array, widths: widths, ascii: ascii, fileEnds: fileEnds))
    }

    private func compactTokens<Element: FixedWidthInteger>(
        of text: TextSource, _ fileEnds: inout [Int]
    ) throws -> [Element] {
        var tokens: [Element] = []
        tokens.reserveCapacity(text.count)  // exact for ASCII; what is not filled is never touched
        try text.forEachScalar { scalar, document, offset in
            if offset == 0, document.range.lowerBound > 0 { fileEnds.append(tokens.count) }
            guard let token = token(of: scalar) else {
                throw InputError("\(document.location(of: offset)): \(unknown(scalar))")
            }
            tokens.append(Element(truncatingIfNeeded: token))
        }
        fileEnds.append(tokens.count)
        return tokens
    }

    private func token(of scalar: Unicode.Scalar) -> Int32? {
        guard scalar.value < tokenOfScalar.count, tokenOfScalar[Int(scalar.value)] >= 0 else { return nil }
        return tokenOfScalar[Int(scalar.value)]
    }

    private func unknown(_ scalar: Unicode.Scalar) -> String {
        let number = String(scalar.value, radix: 16, uppercase: true)
        let code = "U+" + String(repeating: "0", count: max(0, 4 - number.count)) + number
        let character = JSONValue.quoted(String(scalar))
        return "the character \(character) (\(code)) is not among the tokenizer's \(vocabularySize)"
    }
}
