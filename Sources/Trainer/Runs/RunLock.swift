import Foundation
import Tensors

/// The right to train in a folder, of which there is one: an flock(2) on its file `.lock`, which also holds the number of
/// the process. It goes with the object, or with the process however that ends; the file stays.
package final class RunLock: Sendable {
    private let descriptor: Int32

    static func path(in folder: String) -> String { folder + "/.lock" }

    /// What somebody else does in a folder, and what was expected instead.
    package struct Use: Sendable {
        let verb: String
        let expected: String
        package static let training = Use(verb: "trained", expected: "a run that nobody else trains")
        package static let measuring = Use(verb: "used", expected: "a folder that nobody else uses")
    }

    /// - Throws: `TrainingFault` when somebody else has it, `InputError` when the file cannot be written.
    package init(folder: String, for use: Use = .training) throws {
        let path = Self.path(in: folder)
        // Closed on exec, or a child would keep the lock.
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            throw InputError("\(path): cannot be written: \(String(cString: strerror(errno)))")
        }
        self.descriptor = descriptor
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK {
            // Closed by deinit, which runs although init throws, as all properties are set: a second close might be that of
            // a file another thread has opened meanwhile.
            throw TrainingFault(
                .inUse,
                "\(folder): is being \(use.verb) by \(Self.holder(descriptor)); expected \(use.expected)")
        }
        // Any other failure: a file system without locks, on which people are to train nevertheless.
        ftruncate(descriptor, 0)
        let text = Array("\(getpid())\n".utf8)
        _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }

    /// The right to measure in a folder, which is made where there is none.
    /// - Throws: `InputError` when it cannot be made or written; `TrainingFault` when somebody else uses it.
    package convenience init(making folder: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw InputError("\(folder): cannot be made: \(error.localizedDescription)")
        }
        try self.init(folder: folder, for: .measuring)
    }

    /// Unlocks before it closes: a child process that is just being started has a copy of the descriptor until it runs its
    /// program, and would keep the lock so long.
    deinit {
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// Who has the lock, for the message; the file is empty for a moment before its number is written.
    private static func holder(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        guard let number = Int32(text.prefix { $0.isNumber }) else { return "another process" }
        return number == getpid() ? "this process (\(number)) already" : "process \(number)"
    }
}
