/// The element types of safetensors files that are read here; the raw value is the file's `dtype`.
public enum SafetensorsType: String, CaseIterable, Sendable {
    case float64 = "F64"
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int64 = "I64"
    case int32 = "I32"
    case int16 = "I16"
    case int8 = "I8"
    case uint8 = "U8"
    /// One byte each, 0 or 1.
    case bool = "BOOL"

    /// The bytes of one element.
    public var size: Int {
        switch self {
        case .float64, .int64: 8
        case .float32, .int32: 4
        case .float16, .bfloat16, .int16: 2
        case .int8, .uint8, .bool: 1
        }
    }

    /// The bytes of a tensor; nil when a dimension is negative or the product leaves `Int`.
    func byteCount(shape: [Int]) -> Int? {
        var count = size
        for dimension in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
            guard dimension >= 0, !overflow else { return nil }
            count = product
        }
        return count
    }

    /// "F64, F32, …", for messages.
    static let list = allCases.map(\.rawValue).joined(separator: ", ")
}

/// What is wrong in a safetensors file, where a tensor's name may hold anything: one line, whatever the name.
func safetensorsError(_ path: String, tensor name: String, _ message: String) -> InputError {
    InputError("\(path): tensor \(name.debugDescription): \(message)")
}
