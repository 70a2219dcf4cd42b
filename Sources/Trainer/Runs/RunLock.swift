import Foundation
import Synchronization
import Tensors

/// The right to train in a folder, of which there is one: a flock(2) on the folder itself, and one on its file `.lock`, which
/// also holds the number of the process. They go with the object, or with the process however that ends; the file stays.
///
/// The folder's lock does not depend on a name that can be removed. The file's serves where the system cannot lock folders
/// (NFS). Where it can lock nothing, people are to train nevertheless.
package final class RunLock: Sendable {
    private let folder: String
    private let use: Use
    private let folderDescriptor: Int32
    /// True if the system could lock the folder.
    private let isFolderLocked: Bool
    /// That of `.lock`; negative before it is open.
    private let fileDescriptor = Mutex<Int32>(-1)

    static func path(in folder: String) -> String { folder + "/.lock" }

    /// The use another process makes of a folder, and what was expected instead.
    package struct Use: Sendable {
        let verb: String
        let expected: String
        /// A training, which writes the run.
        package static let training = Use(verb: "trained", expected: "a run that nobody else trains")
        /// A measurement, whose cells lie in the folder.
        package static let measuring = Use(verb: "used", expected: "a folder that nobody else uses")
    }

    /// - Throws: `TrainingFault` when another process has it, `InputError` when the file cannot be written.
    package init(folder: String, for use: Use = .training) throws {
        (self.folder, self.use) = (folder, use)
        // Closed on exec, or a child would keep the lock.
        folderDescriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        let reason = errno
        let outcome = folderDescriptor >= 0 ? Self.lock(folderDescriptor) : .impossible
        isFolderLocked = outcome == .locked
        // From here on deinit closes what is open, also where this throws: a second close might be that of a file that
        // another thread has opened meanwhile.
        guard folderDescriptor >= 0 else {
            throw InputError("\(folder): cannot be locked: \(String(cString: strerror(reason)))")
        }
        if outcome == .taken { throw inUse(by: Self.holder(Self.path(in: folder))) }
        let file = try makeFile()
        fileDescriptor.withLock { $0 = file }
    }

    /// The right to measure in a folder, which is made where there is none.
    /// - Throws: `InputError` when it cannot be made or written; `TrainingFault` when another process uses it.
    package convenience init(making folder: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw InputError("\(folder): cannot be made: \(error.localizedDescription)")
        }
        try self.init(folder: folder, for: .measuring)
    }

    /// Unlocks before it closes: a child process that is just being started has copies of the descriptors until it runs its
    /// program, and would keep the lock so long.
    deinit {
        for descriptor in [fileDescriptor.withLock { $0 }, folderDescriptor] where descriptor >= 0 {
            flock(descriptor, LOCK_UN)
            close(descriptor)
        }
    }

    /// Makes sure, before something is written, that the path still names the folder that is locked, and that `.lock` is
    /// there, which may have been removed by hand.
    /// - Throws: `TrainingFault` when the folder was moved, removed or replaced, or another process has it.
    package func confirm() throws {
        guard Self.names(folder, folderDescriptor) else {
            throw TrainingFault(
                .notWritten,
                "\(folder): is no longer the folder that was locked, which somebody moved or removed; nothing is written"
            )
        }
        try fileDescriptor.withLock { descriptor in
            if Self.names(Self.path(in: folder), descriptor) { return }
            do {
                let file = try makeFile()
                close(descriptor)
                descriptor = file
            } catch  where isFolderLocked {
                // Nobody else can be here.
            }
        }
    }

    // MARK: Locks

    private enum Outcome { case locked, taken, impossible }

    private static func lock(_ descriptor: Int32) -> Outcome {
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return .locked }
        return errno == EWOULDBLOCK ? .taken : .impossible
    }

    /// Opens `.lock`, locks it and writes the number of this process into it.
    private func makeFile() throws -> Int32 {
        let path = Self.path(in: folder)
        var descriptor = try openFile()
        do {
            // A file that has another name too, as in a copy made of links, stays as it is there.
            if try Self.requireFile(descriptor, path).st_nlink > 1 {
                guard unlink(path) == 0 else { throw Self.failure(path, errno) }
                let shared = descriptor
                defer { close(shared) }
                descriptor = -1
                descriptor = try openFile()
            }
            ftruncate(descriptor, 0)
            let text = Array("\(getpid())\n".utf8)
            _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
            return descriptor
        } catch {
            if descriptor >= 0 { close(descriptor) }
            throw error
        }
    }

    /// Opens `.lock` and locks it.
    private func openFile() throws -> Int32 {
        let path = Self.path(in: folder)
        // Not through a link, whose target belongs to others.
        let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.failure(path, errno) }
        if Self.lock(descriptor) == .taken {
            defer { close(descriptor) }
            throw inUse(by: Self.holder(descriptor))
        }
        return descriptor
    }

    private static func requireFile(_ descriptor: Int32, _ path: String) throws -> stat {
        var status = stat()
        fstat(descriptor, &status)
        guard status.st_mode & S_IFMT == S_IFREG else { throw InputError("\(path): is not a regular file") }
        return status
    }

    /// Tells whether a path names the file that a descriptor has open.
    private static func names(_ path: String, _ descriptor: Int32) -> Bool {
        var (named, opened) = (stat(), stat())
        return stat(path.fileSystemName, &named) == 0 && fstat(descriptor, &opened) == 0
            && named.st_dev == opened.st_dev
            && named.st_ino == opened.st_ino
    }

    // MARK: Messages

    private func inUse(by holder: String) -> TrainingFault {
        TrainingFault(.inUse, "\(folder): is being \(use.verb) by \(holder); expected \(use.expected)")
    }

    private static func failure(_ path: String, _ code: Int32) -> InputError {
        code == ELOOP
            ? InputError("\(path): is a symbolic link; expected a file of the folder's own")
            : InputError("\(path): cannot be written: \(String(cString: strerror(code)))")
    }

    private static func holder(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        defer { if descriptor >= 0 { close(descriptor) } }
        return holder(descriptor)
    }

    /// Describes the holder of the lock for the message; the file is empty for a moment before its number is written.
    private static func holder(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        guard let number = Int32(text.prefix { $0.isNumber }) else { return "another process" }
        return number == getpid() ? "this process (\(number)) already" : "process \(number)"
    }
}
