import Foundation

/// A strict reader of JSON documents; errors name the file, the line and what was expected.
struct JSONParser {
    private let bytes: UnsafeBufferPointer<UInt8>
    private let file: String
    private var position = 0
    private var depth = 0

    /// Deeper documents would overflow the stack of the recursive reader; a tokenizer file has some ten levels.
    private static let greatestDepth = 100

    /// Reads a whole document.
    static func parse(_ bytes: [UInt8], file: String) throws -> JSON {
        try bytes.withUnsafeBufferPointer { bytes in
            var parser = JSONParser(bytes: bytes, file: file)
            if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { parser.position = 3 }
            let value = try parser.value()
            parser.skipSpace()
            guard parser.position == bytes.count else { throw parser.expected("the end of the document") }
            return value
        }
    }

    private init(bytes: UnsafeBufferPointer<UInt8>, file: String) {
        (self.bytes, self.file) = (bytes, file)
    }

    // MARK: Values

    private mutating func value() throws -> JSON {
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): return .object(try nested { try $0.members() })
        case UInt8(ascii: "["): return .array(try nested { try $0.elements() })
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case let byte? where isNumberByte(byte): return .number(try number())
        default: throw expected("a value")
        }
    }

    private mutating func nested<Value>(_ read: (inout JSONParser) throws -> Value) throws -> Value {
        depth += 1
        guard depth <= Self.greatestDepth else { throw expected("at most \(Self.greatestDepth) levels") }
        position += 1
        defer { depth -= 1 }
        return try read(&self)
    }

    private mutating func members() throws -> [JSON.Member] {
        var members: [JSON.Member] = []
        skipSpace()
        if take("}") { return members }
        repeat {
            skipSpace()
            guard peek == UInt8(ascii: "\"") else { throw expected("a key in quotes") }
            let key = try string()
            skipSpace()
            guard take(":") else { throw expected("':' after the key") }
            members.append(JSON.Member(key: key, value: try value()))
            skipSpace()
        } while take(",")
        guard take("}") else { throw expected("',' or '}'") }
        return members
    }

    private mutating func elements() throws -> [JSON] {
        var elements: [JSON] = []
        skipSpace()
        if take("]") { return elements }
        repeat {
            elements.append(try value())
            skipSpace()
        } while take(",")
        guard take("]") else { throw expected("',' or ']'") }
        return elements
    }

    private mutating func word(_ word: StaticString, _ value: JSON) throws -> JSON {
        let end = position + word.utf8CodeUnitCount
        guard end <= bytes.count, memcmp(word.utf8Start, bytes.baseAddress! + position, word.utf8CodeUnitCount) == 0
        else { throw expected("a value") }
        position = end
        return value
    }

    private mutating func number() throws -> Double {
        let start = position
        while let byte = peek, isNumberByte(byte) { position += 1 }
        guard let text = String(validating: bytes[start..<position], as: UTF8.self), let number = Double(text),
            number.isFinite
        else {
            position = start
            throw expected("a number")
        }
        return number
    }

    private func isNumberByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
            UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default: false
        }
    }

    // MARK: Strings

    private mutating func string() throws -> String {
        position += 1
        let start = position
        while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
        if peek == UInt8(ascii: "\"") {
            defer { position += 1 }
            return try valid(bytes[start..<position])
        }
        return try escapedString(from: start)
    }

    private mutating func escapedString(from start: Int) throws -> String {
        var text = Array(bytes[start..<position])
        while let byte = peek, byte >= 0x20 {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return try valid(text[...])
            case UInt8(ascii: "\\"): text.append(contentsOf: UTF8.encode(try escape())!)
            default: text.append(byte)
            }
        }
        throw expected("the end of the string")
    }

    private func valid(_ bytes: some Collection<UInt8>) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw expected("a string in UTF-8") }
        return text
    }

    private mutating func escape() throws -> Unicode.Scalar {
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
        case UInt8(ascii: "u"): return try escapedScalar()
        default: throw expected("an escape such as \\n")
        }
    }

    private mutating func escapedScalar() throws -> Unicode.Scalar {
        let first = try fourDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xDC00, take("\\"), take("u") else { throw expected("a pair of surrogates") }
        let second = try fourDigits()
        guard 0xDC00..<0xE000 ~= second, let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + second - 0xDC00)
        else { throw expected("a pair of surrogates") }
        return scalar
    }

    private mutating func fourDigits() throws -> UInt32 {
        guard position + 4 <= bytes.count,
            let text = String(validating: bytes[position..<position + 4], as: UTF8.self), text.first != "+",
            let number = UInt32(text, radix: 16)
        else { throw expected("four hexadecimal digits") }
        position += 4
        return number
    }

    // MARK: Characters

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private func expected(_ what: String) -> TokenizerError {
        let line = 1 + bytes.prefix(position).count { $0 == 0x0A }
        return TokenizerError("\(file): line \(line): expected \(what)")
    }
}
