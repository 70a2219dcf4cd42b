import Foundation
import Tensors

/// Finds and opens the files that a path stands for.
enum TextFiles {
    /// The documents at `path`, a file or a folder, in order: `(path, bytes)`, none empty.
    static func open(_ path: String) throws -> [(path: String, bytes: TextBytes)] {
        guard !path.isEmpty else { throw InputError("the name of a text is empty; expected a file or a folder") }
        guard isFolder(path) else {
            let bytes = try read(path)
            guard bytes.count > 0 else { throw InputError("\(path): is empty; expected a text") }
            return [(path, bytes)]
        }
        let documents = try files(in: path).map { (path: $0, bytes: try read($0)) }.filter { $0.bytes.count > 0 }
        guard !documents.isEmpty else {
            throw InputError("\(path): holds no text; expected at least one file that is neither empty nor hidden")
        }
        return documents
    }

    /// Files by extension: `.gz` comes decompressed, everything else as it is.
    private static func read(_ path: String) throws -> TextBytes {
        let file = try TextFile(path: path)
        guard path.lowercased().hasSuffix(".gz"), file.count > 0 else { return .file(file) }
        return .memory(try Gzip.decompress(file))
    }

    /// All files below a folder, sorted by path (as bytes, so that the order is the same everywhere).
    private static func files(in folder: String) throws -> [String] {
        var found: [String] = []
        var folders = [folder]
        while let next = folders.popLast() {
            for name in try namesInFolder(next) where !name.hasPrefix(".") {
                let path = next.hasSuffix("/") ? next + name : next + "/" + name
                if !isFolder(path) {
                    found.append(path)
                } else if !isSymbolicLink(path) {  // a linked folder could lead back up, in circles
                    folders.append(path)
                }
            }
        }
        return found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private static func isFolder(_ path: String) -> Bool { fileKind(path) == S_IFDIR }

    private static func isSymbolicLink(_ path: String) -> Bool { fileKind(path, followsLinks: false) == S_IFLNK }
}
