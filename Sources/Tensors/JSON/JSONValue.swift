import Foundation

/// A JSON document as values. Whole numbers are kept apart from others, and `true` from 1.
package enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    /// A number written without fraction and exponent that fits an `Int`.
    case integer(Int)
    /// Any other number. One that is not finite, which JSON does not have, is written as `null`.
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// Reads a document strictly (RFC 8259): no comments, no trailing commas, no key twice in one object.
    /// - Parameter file: what messages call the document, usually its path.
    /// - Throws: `InputError` with file, line, column and what was expected there.
    package init(parsing data: some Sequence<UInt8>, file: String) throws {
        var parser = JSONParser(bytes: Array(data), file: file)
        self = try parser.document()
    }

    /// Reads one line of a log.
    /// - Parameter place: file and line number, for messages.
    package init(parsingLine line: some Sequence<UInt8>, place: String) throws {
        var parser = JSONParser(bytes: Array(line), file: place, isLine: true)
        self = try parser.document()
    }

    /// An encodable value as JSON, keys in alphabetical order; its numbers that are not finite are null.
    /// - Parameter indented: over several lines.
    /// - Throws: what the value's own encoding throws.
    package static func text(encoding value: some Encodable, indented: Bool = false) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if indented { encoder.outputFormatting.insert(.prettyPrinted) }
        // No text of a value is this: characters of the private use area.
        let mark = "\u{F8FF}\u{10FFFD}"
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: mark, negativeInfinity: mark, nan: mark)
        return String(decoding: try encoder.encode(value), as: UTF8.self).replacing("\"\(mark)\"", with: "null")
    }

    /// The value as a number, whole or not; nil for everything else, `true` and `false` included.
    package var doubleValue: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// The value as a whole number: 2 and 2.0, but neither 2.5 nor `true`.
    package var intValue: Int? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    /// The value if it is true or false.
    package var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The value if it is a string.
    package var stringValue: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The elements if it is a list.
    package var arrayValue: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The members if it is an object.
    package var objectValue: [String: JSONValue]? {
        if case .object(let value) = self { value } else { nil }
    }
}

extension JSONValue {
    /// Returns an object with the values of some of its members replaced; members that it has not are not added.
    package func replacing(_ members: [String: JSONValue]) -> JSONValue {
        guard case .object(let object) = self else { return self }
        return .object(object.merging(members.filter { object[$0.key] != nil }) { $1 })
    }
}

extension JSONValue: CustomStringConvertible {
    /// One line of JSON, the keys of objects in alphabetical order.
    package var description: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .number(let value): value.isFinite ? "\(value)" : "null"
        case .string(let value): Self.quoted(value)
        case .array(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
        case .object(let members):
            "{"
                + members.sorted { $0.key < $1.key }
                .map { "\(Self.quoted($0.key)): \($0.value)" }.joined(separator: ", ") + "}"
        }
    }

    /// A JSON string literal, quotes included.
    package static func quoted(_ text: String) -> String {
        var literal = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": literal += "\\\""
            case "\\": literal += "\\\\"
            case "\n": literal += "\\n"
            case "\r": literal += "\\r"
            case "\t": literal += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                literal += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: literal.unicodeScalars.append(scalar)
            }
        }
        return literal + "\""
    }
}
