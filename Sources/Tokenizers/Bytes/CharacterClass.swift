/// The classes of characters that the well-known patterns tell apart.
enum CharacterClass: UInt8 {
    case other, letter, number, space

    /// Classes of the planes that have letters, numbers or spaces, looked up in a table, as asking for properties is slow.
    private static let table: [CharacterClass] = (0..<tableSize).map { value in
        Unicode.Scalar(UInt32(value)).map(compute) ?? .other
    }
    private static let tableSize = 0x40000

    /// Gives fast access to the classes as long as `body` runs.
    static func withTable<Result>(_ body: (CharacterClasses) throws -> Result) rethrows -> Result {
        try table.withUnsafeBufferPointer { try body(CharacterClasses(table: $0)) }
    }

    private static func compute(_ scalar: Unicode.Scalar) -> CharacterClass {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: .letter
        case .decimalNumber, .letterNumber, .otherNumber: .number
        default: scalar.properties.isWhitespace ? .space : .other
        }
    }
}

/// A table of the classes of characters.
struct CharacterClasses {
    fileprivate let table: UnsafeBufferPointer<CharacterClass>

    @inline(__always)
    subscript(scalar: UInt32) -> CharacterClass { scalar < table.count ? table[Int(scalar)] : .other }
}

// The Python package decides by libraries of different age; later characters are in none of their classes.
extension Unicode.Scalar {
    /// True for `\w` of the Rust library `regex`.
    var isWord: Bool {
        if isASCII { return properties.isAlphabetic || 0x30...0x39 ~= value || value == 0x5F }
        return switch properties.generalCategory {
        case .decimalNumber, .connectorPunctuation: true
        case _ where isMark: true
        default: properties.isAlphabetic || properties.isJoinControl
        }
    }

    /// True for punctuation as BERT has it: the symbols of ASCII, and the categories P of Unicode 8.
    var isPunctuation: Bool {
        if isASCII {
            return 0x21...0x2F ~= value || 0x3A...0x40 ~= value || 0x5B...0x60 ~= value || 0x7B...0x7E ~= value
        }
        switch properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            return isOf(unicode: 8)
        default: return value == 0x166D || value == 0x111C9  // other categories since
        }
    }

    /// True for what `clean_text` of BERT removes: the categories Cc, Cf and Co of Unicode 8, U+FFFD.
    var isRemovedByCleaning: Bool {
        switch properties.generalCategory {
        case .control: self != "\t" && self != "\n" && self != "\r"
        case .format: isOf(unicode: 8)
        case .privateUse: true
        default: value == 0xFFFD
        }
    }

    /// True for accents as BERT strips them: the category Mn of Unicode 8.
    var isNonspacingMark: Bool {
        guard !isASCII else { return false }
        if value == 0x1734 || value == 0x1171E { return true }  // another category since
        let changed: [UInt32] = [0x1885, 0x1886, 0xA9BD, 0x111C9]
        return properties.generalCategory == .nonspacingMark && isOf(unicode: 8) && !changed.contains(value)
    }

    /// True for accents as `StripAccents` has them: the categories M of Unicode 9.
    var isCombiningMark: Bool {
        guard !isASCII else { return false }
        return isMark && isOf(unicode: 9) && value != 0x111C9 || value == 0x1CF2 || value == 0x1CF3
    }

    private var isMark: Bool {
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: true
        default: false
        }
    }

    /// True if a version of Unicode has the character.
    func isOf(unicode version: Int) -> Bool {
        guard let age = properties.age else { return false }
        return age.major < version || (age.major == version && age.minor == 0)
    }

    /// True for the categories N.
    var isNumeric: Bool {
        switch properties.generalCategory {
        case .decimalNumber, .letterNumber, .otherNumber: true
        default: false
        }
    }
}
