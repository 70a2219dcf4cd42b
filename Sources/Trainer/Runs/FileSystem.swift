import Foundation
import Tensors

/// The operations of saves on folders, each reported to `DiskOperations` first. Errors name the path and the system's
/// reason. Nothing is changed or removed through a symbolic link.
enum FileSystem {
    static func makeFolder(_ path: String) throws {
        try DiskOperations.will("make", path)
        guard mkdir(path, 0o777) == 0 else { throw failure(path, errno) }
    }

    /// Makes an empty file.
    /// - Returns: whether it was made: not where the name is taken, or the system refuses.
    static func makeFile(_ path: String) throws -> Bool {
        try DiskOperations.will("create", path)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        if descriptor >= 0 { close(descriptor) }
        return descriptor >= 0
    }

    /// Waits until the names in a folder are on the disk.
    static func synchronizeFolder(_ path: String) throws {
        try DiskOperations.will("synchronize", path)
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(path, errno) }
        defer { close(descriptor) }
        // Some file systems cannot synchronize a folder and say EINVAL.
        guard Tensors.synchronize(descriptor) || errno == EINVAL else { throw failure(path, errno) }
    }

    /// Errors name the path of the two that is not hidden.
    static func rename(_ old: String, to new: String) throws {
        let named = (new as NSString).lastPathComponent.hasPrefix(".") ? old : new
        try DiskOperations.will("rename", named)
        guard Tensors.rename(old, new) == 0 else { throw failure(named, errno) }
    }

    /// Copies a file in one piece. A link would be cheaper, but a write into one would change both.
    static func replace(_ path: String, withCopyOf source: String) throws {
        try AtomicFile.write(to: path) { output in
            try MappedFile(path: source).withUnsafeBytes { try output.write($0) }
        }
    }

    /// Tells whether two files hold the same bytes; false where one cannot be read.
    static func areEqual(_ first: String, _ second: String) -> Bool {
        guard let a = try? MappedFile(path: first), let b = try? MappedFile(path: second) else { return false }
        return a.withUnsafeBytes { a in
            b.withUnsafeBytes { b in
                a.count == b.count && (a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
            }
        }
    }

    /// Removes a file, a symbolic link (never what it points to), or a folder with all in it. What cannot be removed is in
    /// nobody's way.
    static func remove(_ path: String) throws {
        // A link is no folder here: what is behind it is not the run's.
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        defer { if folder >= 0 { close(folder) } }
        for name in folder >= 0 ? try names(in: path) : [] {
            if kind(of: path + "/" + name) == .folder {
                try remove(path + "/" + name)
            } else {
                try DiskOperations.will("remove", path + "/" + name)
                unlinkat(folder, name.fileSystemName, 0)
            }
        }
        try DiskOperations.will("remove", path)
        if rmdir(path) != 0 { unlink(path) }
    }

    /// The names in a folder in order; none where there is no folder.
    /// - Throws: `InputError` with the system's reason.
    static func names(in path: String) throws -> [String] {
        switch fileKind(path) {
        case S_IFDIR: try namesInFolder(path).sorted()
        case nil where errno != ENOENT && errno != ENOTDIR: throw unreadable(path, errno)
        default: []
        }
    }

    static func exists(_ path: String) -> Bool { status(of: path) != nil }

    /// The kind of file that a name refers to; a symbolic link is its own kind.
    enum Kind: String {
        case file = "a file"
        case folder = "a folder"
        case link = "a symbolic link"
        case other = "not a regular file"
    }

    /// - Returns: nil where there is nothing of the name.
    static func kind(of path: String) -> Kind? {
        switch fileKind(path, followsLinks: false) {
        case nil: nil
        case S_IFREG: .file
        case S_IFDIR: .folder
        case S_IFLNK: .link
        default: .other
        }
    }

    /// Gives a folder and its files the permissions of another folder and its files of the same names: somebody may have
    /// set them.
    static func copyPermissions(from source: String, to target: String, files: [String]) {
        for file in files {
            guard let status = status(of: source + "/" + file), status.st_mode & S_IFMT == S_IFREG else { continue }
            chmod((target + "/" + file).fileSystemName, status.st_mode & 0o777)
        }
        guard let status = status(of: source), status.st_mode & S_IFMT == S_IFDIR else { return }
        // What is in it has to be removed one day.
        chmod(target.fileSystemName, status.st_mode & 0o777 | 0o700)
    }

    /// A hidden name beside `path`, as `AtomicFile` makes them.
    static func temporaryName(for path: String) -> String {
        let folder = AtomicFile.folder(of: path)
        let hidden = AtomicFile.temporaryPrefix(of: path) + "\(getpid())-\(UInt32.random(in: 0 ... .max))"
        return folder.isEmpty ? hidden : folder + "/" + hidden
    }

    private static func status(of path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }

    private static func failure(_ path: String, _ code: Int32) -> InputError {
        InputError("\(path): cannot be written: \(String(cString: strerror(code)))")
    }

    private static func unreadable(_ path: String, _ code: Int32) -> InputError {
        InputError("\(path): cannot be read: \(String(cString: strerror(code)))")
    }
}
