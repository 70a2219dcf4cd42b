/// Turns tokens into text one at a time, for output that is shown as it comes.
///
/// Bytes that begin a character are held back until it is complete. Bytes that cannot become one appear as U+FFFD: all
/// the pieces together are exactly what `Tokenizer.decode` makes of all the tokens.
public struct StreamingDecoder: Sendable {
    private let tokenizer: any Tokenizer
    /// The bytes that are held back.
    public private(set) var pending: [UInt8]

    /// - Parameter pending: what another decoder of the same text held back, to continue where it stopped.
    public init(_ tokenizer: any Tokenizer, pending: [UInt8] = []) {
        (self.tokenizer, self.pending) = (tokenizer, pending)
    }

    /// The text that this token completes; often one character, empty in the middle of one.
    public mutating func append(_ token: Int32) -> String {
        pending += tokenizer.bytes(of: token)
        let ready = pending.count - Self.incompleteSuffix(of: pending)
        defer { pending.removeFirst(ready) }
        return String(decoding: pending[..<ready], as: UTF8.self)
    }

    /// Returns the text held back, when no more tokens come: U+FFFD for the beginning of a character, or nothing.
    public mutating func finish() -> String {
        defer { pending = [] }
        return String(decoding: pending, as: UTF8.self)
    }

    /// Counts the bytes at the end that begin a character whose rest may still come.
    static func incompleteSuffix(of bytes: [UInt8]) -> Int {
        for length in 1...3 where length <= bytes.count {
            let suffix = bytes.suffix(length)
            guard let lead = suffix.first, lead & 0xC0 != 0x80 else { continue }
            return isBeginning(lead, rest: suffix.dropFirst()) ? length : 0
        }
        return 0
    }

    /// Tells whether a lead byte and fewer continuation bytes than it wants can begin a character (Unicode, table 3-7).
    private static func isBeginning(_ lead: UInt8, rest: ArraySlice<UInt8>) -> Bool {
        let wanted =
            switch lead {
            case 0xC2...0xDF: 1
            case 0xE0...0xEF: 2
            case 0xF0...0xF4: 3
            default: 0
            }
        guard rest.count < wanted, let second = rest.first else { return rest.count < wanted }
        return switch lead {
        case 0xE0: second >= 0xA0  // below are longer forms of smaller numbers
        case 0xED: second < 0xA0  // from here on are surrogates
        case 0xF0: second >= 0x90
        case 0xF4: second < 0x90  // from here on is beyond Unicode
        default: true
        }
    }
}
