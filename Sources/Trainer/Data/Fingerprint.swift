import CZlib
import Foundation

extension TokenSource {
    /// Returns the fingerprint that tells texts apart: the CRC-32 of the tokens, eight hexadecimal digits.
    ///
    /// For byte tokens it is the checksum of the text itself, which `crc32` and `gzip -lv` print too; for all others
    /// that of the tokens as 32-bit numbers, the low byte first. The whole text is read, in pieces, so the memory does
    /// not grow with it. A change of one byte is always found; 1 in 2³² of larger ones is not.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    public func fingerprint() throws -> String {
        String(format: "%08x", try storage.checksum(of: range))
    }
}

extension TokenStorage {
    /// Computes the CRC-32 of a range of tokens, as 32-bit numbers, the low byte first.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    public func checksum(of range: Range<Int>) throws -> UInt32 {
        let pieceLength = 1 << 14
        var checksum = CRC32()
        try withUnsafeTemporaryAllocation(of: Int32.self, capacity: min(pieceLength, range.count)) { piece in
            for start in stride(from: range.lowerBound, to: range.upperBound, by: pieceLength) {
                let part = start..<min(start + pieceLength, range.upperBound)
                try copy(part, into: piece.baseAddress!)
                for i in 0..<part.count { piece[i] = piece[i].littleEndian }
                checksum.update(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(piece)[..<(part.count * 4)]))
            }
        }
        return checksum.value
    }
}

/// The checksum of gzip, PNG and zlib (RFC 1952, section 8), computed piece by piece.
struct CRC32 {
    private(set) var value: UInt32 = 0

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {  // zlib takes less than 4 GB at once
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
            let address = piece.bindMemory(to: UInt8.self).baseAddress
            value = UInt32(truncatingIfNeeded: crc32(uLong(value), address, UInt32(piece.count)))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
        }
    }
}
