/// The patterns that split texts of the well-known byte-level vocabularies, with a scanner written for each, which is faster
/// than a general engine and equal to it on random texts, which the tests show.
enum KnownPattern: Hashable, Sendable {
    /// GPT-2's: contractions, letters, numbers, others, each with a space before it, white space.
    case gpt2
    /// Llama 3's (of GPT-4): numbers of at most so many digits, line ends by themselves, contractions in any case. Qwen has it
    /// with single digits.
    case llama3(mostDigits: Int)

    /// - Parameter pattern: a regular expression as a tokenizer file has it; the result is nil for others.
    init?(_ pattern: String) {
        switch pattern {
        case Self.gpt2.pattern: self = .gpt2
        case Self.llama3(mostDigits: 3).pattern: self = .llama3(mostDigits: 3)
        case Self.llama3(mostDigits: 1).pattern: self = .llama3(mostDigits: 1)
        default: return nil
        }
    }

    var pattern: String {
        switch self {
        case .gpt2: #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
        case .llama3(let digits):
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"#
                + (digits == 1 ? "" : "{1,\(digits)}")
                + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        }
    }

    /// Calls `body` with the end of each piece of a text, which the pieces cover without gaps.
    @inline(__always)
    func forEachEnd(in text: Bytes, _ body: (Int) throws -> Void) rethrows {
        try CharacterClass.withTable { classes in
            let scanner = PieceScanner(text: text, classes: classes)
            var position = 0
            while position < text.count {
                switch self {
                case .gpt2: position = scanner.gpt2(position)
                case .llama3(let digits): position = scanner.llama3(position, mostDigits: digits)
                }
                try body(position)
            }
        }
    }
}

/// Finds the ends of pieces. Each method takes the position at which a piece or a run begins and returns its end.
private struct PieceScanner {
    let text: Bytes
    let classes: CharacterClasses

    @inline(__always)
    private func next(_ position: Int) -> (value: UInt32, kind: CharacterClass, end: Int)? {
        guard position < text.count else { return nil }
        let (value, length) = text.scalar(at: position)
        return (value, classes[value], position + length)
    }

    @inline(__always)
    private func run(of kind: CharacterClass, from position: Int, atMost limit: Int = .max) -> Int {
        var (position, left) = (position, limit)
        while left > 0, let scalar = next(position), scalar.kind == kind { (position, left) = (scalar.end, left - 1) }
        return position
    }

    // MARK: GPT-2

    func gpt2(_ start: Int) -> Int {
        guard let first = next(start) else { return start }
        if first.value == 0x27, let end = contraction(after: first.end, folding: false) { return end }
        if first.kind != .space { return run(of: first.kind, from: first.end) }
        if first.value == 0x20, let second = next(first.end), second.kind != .space {
            return run(of: second.kind, from: second.end)
        }
        return spaces(from: start)
    }

    /// The end of white space, whose last character is left to a word that follows.
    private func spaces(from start: Int) -> Int {
        var (position, last) = (start, start)
        while let scalar = next(position), scalar.kind == .space { (last, position) = (position, scalar.end) }
        return position == text.count || last == start ? position : last
    }

    // MARK: Llama 3

    func llama3(_ start: Int, mostDigits: Int) -> Int {
        guard let first = next(start) else { return start }
        if first.value == 0x27, let end = contraction(after: first.end, folding: true) { return end }
        switch first.kind {
        case .letter: return run(of: .letter, from: first.end)
        case .number: return run(of: .number, from: first.end, atMost: mostDigits - 1)
        case .other:
            if let second = next(first.end), second.kind == .letter { return run(of: .letter, from: second.end) }
            return lineEnds(from: run(of: .other, from: first.end))
        case .space:
            if !isLineEnd(first.value), let second = next(first.end) {
                if second.kind == .letter { return run(of: .letter, from: second.end) }
                if first.value == 0x20, second.kind == .other {
                    return lineEnds(from: run(of: .other, from: second.end))
                }
            }
            return endOfLines(from: start) ?? spaces(from: start)
        }
    }

    private func isLineEnd(_ scalar: UInt32) -> Bool { scalar == 0x0A || scalar == 0x0D }

    private func lineEnds(from start: Int) -> Int {
        var position = start
        while position < text.count, isLineEnd(UInt32(text[position])) { position += 1 }
        return position
    }

    /// The end of the last line end within white space.
    private func endOfLines(from start: Int) -> Int? {
        var (position, end): (Int, Int?) = (start, nil)
        while let scalar = next(position), scalar.kind == .space {
            position = scalar.end
            if isLineEnd(scalar.value) { end = position }
        }
        return end
    }

    // MARK: Contractions

    /// The end of s, t, m, d, re, ve or ll after an apostrophe.
    private func contraction(after position: Int, folding: Bool) -> Int? {
        guard let first = letter(position, folding) else { return nil }
        switch first.value {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return first.end
        case UInt8(ascii: "r"), UInt8(ascii: "v"): return second(UInt8(ascii: "e"), first.end, folding)
        case UInt8(ascii: "l"): return second(UInt8(ascii: "l"), first.end, folding)
        default: return nil
        }
    }

    private func second(_ wanted: UInt8, _ position: Int, _ folding: Bool) -> Int? {
        letter(position, folding).flatMap { $0.value == wanted ? $0.end : nil }
    }

    /// A letter of ASCII, in lowercase where case does not count. The long s (U+017F) is an s then.
    private func letter(_ position: Int, _ folding: Bool) -> (value: UInt8, end: Int)? {
        guard let scalar = next(position) else { return nil }
        guard let byte = UInt8(exactly: scalar.value), byte < 0x80 else {
            return folding && scalar.value == 0x17F ? (UInt8(ascii: "s"), scalar.end) : nil
        }
        let isUpper = UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
        return (folding && isUpper ? byte | 0x20 : byte, scalar.end)
    }
}
