import Foundation
import Tensors

/// Text as bytes: of a file, several files, or all files of a folder, one after another without anything in between.
///
/// Plain files are read where their bytes are asked for, so a text of any size costs no memory; `.gz` files are decompressed
/// into memory. A file that is shortened or written to while it is in use is an error of the next read; one that is appended
/// to is read as it was, and one that is moved, removed or replaced by a rename is read on.
public struct TextSource: Sendable {
    /// One file of the text.
    public struct Document: Sendable {
        /// The path of the file.
        public let name: String
        /// The range of the document in the whole text, in bytes.
        public let range: Range<Int>
        let bytes: TextBytes
    }

    /// The name of the text in messages: the path it was opened with, or the first and how many more.
    public let name: String
    /// The files in order, none empty.
    public let documents: [Document]
    /// Oddities of the files, each in one line: one that is gzip under another name, or UTF-16. The first few.
    public let warnings: [String]

    /// The length in bytes.
    public var count: Int { documents.last?.range.upperBound ?? 0 }

    /// Opens a file or a folder.
    ///
    /// A folder stands for all files below it, sorted by path; hidden files and folders, empty files and links to
    /// folders are skipped.
    /// - Throws: `InputError` that names the path: missing, unreadable, empty, or broken gzip data.
    public init(path: String) throws {
        try self.init(paths: [path])
    }

    /// Opens several files or folders, in the given order.
    public init(paths: [String]) throws {
        guard let first = paths.first else { throw InputError("no text is given; expected a file or a folder") }
        let name = paths.count == 1 ? first : "\(first) and \(paths.count - 1) more"
        try self.init(name: name, paths.flatMap(TextFiles.open))
        for warning in warnings { ReadingProgress.tell(.warning(warning)) }
    }

    /// A text in memory.
    /// - Parameter name: what messages call it.
    public init(_ text: String, name: String) throws { try self.init(bytes: Array(text.utf8), name: name) }

    init(bytes: [UInt8], name: String) throws {
        guard !bytes.isEmpty else { throw InputError("\(name): is empty; expected a text") }
        try self.init(name: name, [(name, .memory(bytes))])
    }

    private init(name: String, _ files: [(path: String, bytes: TextBytes)]) throws {
        self.name = name
        var start = 0
        documents = files.map { path, bytes in
            defer { start += bytes.count }
            return Document(name: path, range: start..<start + bytes.count, bytes: bytes)
        }
        warnings = try Self.warnings(of: documents)
    }

    private static func warnings(of documents: [Document]) throws -> [String] {
        var warnings: [String] = []
        try withUnsafeTemporaryAllocation(byteCount: TextOddity.length, alignment: 1) { scratch in
            for document in documents where warnings.count < mostWarnings {
                let beginning = 0..<min(document.bytes.count, TextOddity.length)
                let bytes = try document.bytes.withBytes(beginning, scratch: scratch) { [UInt8]($0) }
                guard let oddity = TextOddity.oddity(ofFileThatBeginsWith: bytes) else { continue }
                warnings.append("\(document.name): \(oddity)")
            }
        }
        return warnings
    }

    /// A folder of many such files is known by some.
    private static let mostWarnings = 3

    // MARK: Access

    /// The byte at a position of the whole text.
    public subscript(position: Int) -> UInt8 {
        get throws { try self[position..<position + 1][0] }
    }

    /// The bytes of a range, which may span files.
    public subscript(range: Range<Int>) -> [UInt8] {
        get throws {
            try Array(unsafeUninitializedCapacity: range.count) { buffer, count in
                try copy(range, into: buffer)
                count = range.count
            }
        }
    }

    /// Copies the bytes of a range, which may span files, to the beginning of `destination`.
    /// - Throws: `InputError` that names the file which was shortened or changed, or cannot be read.
    public func copy(_ range: Range<Int>, into destination: UnsafeMutableBufferPointer<UInt8>) throws {
        require(
            destination.count >= range.count,
            "TextSource.copy: \(range.count) bytes into a buffer of \(destination.count)")
        try forEachPiece(of: range) { offset, bytes in
            UnsafeMutableRawBufferPointer(destination)[offset...].copyBytes(from: bytes)
        }
    }

    /// Calls `body` with the bytes of a range, in pieces of one document each, in order.
    /// - Parameter body: gets the offset of the piece within `range`, and its bytes, valid until it returns.
    /// - Throws: `InputError` that names the file which was shortened or changed, or cannot be read; what `body` throws.
    func forEachPiece(of range: Range<Int>, _ body: (Int, UnsafeRawBufferPointer) throws -> Void) throws {
        try forPieces(of: range) { offset, bytes in
            try body(offset, bytes)
            return true
        }
    }

    /// Does so as long as `body` returns true. The first piece is small, for searches that end soon.
    func forPieces(
        of range: Range<Int>, while body: (Int, UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        require(
            range.lowerBound >= 0 && range.upperBound <= count,
            "TextSource: bytes \(range) of \(name), which has \(count)")
        var (position, length) = (range.lowerBound, Self.firstPiece)
        var isWanted = true
        try withUnsafeTemporaryAllocation(byteCount: min(range.count, Self.largestPiece), alignment: 16) { scratch in
            while isWanted, position < range.upperBound {
                let document = document(at: position)
                let end = min(range.upperBound, document.range.upperBound, position + length)
                let start = document.range.lowerBound
                isWanted = try document.bytes.withBytes(position - start..<end - start, scratch: scratch) { bytes in
                    try body(position - range.lowerBound, bytes)
                }
                (position, length) = (end, min(4 * length, Self.largestPiece))
                ReadingProgress.report("reading \(name)", position - range.lowerBound, of: range.count)
            }
            if !isWanted { ReadingProgress.report("reading \(name)", range.count, of: range.count) }
        }
    }

    static let firstPiece = 1 << 14
    /// The size of a piece that stays in the processor's caches while it is worked on.
    static let largestPiece = 1 << 18

    /// The document in which a position lies, by bisection.
    func document(at position: Int) -> Document {
        require(position >= 0 && position < count, "TextSource: byte \(position) of \(name), which has \(count)")
        var candidates = documents.indices
        while candidates.count > 1 {
            let middle = candidates.lowerBound + candidates.count / 2
            candidates =
                documents[middle].range.lowerBound <= position
                ? middle..<candidates.upperBound : candidates.lowerBound..<middle
        }
        return documents[candidates.lowerBound]
    }
}
