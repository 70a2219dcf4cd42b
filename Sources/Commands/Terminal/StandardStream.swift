import Foundation
import ModelZoo

/// Standard output or standard error, written to at once, so that text shows as it comes, in pipes too. What becomes of a
/// failed write is left to the caller.
package final class StandardStream {
    /// The reason why nothing is written any more.
    package enum Failure: Equatable {
        /// Whoever read it has gone, as `head` does.
        case noReader
        /// The terminal has gone.
        case noTerminal
        /// Another reason, such as a full disk: an `errno`.
        case system(Int32)
    }

    /// The failure of the first failed write.
    package private(set) var failure: Failure?

    /// True if nobody can read the output who seems to have wanted to. A terminal that was closed is no such case: the
    /// system says by SIGHUP whether the work is to end with it.
    package var isMissed: Bool {
        switch failure {
        case .noReader, .system: true
        case .noTerminal, nil: false
        }
    }

    private let descriptor: Int32

    /// Creates a stream on a file descriptor, standard output by default.
    package init(_ descriptor: Int32 = STDOUT_FILENO) { self.descriptor = descriptor }

    /// Has a pipe without a reader tell this by a failed write instead of ending the process.
    package static func ignorePipeSignal() { signal(SIGPIPE, SIG_IGN) }

    /// Writes all of it, or as much as can be; nothing after a failure.
    package func write(_ text: String) {
        var text = text
        text.withUTF8 { write(UnsafeRawBufferPointer($0)) }
    }

    /// Writes all of some bytes, or as much as can be; nothing after a failure.
    package func write(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes[...]
        while !rest.isEmpty, failure == nil {
            let piece = UnsafeRawBufferPointer(rebasing: rest)
            let count = Foundation.write(descriptor, piece.baseAddress, piece.count)
            if count >= 0 { rest = rest.dropFirst(count) } else { recover(from: errno) }
        }
    }

    private func recover(from code: Int32) {
        switch code {
        case EINTR: break
        case EAGAIN:
            // Somebody who shares the terminal has made it non-blocking.
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&waiting, 1, -1)
        case EPIPE: failure = .noReader
        case EIO where isatty(descriptor) == 1: failure = .noTerminal
        default: failure = .system(code)
        }
    }
}

extension StandardStream.Failure {
    /// The error where it is one.
    package var error: InputError? {
        guard case .system(let code) = self else { return nil }
        return InputError("standard output: cannot be written: \(String(cString: strerror(code)))")
    }
}

/// Writes to standard output at once. Ends the process where that fails: with one line on standard error, or quietly where
/// the reader has gone.
package func show(_ text: String, terminator: String = "\n") { show(Array((text + terminator).utf8)) }

/// The same for bytes, which need be no text.
package func show(_ bytes: [UInt8]) {
    let output = StandardStream()
    bytes.withUnsafeBytes { output.write($0) }
    if output.failure == .noReader { exit(ExitStatus.stopped(by: SIGPIPE)) }
    guard let error = output.failure?.error else { return }
    showError(error.message)
    exit(ExitStatus.failure)
}

/// Writes an error to standard error, as the one line it is.
func showError(_ message: String) { showLine("error", message) }

/// Writes a warning to standard error, in one line.
@Sendable package func showWarning(_ message: String) { showLine("warning", message) }

/// Writes what a user should know of the work to standard error, in one line.
@Sendable func showNote(_ message: String) { showLine("note", message) }

private func showLine(_ kind: String, _ message: String) {
    let line = message.split(whereSeparator: \.isNewline).joined(separator: " ")
    ReadingDisplay.shared.clear()
    if !line.isEmpty { StandardStream(STDERR_FILENO).write("\(kind): \(line)\n") }
}
