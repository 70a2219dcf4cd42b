import Foundation

// The names of files are bytes, and on Linux not always UTF-8: a name from a disk of 1995 may be Latin-1. In a string, a byte
// that is no part of a character stands as U+10FF00 plus its value, at the end of the range for private use, and back again in
// what is handed to the system. So that nothing is lost, characters of that range come as their bytes too.

extension String {
    /// A path from the system's bytes, whatever they are.
    package init(fileSystemBytes bytes: some Collection<UInt8>) {
        if let text = String(validating: bytes, as: UTF8.self), !text.holdsBytes {
            self = text
            return
        }
        self = ""
        var iterator = bytes.makeIterator()
        var parser = Unicode.UTF8.ForwardParser()
        var position = bytes.startIndex
        while true {
            let length: Int
            switch parser.parseScalar(from: &iterator) {
            case .emptyInput: return
            case .error(let count): length = count
            case .valid(let encoded):
                let scalar = Unicode.UTF8.decode(encoded)
                length = encoded.count
                if !Self.byteScalars.contains(scalar) {
                    unicodeScalars.append(scalar)
                    position = bytes.index(position, offsetBy: length)
                    continue
                }
            }
            for _ in 0..<length {
                unicodeScalars.append(Unicode.Scalar(Self.firstByteScalar + UInt32(bytes[position]))!)
                bytes.formIndex(after: &position)
            }
        }
    }

    /// The path as the system wants it, with a closing 0.
    package var fileSystemName: [CChar] {
        guard holdsBytes else { return Array(utf8CString) }
        var name: [CChar] = []
        for scalar in unicodeScalars {
            if Self.byteScalars.contains(scalar) {
                name.append(CChar(bitPattern: UInt8(scalar.value - Self.firstByteScalar)))
            } else {
                name += UTF8.encode(scalar)!.map { CChar(bitPattern: $0) }
            }
        }
        return name + [0]
    }

    private static let firstByteScalar: UInt32 = 0x10FF00
    private static let byteScalars = Unicode.Scalar(0x10FF80 as UInt32)!...Unicode.Scalar(0x10FFFF as UInt32)!

    /// True if it may hold bytes that are no characters: the scalars for them begin with F4 8F BE or BF.
    private var holdsBytes: Bool {
        utf8.contains(0xF4) && unicodeScalars.contains(where: Self.byteScalars.contains)
    }
}

// MARK: The system's functions by such paths, which Swift prefers to the system's own
// (`stat` is a type as well, and stays the system's: use `fileKind`)

/// Opens a file; open(2).
package func open(_ path: String, _ flags: Int32) -> Int32 { Foundation.open(path.fileSystemName, flags) }

/// Opens or creates a file with these permissions; open(2).
package func open(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 {
    Foundation.open(path.fileSystemName, flags, mode)
}

/// Tests permissions; access(2).
package func access(_ path: String, _ mode: Int32) -> Int32 { Foundation.access(path.fileSystemName, mode) }

/// Makes a folder; mkdir(2).
package func mkdir(_ path: String, _ mode: mode_t) -> Int32 { Foundation.mkdir(path.fileSystemName, mode) }

/// Describes a path without following a link; lstat(2).
package func lstat(_ path: String, _ status: UnsafeMutablePointer<stat>) -> Int32 {
    Foundation.lstat(path.fileSystemName, status)
}

/// Removes a file; unlink(2).
@discardableResult
package func unlink(_ path: String) -> Int32 { Foundation.unlink(path.fileSystemName) }

/// Removes an empty folder; rmdir(2).
package func rmdir(_ path: String) -> Int32 { Foundation.rmdir(path.fileSystemName) }

/// Renames a file or folder; rename(2).
package func rename(_ old: String, _ new: String) -> Int32 {
    Foundation.rename(old.fileSystemName, new.fileSystemName)
}

/// The kind of thing that a path names, `S_IFREG`, `S_IFDIR`, `S_IFLNK` …; nil where it names nothing.
/// - Parameter followsLinks: whether symbolic links are followed.
package func fileKind(_ path: String, followsLinks: Bool = true) -> mode_t? {
    var status = stat()
    let name = path.fileSystemName
    guard (followsLinks ? stat(name, &status) : lstat(name, &status)) == 0 else { return nil }
    return status.st_mode & S_IFMT
}

/// The folder that paths without a leading slash are in.
package var currentFolder: String {
    guard let path = getcwd(nil, 0) else { return "." }
    defer { free(path) }
    return path.withMemoryRebound(to: UInt8.self, capacity: 1) {
        String(fileSystemBytes: UnsafeBufferPointer(start: $0, count: strlen(path)))
    }
}

/// The names in a folder, in no order, without `.` and `..`.
/// - Throws: `InputError` that names the folder and the system's reason.
package func namesInFolder(_ path: String) throws -> [String] {
    func failure() -> InputError { InputError("\(path): the folder cannot be listed: \(systemErrorText(errno))") }
    guard let folder = opendir(path.fileSystemName) else { throw failure() }
    defer { closedir(folder) }
    var names: [String] = []
    while true {
        errno = 0
        guard let entry = readdir(folder) else {
            if errno != 0 { throw failure() }
            return names
        }
        let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
            name.withMemoryRebound(to: UInt8.self, capacity: 1) {
                String(fileSystemBytes: UnsafeBufferPointer(start: $0, count: strlen(UnsafePointer(OpaquePointer($0)))))
            }
        }
        if name != "." && name != ".." { names.append(name) }
    }
}
