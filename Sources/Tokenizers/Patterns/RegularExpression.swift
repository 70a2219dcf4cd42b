import Foundation

/// A regular expression of a tokenizer file, by Foundation's engine (ICU). Classes whose meaning differs from Oniguruma's
/// are spelled out.
struct RegularExpression: Sendable {
    private let engine: NSRegularExpression

    init(_ pattern: String) throws { engine = try NSRegularExpression(pattern: Self.translated(pattern)) }

    /// The ranges that match, in bytes. A byte that is not UTF-8 is U+FFFD.
    func matches(in text: Bytes) -> [Range<Int>] {
        var units: [UInt16] = []
        var positions: [Int] = []  // of the units in the text
        units.reserveCapacity(text.count)
        positions.reserveCapacity(text.count + 1)
        text.forEachScalar { scalar, range in
            for unit in UTF16.encode(scalar)! {
                units.append(unit)
                positions.append(range.lowerBound)
            }
        }
        positions.append(text.count)
        let string = String(decoding: units, as: UTF16.self)
        var ranges: [Range<Int>] = []
        engine.enumerateMatches(in: string, range: NSRange(location: 0, length: units.count)) { match, _, _ in
            guard let range = match?.range else { return }
            ranges.append(positions[range.location]..<positions[range.location + range.length])
        }
        return ranges
    }

    /// Spells out `\s`, `\w`, `\d`, `\h` and their opposites, also within brackets.
    private static func translated(_ pattern: String) -> String {
        var (result, isEscaped) = ("", false)
        for scalar in pattern.unicodeScalars {
            if isEscaped {
                result += classes[scalar] ?? "\\\(scalar)"
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return isEscaped ? result + "\\" : result
    }

    /// Digits of Latin-1 that are no decimal digits are letters of words for Oniguruma.
    private static let word = #"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u00B2\u00B3\u00B9\u00BC-\u00BE"#
    private static let classes: [Unicode.Scalar: String] = [
        "s": #"\p{White_Space}"#, "S": #"\P{White_Space}"#, "d": #"\p{Nd}"#, "D": #"\P{Nd}"#,
        "w": "[\(word)]", "W": "[^\(word)]", "h": "[0-9A-Fa-f]", "H": "[^0-9A-Fa-f]",
    ]
}
