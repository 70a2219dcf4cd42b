import Foundation
import NN
import Tensors
import Trainer

/// Trains cells one after another and keeps what is finished in a folder:
///
///     results.json     the finished cells
///     report.html      plots and tables of them, in one file
///     setting-N.svg    the plot of a setting
///     .lock            held while cells are trained
///
/// Finished cells are not trained again.
package struct RetrievalRun {
    /// The cells, in the order in which they are trained.
    package let cells: [RetrievalCell]
    /// The folder of the results.
    package let folder: String
    /// The finished cells of the folder.
    package private(set) var results: RetrievalResults
    private let lock: RunLock

    /// Makes the folder where there is none, and reads what is in it.
    /// - Parameter cells: different ones, in the order in which they are trained.
    /// - Throws: `InputError` where the folder cannot be used or holds cells that were trained with other options;
    ///   `TrainingFault` where another process uses it.
    package init(_ cells: [RetrievalCell], _ options: RetrievalOptions, folder: String) throws {
        (self.cells, self.folder) = (cells, folder)
        lock = try RunLock(making: folder)
        let path = folder + "/results.json"
        if FileManager.default.fileExists(atPath: path) {
            results = try RetrievalResults(path: path)
            try results.require(options, path: path)
        } else {
            results = RetrievalResults(options)
        }
    }

    /// The events of a run.
    package enum Event: Sendable {
        /// Before the first cell: how many are finished already, of how many.
        case started(finished: Int, of: Int)
        /// A cell's latest evaluation.
        case evaluated(RetrievalCell, [RetrievalOutcome.Evaluation], Progress)
        case finished(RetrievalOutcome, Progress)

        /// The progress of the plan.
        package typealias Progress = CellProgress
    }

    /// Trains what is not finished yet.
    /// - Parameters:
    ///   - minutes: how long at most; a cell that is not finished then is left.
    ///   - report: called with each step of the progress.
    ///   - stop: asked before each step.
    /// - Returns: whether all cells are finished.
    package mutating func run(
        minutes: Double? = nil, report: (Event) -> Void = { _ in }, stop: () -> Bool = { false }
    ) throws -> Bool {
        let clock = ContinuousClock()
        let begin = clock.now
        let limit = minutes.map { $0 * 60 }
        func seconds() -> Double { (clock.now - begin) / .seconds(1) }
        var estimate = RetrievalEstimate(cells)
        for outcome in results.outcomes { estimate.add(outcome) }
        report(.started(finished: cells.count { results.outcome(of: $0) != nil }, of: cells.count))
        for (index, cell) in cells.enumerated() where results.outcome(of: cell) == nil {
            let start = seconds()
            func progress() -> Event.Progress {
                let left = estimate.secondsLeft(training: cell, since: seconds() - start)
                let allowed = limit.map { max(0, $0 - seconds()) }
                return .init(
                    number: index + 1, total: cells.count,
                    secondsLeft: left.map { min($0, allowed ?? .infinity) } ?? allowed)
            }
            let outcome = cell.train(
                results.options, report: { report(.evaluated(cell, $0, progress())) },
                stop: { stop() || limit.map { seconds() >= $0 } ?? false })
            guard let outcome else { return false }
            results.add(outcome)
            estimate.add(outcome)
            try save()
            report(.finished(outcome, progress()))
        }
        // What was finished before is drawn as well.
        try save()
        return true
    }

    private func save() throws {
        try results.write(to: folder + "/results.json")
        let page = RetrievalReport(results)
        try AtomicFile.write(Data(page.html.utf8), to: folder + "/report.html")
        for (setting, plot) in page.plots {
            try AtomicFile.write(Data(plot.svgDocument.utf8), to: folder + "/setting-\(setting.rawValue).svg")
        }
    }
}

/// An estimate of the time left, by the finished cells: the number of steps of a cell cannot be known before.
struct RetrievalEstimate {
    private var open: Set<RetrievalCell>
    private var (seconds, work) = (0.0, 0.0)

    init(_ cells: [RetrievalCell]) { open = Set(cells) }

    mutating func add(_ outcome: RetrievalOutcome) {
        open.remove(outcome.cell)
        seconds += outcome.seconds
        work += Self.work(outcome.cell)
    }

    /// - Parameter elapsed: how long the cell has been trained.
    func secondsLeft(training cell: RetrievalCell, since elapsed: Double) -> Double? {
        guard work > 0 else { return nil }
        let others = open.filter { $0 != cell }.reduce(0) { $0 + Self.work($1) }
        let own = open.contains(cell) ? max(0, Self.work(cell) * seconds / work - elapsed) : 0
        return others * seconds / work + own
    }

    /// In proportion to the time of a step: by pairs and their features, and what any step takes.
    private static func work(_ cell: RetrievalCell) -> Double {
        let features = Double(cell.memory.map.features(RetrievalModel.width))
        return Double(cell.task.pairs) * (features + 200) + 2000
    }
}
