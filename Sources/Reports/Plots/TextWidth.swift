/// The width of text, without a font to ask: generous estimates for common sans-serif faces, so that a layout made with
/// them does not overlap in a wider one.
enum TextWidth {
    /// - Returns: the width in the unit of `size`, the font's size.
    static func of(_ text: String, size: Double) -> Double {
        text.unicodeScalars.reduce(0) { $0 + width(of: $1) } * size
    }

    /// The longest beginning of a text that fits, with an ellipsis where something is missing.
    static func fitting(_ text: String, width: Double, size: Double) -> String {
        guard of(text, size: size) > width else { return text }
        let room = width - of("…", size: size)
        var (kept, used) = ("", 0.0)
        for character in text {
            used += of(String(character), size: size)
            if used > room { break }
            kept.append(character)
        }
        return kept + "…"
    }

    /// In shares of the font's size.
    private static func width(of scalar: Unicode.Scalar) -> Double {
        switch scalar {
        case "i", "j", "l", "I", ".", ",", ":", ";", "'", "|", "!": 0.32
        case "f", "t", "r", "(", ")", "[", "]", "/", "-", " ": 0.40
        case "m", "w", "M", "W", "%", "@", "…", "—": 1.0
        case "A"..."Z": 0.74
        case _ where scalar.value < 0x80: 0.62
        case _ where scalar.value < 0x1100 || 0x2000..<0x2E80 ~= scalar.value: 0.72
        default: 1.05  // East Asian scripts, symbols, emoji
        }
    }
}
