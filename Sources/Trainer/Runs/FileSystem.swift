import Foundation
import Tensors

/// What saves do with folders, each operation reported to `DiskOperations` first. Errors name the path and the system's
/// reason.
enum FileSystem {
    static func makeFolder(_ path: String) throws {
        try DiskOperations.will("make", path)
        guard mkdir(path, 0o777) == 0 else { throw failure(path, errno) }
    }

    /// Waits until the names in a folder are on the disk.
    static func synchronizeFolder(_ path: String) throws {
        try DiskOperations.will("synchronize", path)
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(path, errno) }
        defer { close(descriptor) }
        // Some file systems cannot synchronise a folder and say EINVAL.
        guard Tensors.synchronize(descriptor) || errno == EINVAL else { throw failure(path, errno) }
    }

    /// Errors name the path of the two that is not hidden.
    static func rename(_ old: String, to new: String) throws {
        let named = (new as NSString).lastPathComponent.hasPrefix(".") ? old : new
        try DiskOperations.will("rename", named)
        guard Tensors.rename(old, new) == 0 else { throw failure(named, errno) }
    }

    /// Copies a file in one piece. A link would be cheaper, but whoever then wrote into one would change both.
    static func replace(_ path: String, withCopyOf source: String) throws {
        try AtomicFile.write(to: path) { output in
            try MappedFile(path: source).withUnsafeBytes { try output.write($0) }
        }
    }

    /// Whether two files hold the same bytes; false where one cannot be read.
    static func areEqual(_ first: String, _ second: String) -> Bool {
        guard let a = try? MappedFile(path: first), let b = try? MappedFile(path: second) else { return false }
        return a.withUnsafeBytes { a in
            b.withUnsafeBytes { b in
                a.count == b.count && (a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
            }
        }
    }

    /// Removes a file, or a folder and the files in it. What cannot be removed is in nobody's way.
    static func remove(_ path: String) throws {
        for name in names(in: path) {
            try DiskOperations.will("remove", path + "/" + name)
            unlink(path + "/" + name)
        }
        try DiskOperations.will("remove", path)
        if rmdir(path) != 0 { unlink(path) }
    }

    /// What is in a folder; nothing where it is none.
    static func names(in path: String) -> [String] {
        (try? namesInFolder(path))?.sorted() ?? []
    }

    static func exists(_ path: String) -> Bool {
        fileKind(path, followsLinks: false) != nil
    }

    /// A hidden name beside `path`, as `AtomicFile` makes them.
    static func temporaryName(for path: String) -> String {
        let folder = AtomicFile.folder(of: path)
        let hidden = AtomicFile.temporaryPrefix(of: path) + "\(getpid())-\(UInt32.random(in: 0 ... .max))"
        return folder.isEmpty ? hidden : folder + "/" + hidden
    }

    private static func failure(_ path: String, _ code: Int32) -> InputError {
        InputError("\(path): cannot be written: \(String(cString: strerror(code)))")
    }
}
