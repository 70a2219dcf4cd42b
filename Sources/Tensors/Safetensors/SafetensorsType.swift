/// The element types of safetensors files; the raw value is the file's `dtype`.
public enum SafetensorsType: Hashable, Sendable {
    case float64, float32, float16, bfloat16
    case int64, int32, int16, int8
    case uint64, uint32, uint16, uint8
    /// One byte each, 0 or 1.
    case bool
    /// A type that is not read here, such as C64 or F8_E4M3: a file with it opens, and its other tensors can be read.
    case other(String)

    /// The types whose elements can be read, widest floats first.
    public static let readable: [SafetensorsType] = [
        .float64, .float32, .float16, .bfloat16, .int64, .int32, .int16, .int8, .uint64, .uint32, .uint16, .uint8,
        .bool,
    ]

    /// True if the elements are floats that can be read.
    public var isFloat: Bool {
        switch self {
        case .float64, .float32, .float16, .bfloat16: true
        default: false
        }
    }

    /// The bits of one element; nil of a type that nothing is known about.
    var bitCount: Int? {
        switch self {
        case .float64, .int64, .uint64: 64
        case .float32, .int32, .uint32: 32
        case .float16, .bfloat16, .int16, .uint16: 16
        case .int8, .uint8, .bool: 8
        case .other(let name): Self.otherBitCounts[name]
        }
    }

    /// The reference library's further types.
    private static let otherBitCounts = [
        "C64": 64, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F6_E2M3": 6,
        "F6_E3M2": 6, "F4": 4,
    ]

    /// The bytes of one element, rounded up; 1 of a type that nothing is known about.
    public var size: Int { ((bitCount ?? 8) + 7) / 8 }

    /// The bytes of a tensor; nil when a dimension is negative, the product leaves `Int`, or the last byte is not full.
    func byteCount(shape: [Int]) -> Int? {
        guard let elements = Self.elementCount(shape: shape), let bits = bitCount else { return nil }
        // Eight elements fill whole bytes whatever the type, so that only the rest is counted in bits.
        let (whole, overflow) = (elements / 8).multipliedReportingOverflow(by: bits)
        let rest = elements % 8 * bits
        let (bytes, carry) = whole.addingReportingOverflow(rest / 8)
        return overflow || carry || rest % 8 != 0 ? nil : bytes
    }

    /// The product of a shape; nil when a dimension is negative or the product leaves `Int`.
    static func elementCount(shape: [Int]) -> Int? {
        var count = 1
        for dimension in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
            guard dimension >= 0, !overflow else { return nil }
            count = product
        }
        return count
    }
}

extension SafetensorsType: RawRepresentable {
    /// Creates the type that a header names, also one that is unknown here.
    public init(rawValue: String) { self = Self.byName[rawValue] ?? .other(rawValue) }

    /// The type's name in headers.
    public var rawValue: String {
        switch self {
        case .float64: "F64"
        case .float32: "F32"
        case .float16: "F16"
        case .bfloat16: "BF16"
        case .int64: "I64"
        case .int32: "I32"
        case .int16: "I16"
        case .int8: "I8"
        case .uint64: "U64"
        case .uint32: "U32"
        case .uint16: "U16"
        case .uint8: "U8"
        case .bool: "BOOL"
        case .other(let name): name
        }
    }

    private static let byName = Dictionary(uniqueKeysWithValues: readable.map { ($0.rawValue, $0) })
}

/// Makes the error of a tensor in a safetensors file: one line, whatever the tensor's name holds.
func safetensorsError(_ path: String, tensor name: String, _ message: String) -> InputError {
    InputError("\(path): tensor \(name.shortened.debugDescription): \(message)")
}

extension String {
    /// The beginning of a text that is too long for a message.
    package var shortened: String { utf8.count <= 400 ? self : String(unicodeScalars.prefix(100)) + "…" }
}
