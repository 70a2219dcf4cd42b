import ArgumentParser
import Foundation
import ModelZoo

/// Shows a training on standard output, has signals stop it, and says how it ended.
package final class TrainingDisplay {
    private let output = StandardStream()
    private let terminal = Terminal()
    private let isForPeople: Bool
    private let isNoticeWanted: Bool
    private let isQuiet: Bool
    private var printer: ProgressPrinter

    /// - Throws: `InputError` where both are asked for.
    package init(json: Bool, quiet: Bool) throws {
        if json && quiet { throw InputError("--quiet: cannot be combined with --json; expected one of the two") }
        isForPeople = !json && !quiet
        isQuiet = quiet
        let forPeople: ProgressPrinter.Style = terminal.isInteractive ? .line(color: terminal.hasColor) : .lines
        printer = ProgressPrinter(json ? .json : quiet ? .quiet : forPeople)
        isNoticeWanted = !quiet && isatty(STDERR_FILENO) == 1
    }

    /// Runs a training.
    /// - Throws: what the command throws; `ExitCode` where it was stopped.
    package func show(_ command: Train) throws {
        Interrupt.unblockSignals()
        let outcome = try {
            // So that the line of an error begins a line.
            defer { output.write(printer.end()) }
            return try silently(isQuiet) {
                try command.train(
                    report: { [self] in
                        // From here on the training has a line of its own.
                        if case .started = $0 { ReadingDisplay.shared.end() }
                        output.write(printer.output(for: $0, width: terminal.width))
                    },
                    prepared: { [self] in
                        StandardStream.ignorePipeSignal()
                        Interrupt.catchSignals(withNotice: isNoticeWanted)
                    },
                    stop: { [self] in Interrupt.isWanted || output.isMissed })
            }
        }()
        if case .stopped(let arguments) = outcome, isForPeople {
            output.write("go on with: \(Self.commandLine(arguments))\n")
        }
        if let error = output.failure?.error { throw error }
        guard case .stopped = outcome else { return }
        throw ExitCode(ExitStatus.stopped(by: Interrupt.caught ?? SIGPIPE))
    }

    /// Lets nothing be shown of the reading of texts where nothing is wanted.
    private func silently<Result>(_ isQuiet: Bool, _ body: () throws -> Result) rethrows -> Result {
        isQuiet ? try ReadingProgress.observe(nil, while: body) : try body()
    }

    private static func commandLine(_ arguments: [String]) -> String {
        let folder = FileManager.default.currentDirectoryPath
        return ([invocation(CommandLine.arguments[0], from: folder)] + arguments).map(\.shellQuoted).joined(
            separator: " ")
    }
}

/// Returns the word that starts a program, started as `name`, again from the same folder: a path as short as can be, or
/// the bare name where a shell has found it.
func invocation(_ name: String, from folder: String) -> String {
    guard name.contains("/") else { return name }
    let prefix = folder.hasSuffix("/") ? folder : folder + "/"
    guard name.hasPrefix(prefix) else { return name }
    let rest = String(name.dropFirst(prefix.count))
    return rest.contains("/") ? rest : "./" + rest
}
