import Foundation

/// A step that turns tokens back into text. Tokens are bytes, so that those of a part of a character pass through.
enum Decoder: Sendable {
    case byteLevel
    case metaspace(replacement: [UInt8], dropsFirst: Bool)
    case wordPiece(WordPieceDecoder)
    case bpe(suffix: [UInt8])
    case byteFallback
    case fuse
    case strip(Unicode.Scalar, start: Int, stop: Int)
    case replace(Pattern, [UInt8])
    case sequence([Decoder])

    private static let known = [
        "BPEDecoder", "ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Sequence", "Strip", "WordPiece",
    ]

    init(_ component: Component) throws {
        let type = try component.type()
        switch type {
        case "ByteLevel": self = .byteLevel
        case "Metaspace":
            let metaspace = try Metaspace(component)
            self = .metaspace(replacement: metaspace.replacement, dropsFirst: metaspace.prepending != .never)
        case "WordPiece": self = .wordPiece(try WordPieceDecoder(component))
        case "BPEDecoder": self = .bpe(suffix: Array(try component.string("suffix", default: "</w>").utf8))
        case "ByteFallback": self = .byteFallback
        case "Fuse": self = .fuse
        case "Strip":
            self = .strip(
                try component.optional("content")?.scalar() ?? " ",
                start: try component.optional("start")?.count() ?? 0,
                stop: try component.optional("stop")?.count() ?? 0)
        case "Replace":
            self = .replace(
                try Pattern(component.required("pattern")), Array(try component.required("content").string().utf8))
        case "Sequence": self = .sequence(try component.required("decoders").elements().map(Decoder.init))
        default: throw component.unknown(type, known: Self.known)
        }
    }

    /// - Parameter keepsBytes: whether bytes that are no UTF-8 stay as they are, instead of becoming U+FFFD each.
    func apply(to tokens: [[UInt8]], keepsBytes: Bool) -> [[UInt8]] {
        switch self {
        case .sequence(let decoders): decoders.reduce(tokens) { $1.apply(to: $0, keepsBytes: keepsBytes) }
        case .byteLevel: [tokens.flatMap { ByteAlphabet.decoded($0) ?? $0 }]
        case .metaspace(let replacement, let dropsFirst):
            tokens.enumerated().map { index, token in
                Pattern.string(replacement).replacingMatches(in: token, with: index == 0 && dropsFirst ? [] : [0x20])
            }
        case .wordPiece(let decoder): decoder.apply(to: tokens)
        case .bpe(let suffix):
            tokens.enumerated().map { index, token in
                Pattern.string(suffix).replacingMatches(in: token, with: index == tokens.count - 1 ? [] : [0x20])
            }
        case .byteFallback: Self.joiningBytes(tokens, keepsBytes: keepsBytes)
        case .fuse: [Array(tokens.joined())]
        case .strip(let content, let start, let stop):
            tokens.map { Self.stripped($0, Array(String(content).utf8), start: start, stop: stop) }
        case .replace(let pattern, let content): tokens.map { pattern.replacingMatches(in: $0, with: content) }
        }
    }

    /// Joins the bytes of tokens such as `<0x0A>` that follow one another.
    private static func joiningBytes(_ tokens: [[UInt8]], keepsBytes: Bool) -> [[UInt8]] {
        var (result, pending): ([[UInt8]], [UInt8]) = ([], [])
        func flush() {
            guard !pending.isEmpty else { return }
            if keepsBytes || String(validating: pending, as: UTF8.self) != nil {
                result.append(pending)
            } else {
                for _ in pending { result.append([0xEF, 0xBF, 0xBD]) }
            }
            pending.removeAll()
        }
        for token in tokens {
            if let byte = byte(of: token) {
                pending.append(byte)
            } else {
                flush()
                result.append(token)
            }
        }
        flush()
        return result
    }

    /// The byte that a token such as `<0x0A>` stands for.
    static func byte(of token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else { return nil }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }

    private static func stripped(_ token: [UInt8], _ content: [UInt8], start: Int, stop: Int) -> [UInt8] {
        var rest = token[...]
        for _ in 0..<start where rest.starts(with: content) { rest = rest.dropFirst(content.count) }
        for _ in 0..<stop where rest.count >= content.count && rest.suffix(content.count).elementsEqual(content) {
            rest = rest.dropLast(content.count)
        }
        return Array(rest)
    }
}
