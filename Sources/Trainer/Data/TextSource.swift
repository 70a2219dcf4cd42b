import Foundation
import Tensors

/// Text as bytes: of a file, several files, or all files of a folder, one after another without anything in between.
///
/// Plain files are memory-mapped and read where they are touched, so a text of any size costs no memory; `.gz` files
/// are decompressed into memory. A file must not be shortened while it is in use (replacing it by a rename is fine).
public struct TextSource: Sendable {
    /// One file of the text.
    public struct Document: Sendable {
        /// The path of the file.
        public let name: String
        /// Where the document lies in the whole text, in bytes.
        public let range: Range<Int>
        let bytes: TextBytes
    }

    /// What messages call the text: the path it was opened with, or the first and how many more.
    public let name: String
    /// The files in order, none empty.
    public let documents: [Document]

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
        self.init(name: name, try paths.flatMap(TextFiles.open))
    }

    /// A text in memory.
    /// - Parameter name: what messages call it.
    public init(_ text: String, name: String) throws {
        guard !text.isEmpty else { throw InputError("\(name): is empty; expected a text") }
        self.init(name: name, [(name, .memory(Array(text.utf8)))])
    }

    private init(name: String, _ files: [(path: String, bytes: TextBytes)]) {
        self.name = name
        var start = 0
        documents = files.map { path, bytes in
            defer { start += bytes.count }
            return Document(name: path, range: start..<start + bytes.count, bytes: bytes)
        }
    }

    // MARK: Access

    /// The byte at a position of the whole text.
    public subscript(position: Int) -> UInt8 {
        let document = document(at: position)
        return document.bytes.withUnsafeBytes { $0[position - document.range.lowerBound] }
    }

    /// The bytes of a range, which may span files.
    public subscript(range: Range<Int>) -> [UInt8] {
        Array(unsafeUninitializedCapacity: range.count) { buffer, count in
            copy(range, into: buffer)
            count = range.count
        }
    }

    /// Copies the bytes of a range, which may span files, to the beginning of `destination`.
    public func copy(_ range: Range<Int>, into destination: UnsafeMutableBufferPointer<UInt8>) {
        require(
            destination.count >= range.count,
            "TextSource.copy: \(range.count) bytes into a buffer of \(destination.count)")
        forEachPiece(of: range) { offset, bytes in
            UnsafeMutableRawBufferPointer(destination)[offset...].copyBytes(from: bytes)
        }
    }

    /// Calls `body` with the bytes of a range where they lie, at most a megabyte and one document at once, in order.
    /// - Parameter body: gets the offset of the piece within `range`, and its bytes, valid until it returns.
    func forEachPiece(of range: Range<Int>, _ body: (Int, UnsafeRawBufferPointer) throws -> Void) rethrows {
        try forPieces(of: range) { offset, bytes in
            try body(offset, bytes)
            return true
        }
    }

    /// Does so as long as `body` returns true.
    func forPieces(
        of range: Range<Int>, while body: (Int, UnsafeRawBufferPointer) throws -> Bool
    ) rethrows {
        require(
            range.lowerBound >= 0 && range.upperBound <= count,
            "TextSource: bytes \(range) of \(name), which has \(count)")
        var position = range.lowerBound
        var isWanted = true
        while isWanted, position < range.upperBound {
            let document = document(at: position)
            let end = min(range.upperBound, document.range.upperBound, position + 1 << 20)
            let start = document.range.lowerBound
            isWanted = try document.bytes.withUnsafeBytes { bytes in
                try body(position - range.lowerBound, .init(rebasing: bytes[position - start..<end - start]))
            }
            document.bytes.release(position - start..<end - start)
            position = end
        }
    }

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
