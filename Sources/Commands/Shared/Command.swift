import ArgumentParser
import Foundation
import ModelZoo

/// A command whose errors are one line on standard error, `error: …`, without usage text around it.
public protocol Command: ParsableCommand {
    /// True if it multiplies matrices: notes for users on OpenBLAS's kernels are then printed to standard error.
    static var computes: Bool { get }
}

/// The exit codes of the commands.
package enum ExitStatus {
    /// Bad input, or something that failed.
    package static let failure: Int32 = 1
    /// A training whose numbers are no longer finite.
    package static let diverged: Int32 = 3

    /// Stopped by a signal, as shells number it.
    package static func stopped(by signal: Int32) -> Int32 { 128 + signal }
}

extension Command {
    public static var computes: Bool { true }

    /// Runs the command and exits with a code of `ExitStatus`, 0, or 64 for a command line that cannot be read.
    public static func main() {
        StandardDescriptors.reserve()
        MemoryLimits.saveAddressSpace()
        // A file that grows beyond the limit is an error of the write, not the end of the process.
        signal(SIGXFSZ, SIG_IGN)
        OutOfMemory.setEnd { line in
            showError(line)
            // Without what a usual end would do: other threads are in the midst of their work.
            _exit(ExitStatus.failure)
        }
        do {
            var command = try parseAsRoot(Self.arguments)
            if computes { BLAS.selection.warnings.forEach(showWarning) }
            try ReadingDisplay.shared.watch { try namingFlags { try command.run() } }
        } catch {
            // Help and version are "errors" of the parser that succeed.
            if exitCode(for: error).isSuccess { exit(withError: error) }
            showError(OptionHint.improved(message(for: error), help: helpMessage(columns: 200)))
            Foundation.exit(exitStatus(of: error))
        }
    }

    /// The command line without the program's name, where names of files may hold any bytes.
    private static var arguments: [String] {
        UnsafeBufferPointer(start: CommandLine.unsafeArgv, count: Int(CommandLine.argc)).dropFirst().compactMap {
            argument in
            argument.map { text in
                text.withMemoryRebound(to: UInt8.self, capacity: 1) {
                    String(fileSystemBytes: UnsafeBufferPointer(start: $0, count: strlen(text)))
                }
            }
        }
    }

    private static func exitStatus(of error: any Error) -> Int32 {
        if let fault = error as? TrainingFault, fault.kind == .notFinite { return ExitStatus.diverged }
        return exitCode(for: error).rawValue
    }
}

/// Shows a share of the work on standard error, in one line that is written over and removed at the end; nothing where
/// nobody watches.
package func showProgress(_ share: Double) {
    guard isatty(STDERR_FILENO) == 1 else { return }
    let text = share < 1 ? String(format: "\r%3.0f %%", share * 100) : "\r     \r"
    FileHandle.standardError.write(Data(text.utf8))
}
