/// A strict JSON reader, of whole documents or member by member. Foundation's decoders give no line, let trailing commas
/// pass, and hide a key written twice, of which one silently wins: in a configuration all three are mistakes to be reported.
struct JSONParser {
    private let bytes: [UInt8]
    private let file: String
    /// True if the bytes are one line of a file, which `file` numbers.
    private let isLine: Bool
    private var position = 0
    private var depth = 0

    /// Deeper documents would overflow the stack of the recursive reader; none of ours comes near.
    private static let greatestDepth = 200
    /// More bytes than any document of ours has, and few enough to be read in a second or two.
    private static let greatestSize = 1 << 26
    /// Keys are hashed and compared letter by letter, which takes its time for letters beyond ASCII.
    private static let longestKey = 1 << 16

    init(bytes: [UInt8], file: String, isLine: Bool = false) {
        self.bytes = bytes
        self.file = file
        self.isLine = isLine
    }

    /// Reads a document, any value.
    mutating func document() throws -> JSONValue {
        guard bytes.count <= Self.greatestSize else {
            throw InputError("\(file): has \(bytes.count) bytes; expected JSON of at most \(Self.greatestSize)")
        }
        return try document { try $0.value() }
    }

    /// Reads a document that is an object, of any size.
    /// - Parameter member: is given each key in the order of the document, and reads the value after it.
    mutating func members(_ member: (_ parser: inout JSONParser, _ key: String) throws -> Void) throws {
        try document { parser in
            guard parser.peek == UInt8(ascii: "{") else { throw parser.expected("an object") }
            try parser.object { parser, key, _ in try member(&parser, key) }
        }
    }

    private mutating func document<Value>(_ read: (inout JSONParser) throws -> Value) throws -> Value {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }  // the byte order mark some editors write
        skipSpace()
        guard position < bytes.count else { throw InputError("\(file): is empty; expected JSON") }
        let value = try read(&self)
        skipSpace()
        guard position == bytes.count else { throw expected("the end of the document") }
        return value
    }

    // MARK: Values

    /// Reads the value that is next.
    mutating func value() throws -> JSONValue {
        switch peek {
        case UInt8(ascii: "{"): return .object(try object())
        case UInt8(ascii: "["): return .array(try array())
        case UInt8(ascii: "\""): return .string(try string())
        case let byte? where byte == UInt8(ascii: "-") || Self.isDigit(byte): return try number()
        default:
            for (word, value) in [("true", JSONValue.bool(true)), ("false", .bool(false)), ("null", .null)]
            where bytes[position...].starts(with: word.utf8) {
                position += word.utf8.count
                return value
            }
            throw expected("a value")
        }
    }

    private mutating func object() throws -> [String: JSONValue] {
        var members: [String: JSONValue] = [:]
        try object { parser, key, start in
            // One look into the dictionary, not two: hashing is most of the work of a document with a million keys.
            guard members.updateValue(try parser.value(), forKey: key) == nil else {
                throw parser.failure("the key \(JSONValue.quoted(key.shortened)) is given twice", at: start)
            }
        }
        return members
    }

    /// Reads an object, whose opening bracket is next.
    private mutating func object(
        _ member: (_ parser: inout JSONParser, _ key: String, _ start: Int) throws -> Void
    ) throws {
        try elements(until: "}") { parser in
            guard parser.peek == UInt8(ascii: "\"") else { throw parser.expected("a key in double quotes") }
            let start = parser.position
            let key = try parser.string()
            guard key.utf8.count <= Self.longestKey else {
                throw parser.failure(
                    "a key of \(key.utf8.count) bytes; expected at most \(Self.longestKey)", at: start)
            }
            guard key.isStreamSafe else {
                throw parser.failure("a key with more than 30 combining marks in a row", at: start)
            }
            parser.skipSpace()
            guard parser.take(":") else {
                throw parser.expected("\":\" after the key \(JSONValue.quoted(key.shortened))")
            }
            parser.skipSpace()
            try member(&parser, key, start)
        }
    }

    private mutating func array() throws -> [JSONValue] {
        var values: [JSONValue] = []
        try elements(until: "]") { parser in values.append(try parser.value()) }
        return values
    }

    /// Reads what lies between the brackets of an object or array, the opening one included, separated by commas.
    private mutating func elements(
        until close: Unicode.Scalar, _ element: (inout JSONParser) throws -> Void
    ) throws {
        depth += 1
        guard depth <= Self.greatestDepth else { throw failure("nested too deeply", at: position) }
        position += 1
        skipSpace()
        if !take(close) {
            while true {
                try element(&self)
                skipSpace()
                if take(close) { break }
                guard take(",") else { throw expected("\",\" or \"\(close)\"") }
                skipSpace()
            }
        }
        depth -= 1
    }

    private mutating func number() throws -> JSONValue {
        let start = position
        _ = take("-")
        if !take("0") { try digits() }
        var isWhole = true
        if take(".") {
            isWhole = false
            try digits()
        }
        if take("e") || take("E") {
            isWhole = false
            if !take("+") { _ = take("-") }
            try digits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isWhole, let value = Int(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            throw failure("\(text.shortened) is larger than a number can be", at: start)
        }
        return .number(value)
    }

    private mutating func digits() throws {
        let start = position
        while let byte = peek, Self.isDigit(byte) { position += 1 }
        guard position > start else { throw expected("a digit") }
    }

    // MARK: Strings

    private mutating func string() throws -> String {
        let start = position
        position += 1
        var content: [UInt8] = []
        var copied = position
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                content += bytes[copied..<position - 1]
                guard let text = String(validating: content, as: UTF8.self) else {
                    throw failure("a string that is not valid UTF-8", at: start)
                }
                return text
            case UInt8(ascii: "\\"):
                content += bytes[copied..<position - 1]
                content += try escape().utf8
                copied = position
            case 0..<0x20: throw failure("a control character in a string; expected it escaped", at: position - 1)
            default: break
            }
        }
        throw failure("a string that does not end", at: start)
    }

    /// The character after a backslash, which has been read.
    private mutating func escape() throws -> String {
        let start = position - 1
        let letter = peek
        position += 1
        switch letter {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            // Characters beyond 16 bits are written as two units.
            var units = [hexUnit()]
            if let first = units[0], UTF16.isLeadSurrogate(first), take("\\"), take("u") { units.append(hexUnit()) }
            let known = units.compactMap { $0 }
            if known.count == units.count, let text = String(validating: known, as: UTF16.self) { return text }
            throw failure("an invalid \\u escape", at: start)
        default: throw failure("an unknown escape in a string", at: start)
        }
    }

    private mutating func hexUnit() -> UInt16? {
        guard position + 4 <= bytes.count else { return nil }
        var unit: UInt16 = 0
        for byte in bytes[position..<position + 4] {
            guard let digit = byte.hexadecimalDigit else { return nil }
            unit = unit << 4 | UInt16(digit)
        }
        position += 4
        return unit
    }

    // MARK: Bytes and messages

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: scalar) else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
    }

    private func expected(_ what: String) -> InputError {
        let rest = bytes[position...].prefix { $0 & 0xC0 == 0x80 || $0 >= 0x20 }.prefix(40)
        let found = position == bytes.count ? "the end" : String(decoding: rest, as: UTF8.self).first.map(Self.name)
        return failure("expected \(what), found \(found ?? "the end of the line")", at: position)
    }

    private static func name(_ character: Character) -> String { JSONValue.quoted(String(character)) }

    private func failure(_ problem: String, at offset: Int) -> InputError {
        let before = bytes[..<min(offset, bytes.count)]
        let line = before.count { $0 == 0x0A } + 1
        let column = before.reversed().prefix { $0 != 0x0A }.count { $0 & 0xC0 != 0x80 } + 1
        let place = isLine ? "\(file), column \(column)" : "\(file), line \(line), column \(column)"
        return InputError("\(place): not valid JSON: \(problem)")
    }
}
