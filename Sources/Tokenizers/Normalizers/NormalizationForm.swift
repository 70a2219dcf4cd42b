import Foundation

/// The normalization forms of Unicode, as version 9 has them: later characters stay as they are, as in the Python package.
enum NormalizationForm: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"

    func apply(to text: [UInt8]) -> [UInt8] {
        guard text.contains(where: { $0 >= 0x80 }) else { return text }
        var (result, known): ([UInt8], String.UnicodeScalarView) = ([], .init())
        result.reserveCapacity(text.count)
        text.withUnsafeBufferPointer { bytes in
            bytes.forEachScalar { scalar, _ in
                if Self.isNormalized(scalar) {
                    known.append(scalar)
                } else {
                    result.append(contentsOf: normalized(String(known)).utf8)
                    known = .init()
                    result.append(scalar)
                }
            }
        }
        result.append(contentsOf: normalized(String(known)).utf8)
        return result
    }

    /// False for characters that stay as they are and separate what is beside them: later ones, and starters beyond the basic plane
    /// outside the blocks that decompose or compose. Foundation takes the latter for letters with the same low 16 bits
    /// (swift-corelibs-foundation 6.3: U+200D5 and U+0301 become U+1E4C).
    private static func isNormalized(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return true }
        guard scalar.isOf(unicode: 9) else { return false }
        switch scalar.value {
        case ..<0x10000, 0x11000..<0x11A00, 0x1D100..<0x1D800, 0x1EE00..<0x1EF00, 0x1F100..<0x1F300, 0x2F800..<0x2FA20:
            return true
        default: return scalar.properties.canonicalCombiningClass != .notReordered
        }
    }

    private func normalized(_ text: String) -> String {
        switch self {
        case .nfc: text.precomposedStringWithCanonicalMapping
        case .nfd: text.decomposedStringWithCanonicalMapping
        case .nfkc: text.precomposedStringWithCompatibilityMapping
        case .nfkd: text.decomposedStringWithCompatibilityMapping
        }
    }
}
