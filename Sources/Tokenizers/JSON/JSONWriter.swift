/// Writes JSON as the Python package does: indented by two spaces, the members in their order.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []

    static func bytes(of value: JSON) -> [UInt8] {
        var writer = JSONWriter()
        writer.write(value, indent: 0)
        writer.bytes.append(0x0A)
        return writer.bytes
    }

    private mutating func write(_ value: JSON, indent: Int) {
        switch value {
        case .null: write("null")
        case .bool(let value): write(value ? "true" : "false")
        case .number(let value): write(Self.text(of: value))
        case .string(let value): write(quoted: value)
        case .array(let elements):
            write(open: "[", close: "]", elements, indent: indent) { writer, element in
                writer.write(element, indent: indent + 1)
            }
        case .object(let members):
            write(open: "{", close: "}", members, indent: indent) { writer, member in
                writer.write(quoted: member.key)
                writer.write(": ")
                writer.write(member.value, indent: indent + 1)
            }
        }
    }

    private mutating func write<Element>(
        open: String, close: String, _ elements: [Element], indent: Int,
        _ body: (inout JSONWriter, Element) -> Void
    ) {
        write(open)
        for (index, element) in elements.enumerated() {
            write(index == 0 ? "\n" : ",\n")
            bytes.append(contentsOf: repeatElement(0x20, count: 2 * (indent + 1)))
            body(&self, element)
        }
        if !elements.isEmpty {
            write("\n")
            bytes.append(contentsOf: repeatElement(0x20, count: 2 * indent))
        }
        write(close)
    }

    private mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }

    private mutating func write(quoted text: String) {
        write("\"")
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): write("\\\"")
            case UInt8(ascii: "\\"): write("\\\\")
            case 0x0A: write("\\n")
            case 0x0D: write("\\r")
            case 0x09: write("\\t")
            case ..<0x20:
                let digits = String(byte, radix: 16)
                write("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
            default: bytes.append(byte)
            }
        }
        write("\"")
    }

    /// Writes whole numbers without a fraction, others with as many digits as give the same bits.
    private static func text(of number: Double) -> String {
        if let whole = Int(exactly: number), abs(whole) < 1 << 53 { "\(whole)" } else { "\(number)" }
    }
}
