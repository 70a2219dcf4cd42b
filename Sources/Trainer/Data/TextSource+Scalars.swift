import Tensors

extension TextSource {
    /// Calls `body` with every Unicode scalar of the text, its document, and its offset in bytes within that.
    /// - Throws: `InputError` with file, line and column where the text is not valid UTF-8, and what `body` throws. A
    ///   character must lie in one file.
    @inline(__always)
    func forEachScalar(_ body: (Unicode.Scalar, Document, Int) throws -> Void) throws {
        for document in documents {
            try document.bytes.withUnsafeBytes { bytes in
                var position = 0
                var released = 0
                while position < bytes.count {
                    guard let (scalar, length) = Self.scalar(in: bytes, at: position) else {
                        throw InputError(
                            "\(document.location(of: position)): the byte \(bytes[position]) is not valid UTF-8;"
                                + " use byte tokens for such a text")
                    }
                    try body(scalar, document, position)
                    position += length
                    if position - released > 1 << 22 {
                        document.bytes.release(released..<position)
                        released = position
                    }
                }
                document.bytes.release(released..<position)
            }
        }
    }

    /// Decodes one scalar (Unicode standard, table 3-7); nil where there is none.
    @inline(__always)
    private static func scalar(in bytes: UnsafeRawBufferPointer, at start: Int) -> (Unicode.Scalar, length: Int)? {
        let lead = bytes[start]
        if lead < 0x80 { return (Unicode.Scalar(lead), 1) }
        let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
        guard lead >= 0xC2, lead < 0xF5, start + length <= bytes.count else { return nil }
        var value = UInt32(lead) & (0x7F >> UInt32(length))
        for byte in bytes[start + 1..<start + length] {
            guard byte & 0xC0 == 0x80 else { return nil }
            value = value << 6 | UInt32(byte & 0x3F)
        }
        // Neither a longer form of a smaller number nor a surrogate, which `Unicode.Scalar` refuses.
        guard value >= [0x80, 0x800, 0x10000][length - 2], let scalar = Unicode.Scalar(value) else { return nil }
        return (scalar, length)
    }
}

extension TextSource.Document {
    /// Where a byte lies, for messages: `text.txt, line 4, column 7 (byte 123)`, lines and columns counted from 1,
    /// columns in characters, bytes from 0.
    func location(of offset: Int) -> String {
        bytes.withUnsafeBytes { bytes in
            let before = bytes[..<offset]
            let line = before.count { $0 == 0x0A } + 1
            let column = before.reversed().prefix { $0 != 0x0A }.count { $0 & 0xC0 != 0x80 } + 1
            return "\(name), line \(line), column \(column) (byte \(offset))"
        }
    }
}
