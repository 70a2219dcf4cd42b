import AttentionZooExperiments
import AttentionZooReports
import ModelZoo

/// Turns the events of a run into what is written for those who watch it: a value that knows no terminal and no clock.
package struct ComparisonPrinter: Sendable {
    private var line: OverwrittenLine

    /// - Parameter isTerminal: whether lines can be written over.
    package init(isTerminal: Bool) { line = OverwrittenLine(isTerminal: isTerminal) }

    /// Returns the output for an event, with all line ends; empty if there is nothing to print.
    /// - Parameter width: the columns of the terminal.
    package mutating func output(for event: ComparisonRun.Event, width: Int = 80) -> String {
        switch event {
        case .started(let finished, let total):
            return (finished > 0 ? "\(finished) of " : "") + "\(total) cell\(total == 1 ? "" : "s")"
                + (finished > 0 ? " finished already\n" : "\n")
        case .progress(let cell, let status, let progress):
            let left = progress.secondsLeft.map { "  about \(ReportText.duration($0)) left" } ?? ""
            return line.show("\(progress.number)/\(progress.total)  \(cell.title)  \(status)\(left)", width: width)
        case .finished(let cell, let summary, let progress):
            return line.end() + "\(progress.number)/\(progress.total)  \(cell.title): \(summary)\n"
        }
    }

    /// Returns the output when nothing more will come, as before an error.
    package mutating func end() -> String { line.end() }
}
