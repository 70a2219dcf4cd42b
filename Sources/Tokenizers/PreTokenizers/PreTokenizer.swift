/// A step that splits a text into words.
enum PreTokenizer: Sendable {
    case byteLevel(ByteLevel)
    case metaspace(Metaspace)
    case split(Pattern, SplitBehavior, inverted: Bool)
    case digits(individual: Bool)
    case punctuation(SplitBehavior)
    case delimiter(Unicode.Scalar)
    case whitespace
    case whitespaceSplit
    case bert
    case sequence([PreTokenizer])

    struct ByteLevel: Sendable {
        let addsPrefixSpace: Bool
        let usesPattern: Bool
    }

    private static let known = [
        "BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace", "Punctuation", "Sequence",
        "Split",
        "Whitespace", "WhitespaceSplit",
    ]

    init(_ component: Component) throws {
        let type = try component.type()
        switch type {
        case "ByteLevel":
            self = .byteLevel(
                ByteLevel(
                    addsPrefixSpace: try component.bool("add_prefix_space", default: true),
                    usesPattern: try component.bool("use_regex", default: true)))
        case "Metaspace": self = .metaspace(try Metaspace(component))
        case "Split":
            self = .split(
                try Pattern(component.required("pattern")), try SplitBehavior(component.required("behavior")),
                inverted: try component.bool("invert", default: false))
        case "Digits": self = .digits(individual: try component.bool("individual_digits", default: false))
        case "Punctuation":
            self = .punctuation(try component.optional("behavior").map(SplitBehavior.init) ?? .isolated)
        case "CharDelimiterSplit": self = .delimiter(try component.required("delimiter").scalar())
        case "Whitespace": self = .whitespace
        case "WhitespaceSplit": self = .whitespaceSplit
        case "BertPreTokenizer": self = .bert
        case "Sequence": self = .sequence(try component.required("pretokenizers").elements().map(PreTokenizer.init))
        default: throw component.unknown(type, known: Self.known)
        }
    }

    /// The steps without sequences.
    var steps: [PreTokenizer] { if case .sequence(let parts) = self { parts.flatMap(\.steps) } else { [self] } }

    func apply(to text: inout SplitText) {
        switch self {
        case .sequence(let parts): for part in parts { part.apply(to: &text) }
        case .byteLevel(let step):
            step.split(&text)
            text.rewrite { piece, _, result in for byte in piece { result.append(ByteAlphabet.scalars[Int(byte)]) } }
        case .metaspace(let metaspace): metaspace.apply(to: &text)
        case .split(let pattern, let behavior, let inverted):
            text.split { behavior.pieces(of: $0.count, at: pattern.matches(in: $0), inverted: inverted) }
        case .digits(let individual):
            text.split(by: individual ? .isolated : .contiguous) { $0.isNumeric }
        case .punctuation(let behavior): text.split(by: behavior) { $0.isPunctuation }
        case .delimiter(let delimiter): text.split(by: .removed) { $0 == delimiter }
        case .whitespaceSplit: text.split(by: .removed) { $0.properties.isWhitespace }
        case .bert:
            text.split(by: .removed) { $0.properties.isWhitespace }
            text.split(by: .isolated) { $0.isPunctuation }
        case .whitespace: text.split(Self.words)
        }
    }

    /// The pieces `\w+|[^\w\s]+`.
    private static func words(of text: Bytes) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var previous: Bool?  // whether the character before was a word's; nil for a space
        text.forEachScalar { scalar, range in
            let current: Bool? = scalar.isWord ? true : scalar.properties.isWhitespace ? nil : false
            if let current {
                if current == previous {
                    pieces[pieces.count - 1] = pieces[pieces.count - 1].lowerBound..<range.upperBound
                } else {
                    pieces.append(range)
                }
            }
            previous = current
        }
        return pieces
    }
}

extension SplitText {
    /// Splits at each character of a class.
    fileprivate mutating func split(by behavior: SplitBehavior, _ separates: (Unicode.Scalar) -> Bool) {
        split { text in
            var separators: [Range<Int>] = []
            text.forEachScalar { scalar, range in if separates(scalar) { separators.append(range) } }
            return behavior.pieces(of: text.count, at: separators)
        }
    }
}

extension PreTokenizer.ByteLevel {
    /// Splits without writing bytes by their characters.
    func split(_ text: inout SplitText) {
        if addsPrefixSpace {
            text.rewrite { piece, _, result in
                if piece.first != 0x20 { result.append(0x20) }
                result.append(contentsOf: piece)
            }
        }
        if usesPattern { text.split { Pattern.known(.gpt2).matches(in: $0) } }
    }
}
