/// Reads the JSON of a safetensors header: nothing but objects, strings and integers of 0 or more, as the format has no
/// others. Stricter than a general parser, which hides repeated keys, rounds large integers, and can be driven into
/// deep recursion.
struct SafetensorsScanner {
    private let path: String
    private let bytes: UnsafeBufferPointer<UInt8>
    private var position = 0
    /// What is being read, for messages.
    var context = "header"

    /// - Parameter header: valid UTF-8 that outlives the scanner.
    init(header: UnsafeRawBufferPointer, path: String) {
        self.path = path
        bytes = header.bindMemory(to: UInt8.self)
    }

    /// An error at the current byte.
    func unexpected(expected: String) -> InputError {
        let next = String(decoding: bytes[position...].prefix(4), as: UTF8.self).unicodeScalars.first
        let found = next?.debugDescription ?? "its end"
        return InputError("\(path): \(context): expected \(expected) at byte \(position) of the header, found \(found)")
    }

    // MARK: Values

    /// Reads an object and calls `member` with each key, to read its value. A repeated key is an error.
    mutating func object(
        expected: String = "an object", _ member: (inout SafetensorsScanner, String) throws -> Void
    ) throws {
        guard take("{") else { throw unexpected(expected: expected) }
        guard !take("}") else { return }
        var keys = Set<String>()
        repeat {
            let key = try string(expected: "a key in quotes")
            guard keys.insert(key).inserted else {
                throw InputError("\(path): \(context): key \(key.debugDescription) stands twice; expected it once")
            }
            guard take(":") else { throw unexpected(expected: "':'") }
            try member(&self, key)
        } while take(",")
        guard take("}") else { throw unexpected(expected: "',' or '}'") }
    }

    /// Reads `[1, 2, …]`.
    mutating func integers(expected: String) throws -> [Int] {
        guard take("[") else { throw unexpected(expected: expected) }
        guard !take("]") else { return [] }
        var values: [Int] = []
        repeat { values.append(try integer()) } while take(",")
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

    mutating func string(expected: String) throws -> String {
        guard take("\"") else { throw unexpected(expected: expected) }
        var text: [UInt8] = []
        var start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                text.append(contentsOf: bytes[start..<position])
                position += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                text.append(contentsOf: bytes[start..<position])
                text.append(contentsOf: String(try escape()).utf8)
                start = position
            case 0..<0x20: throw unexpected(expected: "no control character in a string")
            default: position += 1
            }
        }
        throw unexpected(expected: "a closing quote")
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
        let simple: [UInt8: Unicode.Scalar] = [
            0x22: "\"", 0x5C: "\\", 0x2F: "/", 0x62: "\u{8}", 0x66: "\u{C}", 0x6E: "\n", 0x72: "\r", 0x74: "\t",
        ]
        if let scalar = simple[bytes[position]] {
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

    /// Reads the `uXXXX` of an escape sequence.
    private mutating func codeUnit() throws -> UInt32 {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "u") else {
            throw unexpected(expected: "an escape sequence")
        }
        position += 1
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard position < bytes.count, let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
                throw unexpected(expected: "a hexadecimal digit")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
