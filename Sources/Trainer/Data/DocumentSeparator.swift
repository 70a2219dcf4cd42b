/// The separator of documents in a text.
///
/// As text, in options and in config.json: `none`, `files`, `lines`, or `byte:N`.
public enum DocumentSeparator: Sendable, Hashable {
    /// The whole text is one document.
    case nothing
    /// Each file is a document.
    case files
    /// A byte, which is the last of its document (so that a model learns where to end), such as 10 for lines. Markers
    /// in a row end documents that hold nothing else; what follows the last one is a document, too.
    case marker(UInt8)

    /// The expectation named in messages.
    public static let expectedText = "none, files, lines or \(expectedByte)"
    /// The expectation of a byte named in messages.
    package static let expectedByte = "byte:N with N from 0 to 255, 0x00 to 0xff, or one of \\n \\r \\t \\0"
}

extension DocumentSeparator: LosslessStringConvertible {
    /// nil for other texts than `expectedText` names.
    public init?(_ text: String) {
        switch text {
        case "none": self = .nothing
        case "files": self = .files
        case "lines": self = .marker(UInt8(ascii: "\n"))
        default:
            guard text.hasPrefix("byte:"), let byte = Self.byte(String(text.dropFirst(5))) else { return nil }
            self = .marker(byte)
        }
    }

    private static func byte(_ text: String) -> UInt8? {
        let escapes = ["\\n": "\n", "\\r": "\r", "\\t": "\t", "\\0": "\0"] as [String: Unicode.Scalar]
        if let escaped = escapes[text] { return UInt8(ascii: escaped) }
        let isHexadecimal = text.hasPrefix("0x")
        let digits = isHexadecimal ? String(text.dropFirst(2)) : text
        guard digits.first?.isHexDigit == true else { return nil }  // no sign
        return UInt8(digits, radix: isHexadecimal ? 16 : 10)
    }

    public var description: String {
        switch self {
        case .nothing: "none"
        case .files: "files"
        case .marker(UInt8(ascii: "\n")): "lines"
        case .marker(let byte): "byte:\(byte)"
        }
    }
}
