import ArgumentParser
import CommandSupport
import Foundation
import RetrievalTasks
import Trainer

/// Shows a run on standard output, has signals stop it, and says how it ended.
final class RetrievalDisplay {
    /// What the command exits with when its minutes are over.
    private static let timeIsOver: Int32 = 2

    private let output = StandardStream()
    private let terminal = Terminal()
    private var printer: RetrievalPrinter

    init() { printer = RetrievalPrinter(isTerminal: terminal.isInteractive) }

    /// - Throws: what the command throws; `ExitCode` where not all cells were finished.
    func show(_ command: RetrievalCommand) throws {
        Interrupt.unblockSignals()
        let (results, isComplete) = try {
            // So that the line of an error begins a line.
            defer { output.write(printer.end()) }
            return try command.run(
                report: { [self] in output.write(printer.output(for: $0, width: terminal.width)) },
                prepared: { [self] in
                    StandardStream.ignorePipeSignal()
                    Interrupt.catchSignals(withNotice: terminal.isInteractive)
                },
                stop: { [self] in Interrupt.isWanted || output.failure != nil })
        }()
        if !results.outcomes.isEmpty {
            output.write("\n\(RetrievalReport(results).text)\n* not solved: no loss of 1e-3 or less\n")
            output.write("\(command.out)/report.html\n")
        }
        if !isComplete { output.write("not all cells are finished: the same command goes on with the others\n") }
        if let error = output.failure?.error { throw error }
        if !isComplete { throw ExitCode(status) }
    }

    private var status: Int32 {
        if let signal = Interrupt.caught ?? (output.failure == nil ? nil : SIGPIPE) {
            return ExitStatus.stopped(by: signal)
        }
        return Self.timeIsOver
    }
}
