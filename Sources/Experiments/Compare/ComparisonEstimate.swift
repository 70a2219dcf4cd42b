import Foundation

/// An estimate of the time left: by what the options allow the cells, corrected by those that are finished.
struct ComparisonEstimate {
    private let options: ComparisonOptions
    private var open: [ComparisonCell]
    /// Seconds measured and expected, by task.
    private var measured: [ComparisonTask: (seconds: Double, expected: Double)] = [:]

    init(_ cells: [ComparisonCell], _ options: ComparisonOptions) { (open, self.options) = (cells, options) }

    /// - Parameter isFinished: whether a cell needs no measuring any more; one may have made others needless.
    mutating func finish(_ cell: ComparisonCell, seconds: Double, isFinished: (ComparisonCell) -> Bool = { _ in false })
    {
        open.removeAll { $0 == cell || isFinished($0) }
        let before = measured[cell.task] ?? (0, 0)
        measured[cell.task] = (before.seconds + seconds, before.expected + expected(cell))
    }

    /// - Parameter share: how much of the current cell is done.
    /// - Returns: nil while there is nothing to go by.
    func secondsLeft(in cell: ComparisonCell, share: Double, since elapsed: Double) -> Double? {
        var sum = 0.0
        for other in open where other != cell {
            guard let seconds = seconds(of: other) else { return nil }
            sum += seconds
        }
        if share > 0.02 { return sum + elapsed / share * (1 - share) }
        return seconds(of: cell).map { sum + max(0, $0 - elapsed) }
    }

    private func seconds(of cell: ComparisonCell) -> Double? {
        if let (seconds, sum) = measured[cell.task], sum > 0 { return expected(cell) * seconds / sum }
        return hasTime(cell) ? expected(cell) : nil
    }

    /// Tells whether the options say how long a cell takes.
    private func hasTime(_ cell: ComparisonCell) -> Bool {
        switch cell.task {
        case .text: options.text.minutes != nil
        case .recall: options.recall.minutes != nil
        case .scale: true
        case .published: false
        }
    }

    /// In seconds where the options say how long, else in parts of the same size.
    private func expected(_ cell: ComparisonCell) -> Double {
        switch cell {
        case .text: (options.text.minutes ?? 1) * 60
        // Asking takes about a sixth of the training.
        case .recall: (options.recall.minutes ?? 1) * 70
        // Short passes are repeated; most of the time goes to the longest sequences that the budget allows.
        case .scale(_, let length): 6 + options.scale.budgetSeconds * min(1, Double(length) / 262_144)
        // Products by the width, and logits of a few places by the vocabulary.
        case .published(let cell): Double(cell.length * (cell.width + 64)) / 8192
        }
    }
}
