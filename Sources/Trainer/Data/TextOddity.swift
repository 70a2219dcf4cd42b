/// Checks for files that can be read as a text and were hardly meant as one.
enum TextOddity {
    /// The number of bytes at a file's beginning that decide.
    static let length = 256

    /// Returns a description of what is odd about a file that begins with these bytes; nil if nothing is.
    static func oddity(ofFileThatBeginsWith bytes: [UInt8]) -> String? {
        if bytes.starts(with: [0x1F, 0x8B]) {
            return "begins like a gzip file; only one whose name ends in .gz is decompressed"
        }
        guard isUTF16(bytes) else { return nil }
        return "looks like UTF-16, of which every other byte says little; convert it: iconv -f UTF-16 -t UTF-8"
    }

    /// By the mark at its beginning, or by zeros in all even or in all odd places alone, as of Latin letters.
    private static func isUTF16(_ bytes: [UInt8]) -> Bool {
        if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) { return true }
        let pairs = bytes.count / 2
        guard pairs >= 8 else { return false }
        let zeros = (0..<2).map { first in
            stride(from: first, to: 2 * pairs, by: 2).count { bytes[$0] == 0 }
        }
        return zeros.min() == 0 && zeros.max()! * 10 >= pairs * 9
    }
}
