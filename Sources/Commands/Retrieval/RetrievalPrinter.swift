import AttentionZooExperiments
import Foundation
import ModelZoo

/// Turns the events of a run into what is written for those who watch it: a value that knows no terminal and no clock.
package struct RetrievalPrinter: Sendable {
    private var line: OverwrittenLine

    /// Creates a printer; on a terminal, lines of progress are overwritten.
    package init(isTerminal: Bool) { line = OverwrittenLine(isTerminal: isTerminal) }

    /// Returns the output for an event, with all line ends; empty if there is nothing to print.
    /// - Parameter width: the columns of the terminal.
    package mutating func output(for event: RetrievalRun.Event, width: Int = 80) -> String {
        switch event {
        case .started(let finished, let total):
            (finished > 0 ? "\(finished) of " : "") + "\(total) cell\(total == 1 ? "" : "s")"
                + (finished > 0 ? " finished already\n" : "\n")
        case .evaluated(let cell, let evaluations, let progress):
            line.show(Self.status(cell, evaluations, progress), width: width)
        case .finished(let outcome, _): line.end() + Self.summary(of: outcome) + "\n"
        }
    }

    /// Returns the output when nothing more will come, as before an error.
    package mutating func end() -> String { line.end() }

    private static func status(
        _ cell: RetrievalCell, _ evaluations: [RetrievalOutcome.Evaluation], _ progress: RetrievalRun.Event.Progress
    ) -> String {
        let last = evaluations.last
        let best = evaluations.map(\.loss).filter(\.isFinite).min() ?? .nan
        let left = progress.secondsLeft.map { "  about \(ReportText.duration($0)) left" } ?? ""
        return "\(progress.number)/\(progress.total)  \(cell.title)  step \(last?.step ?? 0)  loss "
            + String(format: "%.4f  best %.4f", last?.loss ?? .nan, best) + left
    }

    private static func summary(of outcome: RetrievalOutcome) -> String {
        let end =
            switch outcome.end {
            case .solved: "solved"
            case .stalled: "no more progress"
            case .steps: "all steps made"
            case .diverged: "diverged"
            }
        return "\(outcome.cell.title): \(outcome.lossText) (\(end) after \(outcome.steps) steps, "
            + "\(ReportText.duration(outcome.seconds)))"
    }
}
