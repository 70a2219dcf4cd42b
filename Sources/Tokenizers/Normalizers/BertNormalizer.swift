/// The normalizer of BERT: cleans controls, sets Chinese characters apart, strips accents, writes in lowercase.
struct BertNormalizer: Sendable {
    let cleansText: Bool
    let separatesChinese: Bool
    let stripsAccents: Bool
    let lowercases: Bool

    init(_ component: Component) throws {
        cleansText = try component.bool("clean_text", default: true)
        separatesChinese = try component.bool("handle_chinese_chars", default: true)
        lowercases = try component.bool("lowercase", default: true)
        stripsAccents = try component.bool("strip_accents", default: lowercases)
    }

    func apply(to text: [UInt8]) -> [UInt8] {
        var text = text
        if cleansText { text = text.mappingScalars(Self.clean) }
        if separatesChinese {
            text = text.mappingScalars { scalar, result in
                guard Self.isChinese(scalar) else { return result.append(scalar) }
                result.append(0x20)
                result.append(scalar)
                result.append(0x20)
            }
        }
        if stripsAccents {
            text = NormalizationForm.nfd.apply(to: text).mappingScalars { if !$0.isNonspacingMark { $1.append($0) } }
        }
        if lowercases { text = text.mappingScalars { $1.append(contentsOf: $0.properties.lowercaseMapping.utf8) } }
        return text
    }

    private static func clean(_ scalar: Unicode.Scalar, _ result: inout [UInt8]) {
        if !scalar.isASCII || scalar.value < 0x20 || scalar.value == 0x7F {
            if scalar.isRemovedByCleaning { return }
            if scalar.properties.isWhitespace { return result.append(0x20) }
        }
        result.append(scalar)
    }

    private static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B81F,
            0x2B920...0x2CEAF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
