import Tensors

extension TextSource {
    /// Calls `body` with every Unicode scalar of the text, its document, and its offset in bytes within that.
    /// - Throws: `InputError` with file, line and column where the text is not valid UTF-8, and what `body` throws. A
    ///   character must lie in one file.
    @inline(__always)
    func forEachScalar(_ body: (Unicode.Scalar, Document, Int) throws -> Void) throws {
        try withUnsafeTemporaryAllocation(byteCount: Self.largestPiece, alignment: 16) { scratch in
            for document in documents {
                let count = document.bytes.count
                var start = 0
                while start < count {
                    let end = min(start + Self.largestPiece, count)
                    start += try document.bytes.withBytes(start..<end, scratch: scratch) { bytes in
                        try Self.decode(bytes, of: document, at: start, isEnd: end == count, body)
                    }
                    ReadingProgress.report("reading \(name)", document.range.lowerBound + start, of: self.count)
                }
            }
        }
    }

    /// Decodes a piece of a document.
    /// - Parameter isEnd: whether the document ends with it; else a character that it breaks off is left for the next piece.
    /// - Returns: the number of bytes decoded.
    @inline(__always)
    private static func decode(
        _ bytes: UnsafeRawBufferPointer, of document: Document, at start: Int, isEnd: Bool,
        _ body: (Unicode.Scalar, Document, Int) throws -> Void
    ) throws -> Int {
        var position = 0
        while position < bytes.count {
            guard let (scalar, length) = scalar(in: bytes, at: position) else {
                if !isEnd && position > 0 && bytes.count - position < longestScalar { break }
                throw InputError(
                    "\(document.location(of: start + position)): the byte \(bytes[position]) is not valid UTF-8;"
                        + " use byte tokens for such a text")
            }
            try body(scalar, document, start + position)
            position += length
        }
        return position
    }

    /// In bytes.
    private static var longestScalar: Int { 4 }

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
    /// Describes the place of a byte for messages: `text.txt, line 4, column 7 (byte 123)`, lines and columns counted
    /// from 1, columns in characters, bytes from 0.
    func location(of offset: Int) -> String {
        guard let (line, column) = try? place(of: offset) else { return "\(name) (byte \(offset))" }
        return "\(name), line \(line), column \(column) (byte \(offset))"
    }

    private func place(of offset: Int) throws -> (line: Int, column: Int) {
        var (line, column) = (1, 1)
        try withUnsafeTemporaryAllocation(byteCount: TextSource.largestPiece, alignment: 16) { scratch in
            for start in stride(from: 0, to: offset, by: TextSource.largestPiece) {
                let piece = start..<min(start + TextSource.largestPiece, offset)
                try bytes.withBytes(piece, scratch: scratch) { bytes in
                    for byte in bytes where byte & 0xC0 != 0x80 {
                        (line, column) = byte == 0x0A ? (line + 1, 1) : (line, column + 1)
                    }
                }
            }
        }
        return (line, column)
    }
}
