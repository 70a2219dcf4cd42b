import ModelZoo

/// Turns the events of a run into what is written for those who watch it: a value that knows no terminal and no clock.
public struct ComparisonPrinter: Sendable {
    private var line: OverwrittenLine

    /// - Parameter isTerminal: whether lines can be written over.
    public init(isTerminal: Bool) { line = OverwrittenLine(isTerminal: isTerminal) }

    /// Returns the output for an event, with all line ends; empty if there is nothing to print.
    /// - Parameter width: the columns of the terminal.
    public mutating func output(for event: ComparisonRun.Event, width: Int = 80) -> String {
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
    public mutating func end() -> String { line.end() }
}

extension TextOutcome {
    var summary: String {
        if let fault { return fault }
        return String(format: "%.4f bits/byte after %d steps in ", best, steps) + ReportText.duration(seconds)
            + String(
                format: ", %.0f tokens/s, %.0f MB, generates %.0f tokens/s", tokensPerSecond, peakMegabytes ?? .nan,
                generationTokensPerSecond)
    }
}

extension RecallOutcome {
    /// At the length that the report judges the task by.
    var summary: String {
        let numbers = RecallNumbers(task, [self])
        let length = numbers.judgedLength ?? trainingLength
        let answers = numbers.answers(ComparedModel.ordered([model])[0])
        let share = answers.map { String(format: "%.1f %% found", 100 * $0.share) } ?? "nothing asked"
        return (fault.map { "\($0); " } ?? "")
            + "\(share) in \(length) tokens after \(steps) steps in \(ReportText.duration(seconds))"
    }
}

extension PublishedRecallOutcome {
    var summary: String {
        (fault.map { "\($0); " } ?? "") + String(format: "%.1f %% found", 100 * share)
            + " after \(epochs) epoch\(epochs == 1 ? "" : "s") in \(ReportText.duration(seconds))"
    }
}

extension ScaleOutcome {
    var summary: String {
        if let skipped { return skipped }
        func time(_ seconds: Double?) -> String { seconds.map { String(format: "%.3g s", $0) } ?? "–" }
        return
            "forward \(time(forwardSeconds)), backward \(time(backwardSeconds)), a token \(time(generationSeconds)), "
            + String(format: "%.0f MB", peakMegabytes ?? .nan)
    }
}
