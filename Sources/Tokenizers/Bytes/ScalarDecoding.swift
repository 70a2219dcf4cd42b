extension Bytes {
    /// The Unicode scalar that begins at a position, and its length in bytes. A byte that begins none stands for U+FFFD by
    /// itself, so that text of any bytes can be cut in the same way as valid UTF-8 (Unicode, table 3-7).
    @inline(__always)
    func scalar(at position: Int) -> (value: UInt32, length: Int) {
        let first = self[position]
        return first < 0x80 ? (UInt32(first), 1) : longScalar(at: position)
    }

    private func longScalar(at position: Int) -> (value: UInt32, length: Int) {
        let first = UInt32(self[position])
        let (length, smallest): (Int, UInt32) =
            switch first {
            case 0xC2...0xDF: (2, 0x80)
            case 0xE0...0xEF: (3, 0x800)
            case 0xF0...0xF4: (4, 0x10000)
            default: (1, 0)
            }
        guard length > 1, position + length <= count else { return (0xFFFD, 1) }
        var value = first & (0x7F >> UInt32(length))
        for offset in 1..<length {
            let byte = UInt32(self[position + offset])
            guard byte & 0xC0 == 0x80 else { return (0xFFFD, 1) }
            value = value << 6 | byte & 0x3F
        }
        guard value >= smallest, value <= 0x10FFFF, !(0xD800..<0xE000 ~= value) else { return (0xFFFD, 1) }
        return (value, length)
    }

    /// Calls `body` with each scalar and the range of its bytes.
    @inline(__always)
    func forEachScalar(_ body: (_ scalar: Unicode.Scalar, _ range: Range<Int>) -> Void) {
        var position = 0
        while position < count {
            let (value, length) = scalar(at: position)
            body(Unicode.Scalar(value)!, position..<position + length)
            position += length
        }
    }

    /// The range of the scalar before a position.
    func scalar(before position: Int) -> (value: UInt32, range: Range<Int>) {
        for length in stride(from: Swift.min(4, position), through: 2, by: -1) {
            let (value, found) = scalar(at: position - length)
            if found == length { return (value, position - length..<position) }
        }
        return (scalar(at: position - 1).value, position - 1..<position)
    }
}

extension [UInt8] {
    mutating func append(_ scalar: Unicode.Scalar) {
        if scalar.isASCII { append(UInt8(scalar.value)) } else { append(contentsOf: UTF8.encode(scalar)!) }
    }

    /// The bytes with each scalar replaced by what `body` appends in its place.
    func mappingScalars(_ body: (_ scalar: Unicode.Scalar, _ result: inout [UInt8]) -> Void) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        withUnsafeBufferPointer { $0.forEachScalar { scalar, _ in body(scalar, &result) } }
        return result
    }
}
