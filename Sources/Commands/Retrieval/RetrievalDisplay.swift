import AttentionZooExperiments
import ModelZoo

/// Shows the run of a command on standard output.
final class RetrievalDisplay {
    /// The command's exit code when its minutes are over.
    private static let timeIsOver: Int32 = 2

    private let display = CellsDisplay()
    private var printer: RetrievalPrinter

    init() { printer = RetrievalPrinter(isTerminal: display.terminal.isInteractive) }

    /// - Throws: what the command throws; `ExitCode` where not all cells were finished.
    func show(_ command: RetrievalCommand) throws {
        let (results, isComplete) = try display.run(
            end: { printer.end() },
            running: { prepared, stop in
                try command.run(
                    report: { [self] in display.write(printer.output(for: $0, width: display.terminal.width)) },
                    prepared: prepared, stop: stop)
            })
        if !results.outcomes.isEmpty {
            display.write("\n\(RetrievalReport(results).text)\n* not solved: no loss of 1e-3 or less\n")
            display.write("\(command.out)/report.html\n")
        }
        try display.finish(isComplete: isComplete, otherwise: Self.timeIsOver)
    }
}
