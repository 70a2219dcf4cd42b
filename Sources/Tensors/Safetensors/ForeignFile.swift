import Foundation

/// A file of another format under the name of a safetensors file, known by its first bytes; the raw value is what
/// messages call it.
enum ForeignFile: String {
    case empty = "an empty file"
    case pyTorchArchive = "a PyTorch checkpoint (a zip archive that torch.save has made)"
    case pickle = "a Python pickle (what torch.save made before it made zip archives)"
    case numPyArchive = "an archive of NumPy arrays (.npz)"
    case archive = "a zip archive"
    case numPy = "a NumPy array (.npy)"
    case hdf5 = "an HDF5 file, as Keras writes them"
    case gguf = "a GGUF file, as llama.cpp reads them"
    case lfsPointer = "a Git LFS pointer, a few lines in place of the file"
    case html = "an HTML page, perhaps of a download that failed"
    case xml = "an XML document"
    case json = "JSON text"
    case gzip = "compressed with gzip"
    case zstd = "compressed with zstd"
    case xz = "compressed with xz"
    case bzip2 = "compressed with bzip2"
    case sevenZip = "a 7z archive"
    case tar = "a tar archive"

    /// - Returns: nil for a safetensors file, and for what is not known.
    init?(_ file: UnsafeRawBufferPointer) {
        guard !file.isEmpty else {
            self = .empty
            return
        }
        // What begins as a header does is none of the others, whatever its length looks like.
        if file.count >= 9, Array("{ \t\n\r".utf8).contains(file[8]), file[4..<8].allSatisfy({ $0 == 0 }) { return nil }
        guard let kind = Self.binary(file) ?? Self.text(file) else { return nil }
        self = kind
    }

    /// Advice to the user, after a colon; empty if the file is simply another one.
    var advice: String {
        switch self {
        case .pyTorchArchive, .pickle: ": Scripts/convert_checkpoint.py makes one of it"
        case .lfsPointer: ": git lfs pull fetches it"
        case .gzip: ": gunzip unpacks it"
        case .zstd, .xz, .bzip2, .archive, .sevenZip, .tar: ", unpacked"
        default: ""
        }
    }

    private static func binary(_ file: UnsafeRawBufferPointer) -> ForeignFile? {
        func begins(_ bytes: [UInt8], at offset: Int = 0) -> Bool { file.dropFirst(offset).starts(with: bytes) }
        // A pickle's protocol, then the opcode of a frame, a dict, an integer, a tuple's or a class's beginning.
        if file.count >= 3, file[0] == 0x80, (2...5).contains(file[1]),
            [0x95, 0x7D, 0x8A, 0x28, 0x63].contains(file[2])
        {
            return .pickle
        }
        if begins(Array("PK".utf8) + [3, 4]) || begins(Array("PK".utf8) + [5, 6]) { return zipArchive(file) }
        let signatures: [(ForeignFile, [UInt8])] = [
            (.numPy, [0x93] + Array("NUMPY".utf8)), (.hdf5, [0x89] + Array("HDF\r\n".utf8)),
            (.gguf, Array("GGUF".utf8)), (.gzip, [0x1F, 0x8B]), (.zstd, [0x28, 0xB5, 0x2F, 0xFD]),
            (.xz, [0xFD] + Array("7zXZ".utf8)), (.bzip2, Array("BZh".utf8)),
            (.sevenZip, Array("7z".utf8) + [0xBC, 0xAF]),
        ]
        if let kind = signatures.first(where: { begins($0.1) })?.0 { return kind }
        return begins(Array("ustar".utf8), at: 257) ? .tar : nil
    }

    /// By the name of the archive's first file.
    private static func zipArchive(_ file: UnsafeRawBufferPointer) -> ForeignFile {
        let beginning = String(decoding: file.prefix(512), as: UTF8.self)
        if beginning.contains("data.pkl") || beginning.contains("constants.pkl") { return .pyTorchArchive }
        return beginning.contains(".npy") ? .numPyArchive : .archive
    }

    private static func text(_ file: UnsafeRawBufferPointer) -> ForeignFile? {
        let beginning = String(decoding: file.prefix(512), as: UTF8.self)
            .drop { $0.isWhitespace || $0 == "\u{FEFF}" }.lowercased()
        if beginning.hasPrefix("version https://git-lfs.github.com/") { return .lfsPointer }
        if beginning.hasPrefix("<!doctype html") || beginning.hasPrefix("<html") || beginning.hasPrefix("<head") {
            return .html
        }
        if beginning.hasPrefix("<?xml") { return beginning.contains("<html") ? .html : .xml }
        return beginning.filter { !$0.isWhitespace }.hasPrefix("{\"") ? .json : nil
    }
}
