import AttentionZooReports
import Foundation

// The results of single cells in a line.

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
