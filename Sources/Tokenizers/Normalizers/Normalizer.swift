import Foundation

/// A step that changes a text before it is split.
enum Normalizer: Sendable {
    case form(NormalizationForm)
    case lowercase
    case strip(left: Bool, right: Bool)
    case stripAccents
    case replace(Pattern, [UInt8])
    case prepend([UInt8])
    case bert(BertNormalizer)
    case nmt
    case byteLevel
    case sequence([Normalizer])

    private static let known = [
        "BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Prepend", "Replace",
        "Sequence",
        "Strip", "StripAccents",
    ]

    init(_ component: Component) throws {
        let type = try component.type()
        switch type {
        case "NFC", "NFD", "NFKC", "NFKD": self = .form(NormalizationForm(rawValue: type)!)
        case "Lowercase": self = .lowercase
        case "Strip":
            self = .strip(
                left: try component.bool("strip_left", default: true),
                right: try component.bool("strip_right", default: true))
        case "StripAccents": self = .stripAccents
        case "Replace":
            self = .replace(
                try Pattern(component.required("pattern")), Array(try component.required("content").string().utf8))
        case "Prepend": self = .prepend(Array(try component.required("prepend").string().utf8))
        case "BertNormalizer": self = .bert(try BertNormalizer(component))
        case "Nmt": self = .nmt
        case "ByteLevel": self = .byteLevel
        case "Sequence": self = .sequence(try component.required("normalizers").elements().map(Normalizer.init))
        default: throw component.unknown(type, known: Self.known)
        }
    }

    /// - Parameter keepsStart: becomes false where the beginning of the text is removed.
    func apply(to text: [UInt8], keepsStart: inout Bool) -> [UInt8] {
        switch self {
        case .sequence(let normalizers):
            return normalizers.reduce(text) { $1.apply(to: $0, keepsStart: &keepsStart) }
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .form(let form): return form.apply(to: text)
        case .replace(let pattern, let content): return pattern.replacingMatches(in: text, with: content)
        case .byteLevel: return ByteAlphabet.encoded(text)
        case .strip(let left, let right): return Self.stripped(text, left, right, keepsStart: &keepsStart)
        case .bert(let normalizer): return normalizer.apply(to: text)
        case .lowercase: return text.mappingScalars { $1.append(contentsOf: $0.properties.lowercaseMapping.utf8) }
        case .stripAccents: return text.mappingScalars { if !$0.isCombiningMark { $1.append($0) } }
        case .nmt: return text.mappingScalars(Self.nmt)
        }
    }

    private static func stripped(
        _ text: [UInt8], _ left: Bool, _ right: Bool, keepsStart: inout Bool
    ) -> [UInt8] {
        text.withUnsafeBufferPointer { bytes in
            var (start, end) = (0, bytes.count)
            if left {
                while start < end, case (let value, let length) = bytes.scalar(at: start), isSpace(value) {
                    start += length
                }
            }
            if right {
                while end > start, case (let value, let range) = bytes.scalar(before: end), isSpace(value) {
                    end = range.lowerBound
                }
            }
            if start > 0 { keepsStart = false }
            return Array(bytes[start..<end])
        }
    }

    private static func isSpace(_ value: UInt32) -> Bool { Unicode.Scalar(value)!.properties.isWhitespace }

    /// Removes controls and writes all spaces as one kind, as the translation systems of that name do.
    private static func nmt(_ scalar: Unicode.Scalar, _ result: inout [UInt8]) {
        switch scalar.value {
        case 1...8, 0xB, 0xE...0x1F, 0x7F, 0x8F, 0x9F: break
        case 9, 0xA, 0xC, 0xD, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: result.append(0x20)
        default: result.append(scalar)
        }
    }
}
