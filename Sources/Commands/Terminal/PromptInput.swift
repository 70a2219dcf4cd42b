import Foundation
import ModelZoo

/// Reads a prompt as the bytes it is, from a file, a pipe, or standard input.
package enum PromptInput {
    /// More is no prompt but something that does not end.
    static let greatestLength = 1 << 26

    /// Reads all of a file or pipe.
    /// - Throws: `InputError` that names the path when it is missing, empty, a folder, endless, or a pipe without a writer.
    package static func read(file path: String) throws -> [UInt8] {
        guard !path.isEmpty else { throw InputError("--prompt-file is empty; expected a file") }
        // O_NONBLOCK: opening a named pipe without a writer would wait for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        defer { close(descriptor) }
        let bytes = try read(descriptor, name: path)
        guard bytes.isEmpty else { return bytes }
        let isPipe = kind(of: descriptor) == S_IFIFO
        throw InputError("\(path): \(isPipe ? "is a pipe into which nobody writes" : "is empty"); expected a prompt")
    }

    /// Reads all of standard input.
    /// - Throws: `InputError` when it is a folder, endless, or cannot be read.
    package static func readStandardInput() throws -> [UInt8] {
        if isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 {
            StandardStream(STDERR_FILENO).write("the prompt, then Ctrl-D:\n")
        }
        return try read(STDIN_FILENO, name: "standard input")
    }

    private static func read(_ descriptor: Int32, name: String) throws -> [UInt8] {
        guard kind(of: descriptor) != S_IFDIR else { throw InputError("\(name): is a folder; expected a prompt") }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Foundation.read(descriptor, &piece, piece.count)
            if count < 0 {
                try wait(for: descriptor, after: errno, name: name)
                continue
            }
            if count == 0 { return bytes }
            bytes += piece[..<count]
            guard bytes.count <= greatestLength else {
                throw InputError("\(name): has more than \(greatestLength) bytes; expected a prompt")
            }
        }
    }

    /// - Throws: `InputError` for an error that waiting does not help against.
    private static func wait(for descriptor: Int32, after code: Int32, name: String) throws {
        switch code {
        case EINTR: break
        case EAGAIN:
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            poll(&waiting, 1, -1)
        default: throw unreadable(name, code)
        }
    }

    private static func kind(of descriptor: Int32) -> mode_t {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
    }

    private static func unreadable(_ name: String, _ code: Int32) -> InputError {
        InputError("\(name): cannot be read: \(String(cString: strerror(code)))")
    }
}
