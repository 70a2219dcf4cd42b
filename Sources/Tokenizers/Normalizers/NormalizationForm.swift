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
                if scalar.isASCII || scalar.isOf(unicode: 9) {
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

    private func normalized(_ text: String) -> String {
        switch self {
        case .nfc: text.precomposedStringWithCanonicalMapping
        case .nfd: text.decomposedStringWithCanonicalMapping
        case .nfkc: text.precomposedStringWithCompatibilityMapping
        case .nfkd: text.decomposedStringWithCompatibilityMapping
        }
    }
}
