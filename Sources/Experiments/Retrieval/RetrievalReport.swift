import AttentionZooReports
import Foundation
import Trainer

/// Plots and tables of finished cells: the loss by the number of keys, a line for each memory.
package struct RetrievalReport: Sendable {
    private let results: RetrievalResults

    /// Creates the report of some results.
    package init(_ results: RetrievalResults) { self.results = results }

    /// The settings there are, each with its plot.
    package var plots: [(setting: RetrievalSetting, plot: LinePlot)] { settings.map { ($0, plot(of: $0)) } }

    private var settings: [RetrievalSetting] {
        RetrievalSetting.allCases.filter { setting in results.outcomes.contains { $0.cell.task.setting == setting } }
    }

    private func memories(_ setting: RetrievalSetting) -> [RetrievalMemory] {
        var seen = Set<RetrievalMemory>()
        let all = results.outcomes.filter { $0.cell.task.setting == setting }.map(\.cell.memory)
        return all.filter { seen.insert($0).inserted }.sorted { Self.order($0) < Self.order($1) }
    }

    /// By map, then by rule.
    private static func order(_ memory: RetrievalMemory) -> (Int, Int, Int) {
        let rule = memory.rule == .delta ? 1 : 0
        return switch memory.map {
        case .elu: (0, 0, rule)
        case .dpfp(let nu): (1, nu, rule)
        case .favor(let directions): (2, directions, rule)
        case .softmax: (3, 0, rule)
        }
    }

    private func sizes(_ setting: RetrievalSetting) -> [Int] {
        Set(results.outcomes.map(\.cell.task).filter { $0.setting == setting }.map(\.keys)).sorted()
    }

    private func outcome(_ setting: RetrievalSetting, _ memory: RetrievalMemory, _ keys: Int) -> RetrievalOutcome? {
        results.outcome(of: RetrievalCell(RetrievalTask(setting, keys: keys), memory))
    }

    // MARK: Plot

    /// A color for each map; solid lines for the delta rule, dashed ones for the others.
    private func plot(of setting: RetrievalSetting) -> LinePlot {
        let memories = memories(setting)
        let maps = memories.map(\.map).reduce(into: [RetrievalMap]()) { if !$0.contains($1) { $0.append($1) } }
        let series = memories.map { memory in
            let points = sizes(setting).compactMap { keys in
                outcome(setting, memory, keys).map { (Double(keys), $0.loss ?? .nan) }
            }
            return Series(
                memory.title, x: points.map(\.0), y: points.map(\.1), style: .points,
                color: maps.firstIndex(of: memory.map),
                dash: memory.rule == .delta ? 0 : 1)
        }
        return LinePlot(
            "Loss by the number of keys, setting \(setting.rawValue)",
            x: Axis("keys S", includesZero: true), y: Axis("loss", scale: .logarithmic), series: series,
            references: [ReferenceLine(RetrievalOptions.target, "solved")], height: 420)
    }

    // MARK: Page

    /// The document, which needs nothing beside it.
    package var html: String {
        let options = results.options
        var page = Page(
            "Retrieval from fast weights",
            subtitle:
                "2102.11174, section 6.1 · batch size \(options.batchSize), learning rate \(options.learningRate), seed "
                + "\(options.seed), at most \(Numbers.text(options.steps)) steps · AttentionZoo \(packageVersion)")
        for (setting, plot) in plots {
            page.add(
                Self.title(setting),
                .paragraph(explanation(setting))
                    + .figure(
                        "Loss by the number of keys", caption: "The least loss of all evaluations.", svg: plot.svg)
                    + .heading("Loss") + table(setting) { $0.lossText }
                    + .heading("Steps") + table(setting) { Numbers.text($0.steps) + ($0.end == .solved ? "" : "*") }
                    + .paragraph("* ended without having been solved."))
        }
        return page.html
    }

    static func title(_ setting: RetrievalSetting) -> String {
        switch setting {
        case .distinctKeys: "Setting 1: every key once"
        case .repeatedKeys: "Setting 2: the last value of a key counts"
        }
    }

    private func explanation(_ setting: RetrievalSetting) -> String {
        let task =
            switch setting {
            case .distinctKeys: "S pairs of a key and a value, all different, and the value of one key is asked for."
            case .repeatedKeys:
                "2 S pairs, keys and values drawn from S with replacement, and the last value of one key is asked for."
                    + (results.options.judgesFullLength
                        ? "" : " The loss is that of sequences of S such pairs, as in the authors' code.")
            }
        return task + " The loss is half the squared distance from the one-hot value; a guess gives some 0.5."
    }

    private func table(_ setting: RetrievalSetting, _ text: (RetrievalOutcome) -> String) -> HTML {
        table(setting, marks: false, text).html
    }

    /// A row for each memory, a column for each S.
    /// - Parameter marks: whether what was not solved is marked.
    private func table(_ setting: RetrievalSetting, marks: Bool, _ text: (RetrievalOutcome) -> String) -> Table {
        let (sizes, memories) = (sizes(setting), memories(setting))
        let outcomes = memories.map { memory in sizes.map { outcome(setting, memory, $0) } }
        let unsolved = outcomes.enumerated().flatMap { row, outcomes in
            outcomes.enumerated().filter { $1.map { $0.end != .solved } ?? false }
                .map { Table.Cell(row: row, column: $0.offset + 1) }
        }
        return Table(
            head: ["S"] + sizes.map { Numbers.text($0) },
            rows: zip(memories, outcomes).map { [$0.title] + $1.map { $0.map(text) ?? "–" } },
            numeric: Set(1..<sizes.count + 1), marked: marks ? Set(unsolved) : [])
    }

    /// The losses as text in columns, for a terminal, a star at those that were not solved; empty where nothing is
    /// finished.
    package var text: String {
        settings.map { Self.title($0) + "\n" + table($0, marks: true) { $0.lossText }.text }.joined(separator: "\n")
    }
}

extension RetrievalOutcome {
    /// With four digits after the point, as the authors' logs are read.
    package var lossText: String {
        loss.map { $0 < 1e-4 ? String(format: "%.0e", $0) : String(format: "%.4f", $0) } ?? "–"
    }
}
