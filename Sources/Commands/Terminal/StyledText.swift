/// Text in parts that may be set apart on a terminal, with nothing in them that moves a cursor.
struct StyledText: Equatable {
    /// As ECMA-48 (ANSI escape codes) numbers them.
    enum Style: Int {
        case plain = 0
        case bold = 1
        case dim = 2
        /// The one color: cyan, readable on light and dark grounds.
        case accent = 36
    }

    struct Part: Equatable {
        var text: String
        var style: Style
    }

    var parts: [Part] = []

    init(_ text: String = "", _ style: Style = .plain) { append(text, style) }

    mutating func append(_ text: String, _ style: Style = .plain) {
        if !text.isEmpty { parts.append(Part(text: text, style: style)) }
    }

    mutating func append(_ other: StyledText) { parts += other.parts }

    /// The columns it takes, where it is made of letters of one column.
    var width: Int { parts.reduce(0) { $0 + $1.text.count } }

    /// Its first `width` columns.
    func prefix(_ width: Int) -> StyledText {
        var (cut, room) = (StyledText(), width)
        for part in parts {
            cut.append(String(part.text.prefix(max(room, 0))), part.style)
            room -= part.text.count
        }
        return cut
    }

    /// The characters to write; every color is ended where its part ends.
    func rendered(withColor: Bool) -> String {
        parts.map { part in
            withColor && part.style != .plain ? "\u{1B}[\(part.style.rawValue)m\(part.text)\u{1B}[0m" : part.text
        }.joined()
    }
}

extension String {
    /// The text with nothing in it that a terminal would act on: control characters but newline and tab, and those that
    /// turn the direction of writing, are shown as symbols. Text that a model makes up may hold any of them.
    var printable: String {
        var result = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            switch scalar.value {
            case 0x09, 0x0A: result.append(scalar)
            case 0..<0x20: result.append(Unicode.Scalar(0x2400 + scalar.value)!)  // the block Control Pictures
            case 0x7F: result.append("\u{2421}")
            case 0x80..<0xA0, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: result.append("\u{FFFD}")
            default: result.append(scalar)
            }
        }
        return String(result)
    }
}
