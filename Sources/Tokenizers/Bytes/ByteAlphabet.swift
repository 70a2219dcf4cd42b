/// The characters by which byte-level vocabularies write the 256 bytes (GPT-2): printable ones of Latin-1 stand for themselves,
/// the others for those from U+0100 on, in order.
enum ByteAlphabet {
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (0..<256).map { byte in
            if 0x21...0x7E ~= byte || 0xA1...0xAC ~= byte || 0xAE...0xFF ~= byte { return Unicode.Scalar(UInt8(byte)) }
            defer { next += 1 }
            return Unicode.Scalar(next)!
        }
    }()

    /// The bytes of the scalars from 0 on; −1 for those that stand for none.
    private static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = Int16(byte) }
        return bytes
    }()

    /// The byte a scalar stands for.
    static func byte(of scalar: Unicode.Scalar) -> UInt8? {
        guard scalar.value < bytes.count else { return nil }
        return UInt8(exactly: bytes[Int(scalar.value)])
    }

    /// The UTF-8 of the scalars that stand for bytes.
    static func encoded(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        for byte in bytes { result.append(scalars[Int(byte)]) }
        return result
    }

    /// The bytes that scalars stand for; nil where one stands for none.
    static func decoded(_ text: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var isWhole = true
        text.withUnsafeBufferPointer { text in
            text.forEachScalar { scalar, _ in
                if let byte = byte(of: scalar) { result.append(byte) } else { isWhole = false }
            }
        }
        return isWhole ? result : nil
    }
}
