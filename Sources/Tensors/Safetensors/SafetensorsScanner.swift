/// Reads the JSON of a safetensors header: nothing but objects, strings and integers of 0 or more, as the format has no
/// others. Stricter than a general parser, which hides repeated keys, rounds large integers, and can be driven into
/// deep recursion.
struct SafetensorsScanner {
    /// The part that is being read, for messages.
    enum Place {
        case header, metadata
        case tensor(String)

        fileprivate var description: String {
            switch self {
            case .header: "header"
            case .metadata: SafetensorsHeader.metadataKey
            case .tensor(let name): "tensor \(name.shortened.debugDescription)"
            }
        }
    }

    /// Names are hashed and compared letter by letter, which takes its time for letters beyond ASCII.
    private static let longestKey = 1 << 16

    private let path: String
    private let bytes: UnsafeBufferPointer<UInt8>
    private var position = 0
    var place = Place.header

    /// - Parameter header: valid UTF-8 that outlives the scanner.
    init(header: UnsafeRawBufferPointer, path: String) {
        self.path = path
        bytes = header.bindMemory(to: UInt8.self)
    }

    /// An error at the current byte.
    func unexpected(expected: String) -> InputError {
        let next = String(decoding: bytes[position...].prefix(4), as: UTF8.self).unicodeScalars.first
        let found = next?.debugDescription ?? "its end"
        return failure("expected \(expected.shortened) at byte \(position) of the header, found \(found)")
    }

    /// An error about a key that an object has had already.
    func repeated(_ key: String) -> InputError {
        failure("key \(key.shortened.debugDescription) stands twice; expected it once")
    }

    private func failure(_ message: String) -> InputError { InputError("\(path): \(place.description): \(message)") }

    // MARK: Values

    /// Reads an object and calls `member` to read each `key` and the value after it.
    mutating func object(
        expected: String = "an object", _ member: (inout SafetensorsScanner) throws -> Void
    ) throws {
        guard take("{") else { throw unexpected(expected: expected) }
        guard !take("}") else { return }
        repeat { try member(&self) } while take(",")
        guard take("}") else { throw unexpected(expected: "',' or '}'") }
    }

    /// Reads a key and its colon.
    mutating func key() throws -> String {
        let key = try string(expected: "a key in quotes")
        guard key.utf8.count <= Self.longestKey else {
            throw failure("a key of \(key.utf8.count) bytes; expected at most \(Self.longestKey)")
        }
        guard key.isStreamSafe else { throw failure("a key with more than 30 combining marks in a row") }
        guard take(":") else { throw unexpected(expected: "':'") }
        return key
    }

    /// Reads `null`, if it is next.
    mutating func takesNull() -> Bool {
        skipSpace()
        guard bytes[position...].starts(with: "null".utf8) else { return false }
        position += 4
        return true
    }

    /// Reads `[1, 2, …]`.
    mutating func integers(expected: String, atMost limit: Int) throws -> [Int] {
        guard take("[") else { throw unexpected(expected: expected) }
        guard !take("]") else { return [] }
        var values: [Int] = []
        repeat {
            guard values.count < limit else { throw unexpected(expected: "at most \(limit) numbers in a list") }
            values.append(try integer())
        } while take(",")
        guard take("]") else { throw unexpected(expected: "',' or ']'") }
        return values
    }

    private mutating func integer() throws -> Int {
        skipSpace()
        let start = position
        var value = 0
        while position < bytes.count, (0x30...0x39).contains(bytes[position]) {
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(Int(bytes[position] - 0x30))
            guard !overflow, !carry else { throw unexpected(expected: "an integer of at most \(Int.max)") }
            value = sum
            position += 1
        }
        guard position > start, position == start + 1 || bytes[start] != 0x30 else {
            position = start
            throw unexpected(expected: "an integer of 0 or more")
        }
        return value
    }

    mutating func string(expected: @autoclosure () -> String) throws -> String {
        guard take("\"") else { throw unexpected(expected: expected()) }
        var text: [UInt8] = []
        var start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                let rest = bytes[start..<position]
                position += 1
                guard !text.isEmpty else { return String(decoding: UnsafeBufferPointer(rebasing: rest), as: UTF8.self) }
                text.append(contentsOf: rest)
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                text.append(contentsOf: bytes[start..<position])
                append(try escape(), to: &text)
                start = position
            case 0..<0x20: throw unexpected(expected: "no control character in a string")
            default: position += 1
            }
        }
        throw unexpected(expected: "a closing quote")
    }

    private func append(_ scalar: Unicode.Scalar, to text: inout [UInt8]) {
        if scalar.isASCII { text.append(UInt8(scalar.value)) } else { text.append(contentsOf: UTF8.encode(scalar)!) }
    }

    /// Nothing but space may follow the value.
    mutating func end() throws {
        skipSpace()
        guard position == bytes.count else { throw unexpected(expected: "nothing but spaces after the object") }
    }

    // MARK: Characters

    /// Skips space, then takes the character if it is next.
    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    /// Reads an escape sequence, from its backslash.
    private mutating func escape() throws -> Unicode.Scalar {
        position += 1
        guard position < bytes.count else { throw unexpected(expected: "an escape sequence") }
        if let scalar = Self.simpleEscape(bytes[position]) {
            position += 1
            return scalar
        }
        let first = try codeUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard UTF16.isLeadSurrogate(UInt16(first)), position < bytes.count, bytes[position] == 0x5C else {
            throw unexpected(expected: "the second half of a surrogate pair")
        }
        position += 1
        let second = try codeUnit()
        guard (0xDC00...0xDFFF).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw unexpected(expected: "the second half of a surrogate pair") }
        return scalar
    }

    private static func simpleEscape(_ letter: UInt8) -> Unicode.Scalar? {
        switch letter {
        case 0x22: "\""
        case 0x5C: "\\"
        case 0x2F: "/"
        case 0x62: "\u{8}"
        case 0x66: "\u{C}"
        case 0x6E: "\n"
        case 0x72: "\r"
        case 0x74: "\t"
        default: nil
        }
    }

    /// Reads the `uXXXX` of an escape sequence.
    private mutating func codeUnit() throws -> UInt32 {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "u") else {
            throw unexpected(expected: "an escape sequence")
        }
        position += 1
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard position < bytes.count, let digit = bytes[position].hexadecimalDigit else {
                throw unexpected(expected: "a hexadecimal digit")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
