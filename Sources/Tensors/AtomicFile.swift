import Foundation

/// Replaces files in one piece: a reader of the path sees the old bytes or all of the new ones, also after a crash or a
/// power cut, and a failure leaves the old file as it was.
///
/// The bytes go to a temporary file in the same folder, which is synchronized with the disk and renamed over the path;
/// then the folder is synchronized. The new file has the permissions of the old one. A symbolic link at the path is itself
/// replaced. Errors are `InputError`s that name the path and the system's reason.
public enum AtomicFile {
    /// Writes `bytes` (`Data`, `[UInt8]` …) to `path`.
    public static func write(_ bytes: some ContiguousBytes, to path: String) throws {
        try write(to: path) { output in try bytes.withUnsafeBytes { try output.write($0) } }
    }

    /// Writes what `body` hands to its output, in order. An error of `body` is passed on, the old file untouched.
    public static func write(to path: String, _ body: (Output) throws -> Void) throws {
        let folder = folder(of: path)
        try removeRemains(of: path, in: folder)
        // Opened before anything is written, so that a folder that cannot be synchronized is found out in time.
        let folderDescriptor = open(folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folderDescriptor >= 0 else { throw failure(path, errno) }
        defer { close(folderDescriptor) }
        try DiskOperations.will("create", path)
        let (descriptor, temporary) = try makeTemporary(for: path, in: folder)
        do {
            // Closes by hand on both ways: an error of close() counts, and only once.
            do {
                try body(Output(descriptor: descriptor, path: path))
                try DiskOperations.will("synchronize", path)
                guard synchronize(descriptor) else { throw failure(path, errno) }
            } catch {
                close(descriptor)
                throw error
            }
            // Interrupted, it is closed all the same.
            guard close(descriptor) == 0 || errno == EINTR else { throw failure(path, errno) }
            try DiskOperations.will("rename", path)
            guard rename(temporary, path) == 0 else { throw failure(path, errno) }
        } catch {
            unlink(temporary)
            throw error
        }
        try DiskOperations.will("synchronize the folder of", path)
        // Some file systems cannot synchronize a folder and say EINVAL; the new file is in place all the same.
        guard synchronize(folderDescriptor) || errno == EINVAL else { throw failure(path, errno) }
    }

    /// The temporary file of one write, given to the closure of `AtomicFile.write`; not to be kept.
    public struct Output {
        private let descriptor: Int32
        private let path: String

        /// - Parameter path: named in errors; what is written to is the open descriptor.
        package init(descriptor: Int32, path: String) {
            self.descriptor = descriptor
            self.path = path
        }

        /// Appends bytes.
        /// - Throws: `InputError` with the system's reason, such as a full disk.
        public func write(_ bytes: UnsafeRawBufferPointer) throws {
            try DiskOperations.will("write", path)
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let written = systemWrite(descriptor, part)
                if written < 0 {
                    if errno == EINTR { continue }
                    throw failure(path, errno)
                }
                rest = rest.dropFirst(written)
            }
        }
    }

    /// For callers that would find out only after long work that it cannot be kept.
    /// - Throws: `InputError` with the system's reason where no file can be made in the folder of a path.
    package static func requireWritable(_ path: String) throws {
        let folder = folder(of: path)
        guard access(folder.isEmpty ? "." : folder, W_OK) == 0 else { throw failure(path, errno) }
    }

    /// The folder that a path names something in: empty for a bare name. NSString's `deletingLastPathComponent` stops the process
    /// for a path of one letter (swift-corelibs-foundation 6.3).
    package static func folder(of path: String) -> String {
        func withoutClosingSlashes(_ path: Substring) -> Substring {
            var path = path
            while path.count > 1, path.last == "/" { path.removeLast() }
            return path
        }
        let path = withoutClosingSlashes(path[...])
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return String(withoutClosingSlashes(path[...slash]))
    }

    private static func makeTemporary(for path: String, in folder: String) throws -> (Int32, String) {
        let permissions = permissions(of: path)
        while true {
            let name = temporaryPrefix(of: path) + "\(getpid())-\(UInt32.random(in: 0 ... .max))"
            let temporary = folder.isEmpty ? name : folder + "/" + name
            let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, permissions ?? 0o666)
            if descriptor >= 0 {
                // What the umask has taken of them. A file system without permissions is no reason to fail.
                if let permissions { fchmod(descriptor, permissions) }
                if isOurs(descriptor) { return (descriptor, temporary) }
                close(descriptor)
                continue
            }
            guard errno == EEXIST else { throw failure(path, errno) }
        }
    }

    /// The permissions of the file at a path; nil where there is none.
    private static func permissions(of path: String) -> mode_t? {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return status.st_mode & 0o777
    }

    // MARK: What a killed process has left

    /// Returns the prefix of the names of temporary files beside a path. It has only the beginning of a long name: a
    /// file system takes no more than 255 bytes, and two numbers follow.
    package static func temporaryPrefix(of path: String) -> String {
        var name = (path as NSString).lastPathComponent
        while name.utf8.count > 200 { name.unicodeScalars.removeLast() }
        return ".\(name).tmp-"
    }

    /// Locks a temporary file as long as it is written to, which says that it is no remains. The system ends the lock with
    /// the process, however that ends.
    /// - Returns: whether the file is still there: another process may have found it before it was locked.
    private static func isOurs(_ descriptor: Int32) -> Bool {
        // Where the file system has no locks, nobody can take the file for remains either.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return errno != EWOULDBLOCK }
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_nlink > 0
    }

    /// Removes the temporary files of processes that were killed while they wrote to the same path.
    private static func removeRemains(of path: String, in folder: String) throws {
        let prefix = temporaryPrefix(of: path)
        guard let listing = opendir(folder.isEmpty ? "." : folder) else { return }
        defer { closedir(listing) }
        var names: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
            }
            if name.hasPrefix(prefix) { names.append(name) }
        }
        for name in names {
            let remains = folder.isEmpty ? name : folder + "/" + name
            let descriptor = open(remains, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { continue }
            try DiskOperations.will("remove", remains)
            unlink(remains)
        }
    }

    private static func failure(_ path: String, _ code: Int32) -> InputError {
        InputError("\(path): cannot be written: \(systemErrorText(code))")
    }
}

/// Waits until what was written is on the disk; signals that interrupt it do not end the wait.
package func synchronize(_ descriptor: Int32) -> Bool {
    while fsync(descriptor) != 0 {
        guard errno == EINTR else { return false }
    }
    return true
}

/// Lets a test look on while files are written, to see what a crash would leave, or make an operation fail.
package enum DiskOperations {
    /// Called before each operation that changes a file or a folder, with what it does to which path. An error stands for
    /// the operation's failure.
    @TaskLocal package static var observer: (@Sendable (_ operation: String, _ path: String) throws -> Void)?

    /// Announces an operation to the observer, whose error makes it fail.
    package static func will(_ operation: String, _ path: String) throws { try observer?(operation, path) }
}

/// One call of write(2), which the methods of the same name would hide. Some systems refuse more than 2 GB at once.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    write(descriptor, bytes.baseAddress, min(bytes.count, 1 << 30))
}
