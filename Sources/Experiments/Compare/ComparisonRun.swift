import Foundation
import ModelZoo

/// Measures cells one after another and keeps what is finished in a folder:
///
///     results.json          the finished cells
///     report.html           plots and tables of them, in one file
///     summary.md            the same as markdown; the plots beside it as SVG
///     text/NAME/MODEL/      the training runs of the task text, which other commands can open
///     published/            saves of trainings at published settings that are not finished
///     .lock                 held while cells are measured
///
/// Finished cells are not measured again; an interrupted training is resumed.
package struct ComparisonRun {
    /// In the order in which they are measured.
    package let cells: [ComparisonCell]
    /// The folder of the results.
    package let folder: String
    /// The finished results, also of other cells than these.
    package private(set) var results: ComparisonResults
    private let texts: [ComparedText]
    private let lock: RunLock

    /// Makes the folder where there is none, and reads what is in it.
    /// - Parameters:
    ///   - cells: different ones, in the order in which they are measured.
    ///   - texts: those of the cells.
    /// - Throws: `InputError` where the folder cannot be used or holds results that were measured with other options or
    ///   elsewhere; `TrainingFault` when another process uses it.
    package init(_ cells: [ComparisonCell], texts: [ComparedText], _ options: ComparisonOptions, folder: String) throws
    {
        (self.cells, self.texts, self.folder) = (cells, texts, folder)
        lock = try RunLock(making: folder)
        let path = folder + "/results.json"
        if FileManager.default.fileExists(atPath: path) {
            results = try ComparisonResults(path: path)
            try results.take(options, of: Set(cells.map(\.task)), .current, path: path)
            try results.require(texts, path: path)
        } else {
            results = ComparisonResults(options, machine: .current)
        }
        // Early, so that a plan of hours does not end with this.
        for case .text(let name, let model) in cells where !results.has(.text(name, model: model)) {
            try textCell(name, model).requireSame(results.options)
        }
        for case .published(let cell) in cells where !results.has(.published(cell)) {
            try publishedSave(cell).requireSame()
        }
    }

    /// The events of a run.
    package enum Event: Sendable {
        /// Before the first cell: how many are finished already, of how many.
        case started(finished: Int, of: Int)
        /// The progress of a cell, in words.
        case progress(ComparisonCell, String, Progress)
        /// The outcome of a cell, in words.
        case finished(ComparisonCell, String, Progress)

        /// The progress of the plan.
        package typealias Progress = CellProgress
    }

    /// Measures what is not finished yet.
    /// - Parameters:
    ///   - report: called with each step of the progress.
    ///   - stop: asked often; what is finished by then is kept.
    /// - Returns: whether all cells are finished.
    package mutating func run(report: (Event) -> Void = { _ in }, stop: () -> Bool = { false }) throws -> Bool {
        // Before the first cell, so that resuming takes the same options.
        try save()
        var estimate = ComparisonEstimate(cells.filter { !results.has($0) }, results.options)
        let total = cells.count
        report(.started(finished: cells.count { results.has($0) }, of: total))
        for (index, cell) in cells.enumerated() where !results.has(cell) {
            let start = ContinuousClock.now
            var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }
            func progress(_ share: Double) -> Event.Progress {
                .init(
                    number: index + 1, total: total,
                    secondsLeft: estimate.secondsLeft(in: cell, share: share, since: seconds))
            }
            let summary = try measure(
                cell, progress: { report(.progress(cell, $1, progress($0))) }, stop: stop)
            guard let summary else { return false }
            estimate.finish(cell, seconds: seconds, isFinished: results.has)
            try save()
            if case .published(let cell) = cell { try publishedSave(cell).remove() }
            report(.finished(cell, summary, progress(1)))
        }
        return true
    }

    /// - Returns: what came out in words; nil where it was stopped.
    private mutating func measure(
        _ cell: ComparisonCell, progress: (Double, String) -> Void, stop: () -> Bool
    ) throws -> String? {
        if stop() { return nil }
        let options = results.options
        switch cell {
        case .text(let name, let model):
            guard let outcome = try textCell(name, model).run(options, progress: progress, stop: stop) else {
                return nil
            }
            results.text.append(outcome)
            return outcome.summary
        case .recall(let task, let model):
            let cell = RecallCell(task: task, model: model, settings: options.settings)
            let outcome = try cell.run(options.recall, seed: options.seed, progress: progress, stop: stop)
            guard let outcome else { return nil }
            results.recall.append(outcome)
            return outcome.summary
        case .scale(let model, let length):
            let before = results.scale.filter { $0.model == model && $0.length < length }
            let outcome = try ScaleCell(model: model, length: length, settings: options.settings ?? .init()).run(
                options.scale, parameters: options.parameters, seed: options.seed, before: before,
                progress: progress, stop: stop)
            guard let outcome else { return nil }
            results.scale.append(outcome)
            return outcome.summary
        case .published(let cell):
            let outcome = try cell.run(
                options.published ?? .init(), settings: options.settings ?? .init(), seed: options.seed,
                folder: publishedFolder, progress: progress, stop: stop)
            guard let outcome else { return nil }
            results.published = (results.published ?? []) + [outcome]
            return outcome.summary
        }
    }

    private func textCell(_ name: String, _ model: String) throws -> TextCell {
        guard let text = texts.first(where: { $0.name == name }) else {
            throw InputError("--data: there is no text named \(name)")
        }
        return TextCell(text: text, model: model, folder: "\(folder)/text/\(name)/\(model)")
    }

    private var publishedFolder: String { folder + "/published" }

    private func publishedSave(_ cell: PublishedRecallCell) throws -> PublishedRecallSave {
        let options = results.options
        return try cell.save(
            options.published ?? .init(), settings: options.settings ?? .init(), seed: options.seed,
            folder: publishedFolder)
    }

    private func save() throws {
        try results.write(to: folder + "/results.json")
        let page = ComparisonReport(results)
        try AtomicFile.write(Data(page.html.utf8), to: folder + "/report.html")
        try AtomicFile.write(Data(page.markdown.utf8), to: folder + "/summary.md")
        for (name, plot) in page.plots {
            try AtomicFile.write(Data(plot.svgDocument.utf8), to: "\(folder)/\(name).svg")
        }
    }
}

extension ComparisonResults {
    /// - Throws: `InputError` where there are results of another text with the same name.
    fileprivate func require(_ texts: [ComparedText], path: String) throws {
        for text in texts {
            guard let other = self.text.first(where: { $0.text == text.name && $0.checksum != text.checksum }) else {
                continue
            }
            throw InputError(
                "\(path): has results of another text named \(text.name) (checksum \(other.checksum), found"
                    + " \(text.checksum)); expected the same, or another folder (--out)")
        }
    }

    /// Takes over the options of the tasks that are to be measured.
    /// - Throws: `InputError` where there are results that were measured with others, or on another machine: what stands in
    ///   one table must be comparable.
    fileprivate mutating func take(
        _ wanted: ComparisonOptions, of tasks: Set<ComparisonTask>, _ here: Machine, path: String
    ) throws {
        guard !measured.isEmpty else {
            (options, machine, version) = (wanted, here, packageVersion)
            return
        }
        let expected = "expected the same, or another folder (--out)"
        guard version == packageVersion else {
            throw InputError("\(path): made by version \(version); this is \(packageVersion)")
        }
        guard machine.isSame(as: here) else {
            throw InputError("\(path): was measured on \(machine.description); found \(here.description); \(expected)")
        }
        for (name, there, here) in options.differences(from: wanted, in: tasks, measured: measured) {
            throw InputError("\(path): was measured with \(name) \(there), found \(name) \(here); \(expected)")
        }
        options.take(wanted, of: tasks)
    }

    /// The tasks of which anything is finished.
    private var measured: Set<ComparisonTask> { Set((ComparisonTask.allCases + [.published]).filter(has)) }
}
