import Foundation
import NN
import Tensors
import Trainer

/// The page that compares runs: their curves in the same plots, their numbers and what is configured differently.
public struct RunsReport: Sendable {
    private let runs: [RunRecord]

    /// - Parameter runs: with names that differ.
    public init(_ runs: [RunRecord]) {
        require(Set(runs.map(\.name)).count == runs.count, "RunsReport: two runs of one name in \(runs.map(\.name))")
        self.runs = runs
    }

    /// The document, which needs nothing beside it.
    public var html: String {
        let models = Set(runs.map(\.configuration.origin.model)).sorted()
        let versions = Set(runs.map(\.configuration.version)).sorted()
        var page = Page(
            runs.count == 1 ? "1 run" : "\(runs.count) runs",
            subtitle: models.joined(separator: ", ") + " · AttentionZoo " + versions.joined(separator: ", "))
        page.add("Results", results)
        page.add("Learning", learning)
        if !groups.isEmpty {
            page.add("Memory", AnswerBars.figure(runs, groups, caption: "In the last validation of each run."))
        }
        page.add("Speed", speed)
        page.add("Differences in configuration", differences)
        return page.html
    }

    /// Writes the page in one piece.
    /// - Throws: `InputError` with the path and the system's reason.
    public func write(to path: String) throws { try AtomicFile.write(Data(html.utf8), to: path) }

    private var groups: [DistanceGroup] { DistanceGroup.all(in: runs) }

    // MARK: Numbers

    private var results: HTML {
        var columns: [(head: String, cell: (RunRecord) -> String)] = [
            ("run", \.name),
            ("parameters", { $0.parameters.map { Numbers.text($0) } ?? "–" }),
            ("steps", { Numbers.text($0.metrics.last?.step ?? 0) }),
            ("tokens", { Numbers.text($0.metrics.last?.tokens ?? 0) }),
            ("time", { ReportText.duration($0.metrics.last?.seconds ?? 0) }),
            ("training", { ReportText.bits($0.lastTraining) }),
            ("validation", { ReportText.bits($0.validations.last?.value) }),
            ("best", { ReportText.bits($0.best?.value) }),
            ("answered", { $0.last("answered").map(ReportText.percent) ?? "–" }),
        ]
        columns += [("found", "validation_masked_accuracy"), ("token accuracy", "validation_token_accuracy")]
            .map { head, key in (head, { $0.last(key).map(ReportText.percent) ?? "–" }) }
        columns.removeAll { column in column.head != "run" && runs.allSatisfy { column.cell($0) == "–" } }
        let table = Table(
            head: columns.map(\.head), rows: runs.map { run in columns.map { $0.cell(run) } },
            numeric: Set(1..<columns.count))
        return table.html
            + .paragraph("Training and validation in bits per byte; training is the mean of the run's last steps.")
    }

    private var speed: HTML {
        let bars = NamedBars(
            "Tokens per second", names: runs.map(\.name), values: runs.map(\.tokensPerSecond))
        return .figure("Tokens per second", caption: "Median of all training steps.", svg: bars.svg)
    }

    /// The keys in which the runs differ, each with its values.
    private var differences: HTML {
        let settings = runs.map { run in
            Dictionary(uniqueKeysWithValues: ReportText.flat(run.configuration.json).map { ($0.key, $0.value) })
        }
        let keys = Set(settings.flatMap(\.keys)).sorted()
        let rows = keys.map { key in [key] + settings.map { $0[key] ?? "–" } }
            .filter { row in row.dropFirst().contains { $0 != row[1] } }
        guard !rows.isEmpty else { return .paragraph("There are none.") }
        return Table(head: ["key"] + runs.map(\.name), rows: rows).html
    }

    // MARK: Curves

    private var learning: HTML {
        let range = BitsRange(runs)
        let (unit, length) = ReportText.timeUnit(runs.compactMap(\.metrics.last?.seconds).max() ?? 0)
        let caption = ["Lines: validation; pale: training, smoothed.", range.caption].compactMap { $0 }
        return figure("Bits per byte by step", axis: "step", range, caption: caption.joined(separator: " ")) {
            Double($0.step)
        }
            + figure("By tokens seen", axis: "tokens", range) { Double($0.tokens) }
            + figure("By time", axis: unit, range) { $0.seconds / length }
    }

    private func figure(
        _ title: String, axis label: String, _ range: BitsRange, caption: String = "",
        x: (StepMetrics) -> Double
    ) -> HTML {
        let plot = LinePlot(
            title, x: Axis(label, includesZero: true, format: .compact), y: Axis("bits per byte", range: range.shown),
            series: runs.enumerated().flatMap { series(of: $1, $0, x) }, references: floors)
        return .figure(title, caption: caption, svg: plot.svg)
    }

    /// Validation over training; of a run that was never validated, training alone.
    private func series(of run: RunRecord, _ index: Int, _ x: (StepMetrics) -> Double) -> [Series] {
        let validations = run.validations
        let training = Series(
            validations.isEmpty ? run.name : "", x: run.metrics.map(x),
            y: Series.smoothed(run.metrics.map(\.bitsPerByte)), style: validations.isEmpty ? .line : .faint,
            color: index)
        if validations.isEmpty { return [training] }
        return [
            training,
            Series(
                run.name, x: validations.map { x($0.metrics) }, y: validations.map(\.value), style: .points,
                color: index),
        ]
    }

    /// The exact entropy of the text, where all runs were validated with the same one.
    private var floors: [ReferenceLine] {
        let values = Set(runs.map { $0.last("validation_floor") })
        guard values.count == 1, let floor = values.first ?? nil else { return [] }
        return [ReferenceLine(floor, "floor " + Numbers.text(floor, decimals: 3))]
    }
}
