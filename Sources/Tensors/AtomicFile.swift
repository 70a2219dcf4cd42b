import Foundation

/// Replaces files in one piece: whoever reads the path sees the old bytes or all of the new ones, also after a crash or a
/// power cut, and a failure leaves the old file as it was.
///
/// The bytes go to a temporary file in the same folder, which is synchronised with the disk and renamed over the path;
/// then the folder is synchronised. A symbolic link at the path is itself replaced. Errors are `InputError`s that name
/// the path and the system's reason.
public enum AtomicFile {
    /// Writes `bytes` (`Data`, `[UInt8]` …) to `path`.
    public static func write(_ bytes: some ContiguousBytes, to path: String) throws {
        try write(to: path) { output in try bytes.withUnsafeBytes { try output.write($0) } }
    }

    /// Writes what `body` hands to its output, in order. An error of `body` is passed on, the old file untouched.
    public static func write(to path: String, _ body: (Output) throws -> Void) throws {
        let folder = folder(of: path)
        // Opened before anything is written, so that a folder that cannot be synchronised is found out in time.
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
                guard fsync(descriptor) == 0 else { throw failure(path, errno) }
            } catch {
                close(descriptor)
                throw error
            }
            guard close(descriptor) == 0 else { throw failure(path, errno) }
            try DiskOperations.will("rename", path)
            guard rename(temporary, path) == 0 else { throw failure(path, errno) }
        } catch {
            unlink(temporary)
            throw error
        }
        try DiskOperations.will("synchronize the folder of", path)
        // Some file systems cannot synchronise a folder and say EINVAL; the new file is in place all the same.
        guard fsync(folderDescriptor) == 0 || errno == EINVAL else { throw failure(path, errno) }
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

    /// For whoever would find out only after long work that it cannot be kept.
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
        while true {
            let name = ".\((path as NSString).lastPathComponent).tmp-\(getpid())-\(UInt32.random(in: 0 ... .max))"
            let temporary = folder.isEmpty ? name : folder + "/" + name
            let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            if descriptor >= 0 { return (descriptor, temporary) }
            guard errno == EEXIST else { throw failure(path, errno) }
        }
    }

    private static func failure(_ path: String, _ code: Int32) -> InputError {
        InputError("\(path): cannot be written: \(systemErrorText(code))")
    }
}

/// Lets a test look on while files are written, to see what a crash would leave, or make an operation fail.
package enum DiskOperations {
    /// Called before each operation that changes a file or a folder, with what it does to which path. An error stands for
    /// the operation's failure.
    @TaskLocal package static var observer: (@Sendable (_ operation: String, _ path: String) throws -> Void)?

    package static func will(_ operation: String, _ path: String) throws { try observer?(operation, path) }
}

/// One call of write(2), which the methods of the same name would hide. Some systems refuse more than 2 GB at once.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    write(descriptor, bytes.baseAddress, min(bytes.count, 1 << 30))
}
