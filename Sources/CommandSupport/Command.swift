import ArgumentParser
import Foundation

/// A command whose errors are one line on standard error, `error: …`, without usage text around it.
public protocol Command: ParsableCommand {}

extension Command {
    /// Runs the command: exit code 0, or 1 for errors, or 64 for a command line that cannot be read.
    public static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            // Help and version are "errors" of the parser that succeed.
            if exitCode(for: error).isSuccess { exit(withError: error) }
            let message = message(for: error).split(whereSeparator: \.isNewline).joined(separator: " ")
            if !message.isEmpty { FileHandle.standardError.write(Data("error: \(message)\n".utf8)) }
            exit(exitCode(for: error).rawValue)
        }
    }

    private static func exit(_ code: Int32) -> Never { Foundation.exit(code) }
}

/// Writes to standard output at once, so that text shows as it comes, in pipes too.
public func show(_ text: String, terminator: String = "\n") {
    FileHandle.standardOutput.write(Data((text + terminator).utf8))
}

/// Shows a share of the work on standard error, in one line that is written over and removed at the end; nothing where
/// nobody watches.
public func showProgress(_ share: Double) {
    guard isatty(STDERR_FILENO) == 1 else { return }
    let text = share < 1 ? String(format: "\r%3.0f %%", share * 100) : "\r     \r"
    FileHandle.standardError.write(Data(text.utf8))
}
