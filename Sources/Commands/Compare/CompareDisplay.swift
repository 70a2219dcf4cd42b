import AttentionZooExperiments
import ModelZoo

/// Shows the run of a command on standard output.
final class CompareDisplay {
    private let display = CellsDisplay()
    private var printer: ComparisonPrinter

    init() { printer = ComparisonPrinter(isTerminal: display.terminal.isInteractive) }

    /// - Throws: what the command throws; `ExitCode` where not all cells were finished.
    func show(_ command: CompareCommand) throws {
        let (results, isComplete) = try display.run(
            end: { printer.end() },
            running: { prepared, stop in
                try command.run(
                    report: { [self] in display.write(printer.output(for: $0, width: display.terminal.width)) },
                    prepared: prepared, stop: stop)
            })
        display.write("\n\(ComparisonReport(results).text)\n\(command.out)/report.html\n")
        try display.finish(isComplete: isComplete, otherwise: ExitStatus.failure)
    }
}
