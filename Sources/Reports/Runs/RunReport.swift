import Foundation
import NN
import Tensors
import Trainer

/// The page about one run: its numbers, plots, samples and configuration.
public struct RunReport: Sendable {
    private let run: RunRecord

    /// Creates the report of a run.
    public init(_ run: RunRecord) { self.run = run }

    /// The document, which needs nothing beside it.
    public var html: String {
        var page = Page(run.name, subtitle: subtitle)
        page.add("Result", .pairs([bitsTable, otherTable]))
        page.add("Learning", run.bitsPlot)
        if run.lastAnswers != nil { page.add("Memory", run.answerPlots) }
        page.add("Course of the training", run.coursePlots)
        page.add("Samples", samples)
        if !commands.isEmpty { page.add("Commands", .code(commands.joined(separator: "\n"))) }
        page.add("Configuration", configuration)
        return page.html
    }

    /// Writes the page in one piece.
    /// - Throws: `InputError` with the path and the system's reason.
    public func write(to path: String) throws { try AtomicFile.write(Data(html.utf8), to: path) }

    /// Writes the page into the run's folder, as report.html.
    /// - Throws: `InputError` with the path and the system's reason.
    public func write() throws { try write(to: RunFolder(path: run.path).reportPath) }

    private var subtitle: String {
        let last = run.metrics.last
        let texts = run.configuration.origin.data.map { URL(fileURLWithPath: $0).lastPathComponent }
        return [
            run.configuration.origin.model,
            run.parameters.map { Numbers.text($0) + " parameters" },
            run.configuration.origin.corpus != nil ? "the built-in corpus" : nil,
            texts.isEmpty ? nil : texts.prefix(3).joined(separator: ", ") + (texts.count > 3 ? ", …" : ""),
            "step \(Numbers.text(last?.step ?? 0))" + (run.totalSteps.map { " of \(Numbers.text($0))" } ?? ""),
            ReportText.duration(last?.seconds ?? 0),
            "AttentionZoo \(run.configuration.version)",
        ].compactMap { $0 }.joined(separator: " · ")
    }

    // MARK: Numbers

    private var bitsTable: HTML {
        var rows: [[String]] = []
        func row(_ name: String, _ value: Double?, _ step: Int?) {
            rows.append([name, ReportText.bits(value), step.map { Numbers.text($0) } ?? ""])
        }
        let last = run.metrics.last
        row("training, last step", last?.bitsPerByte, last?.step)
        if run.lastStepsAveraged > 1 {
            row("training, mean of the last \(run.lastStepsAveraged)", run.lastTraining, last?.step)
        }
        if let last = run.validations.last {
            row("validation, last", last.value, last.metrics.step)
            row("validation, best", run.best?.value, run.best?.metrics.step)
        }
        for floor in run.floors { row(floor.name, floor.value, nil) }
        return Table(head: ["", "bits per byte", "step"], rows: rows, numeric: [1, 2]).html
    }

    private var otherTable: HTML {
        var rows = [
            ["tokens seen", Numbers.text(run.metrics.last?.tokens ?? 0)],
            ["tokens per second, median", run.tokensPerSecond.map { Numbers.text($0) } ?? "–"],
            ["time", ReportText.duration(run.metrics.last?.seconds ?? 0)],
        ]
        if let parameters = run.parameters { rows.append(["parameters", Numbers.text(parameters)]) }
        if let answered = run.last("answered") { rows.append(["questions answered", ReportText.percent(answered)]) }
        if let accuracy = run.last("validation_masked_accuracy") {
            rows.append(["hidden tokens found", ReportText.percent(accuracy)])
        }
        if let accuracy = run.last("validation_token_accuracy") {
            rows.append(["token accuracy", ReportText.percent(accuracy)])
        }
        return Table(rows: rows, numeric: [1]).html
    }

    // MARK: Samples

    private static let samplesShown = 10

    /// From the last to the first, which shows where it began.
    private var samples: HTML {
        guard !run.samples.isEmpty else { return .paragraph("None has been drawn yet.") }
        let first = run.samples.count > Self.samplesShown ? [run.samples[0]] : []
        let shown = run.samples.suffix(Self.samplesShown - first.count).reversed() + first
        let left = run.samples.count - shown.count
        let note = left > 0 ? " \(Numbers.text(left)) more are in samples.jsonl." : ""
        return shown.reduce(.paragraph("What the model made of places in the text, which are underlined." + note)) {
            $0 + .heading("After step \(Numbers.text($1.step))") + .continuation(of: $1.prompt, $1.text)
        }
    }

    // MARK: Configuration

    /// All of config.json: an object a table, and one for what stands outside of objects.
    private var configuration: HTML {
        let members = run.configuration.json.objectValue ?? [:]
        let plain = members.filter { $0.value.objectValue == nil }
        let groups = members.filter { $0.value.objectValue != nil }.sorted { $0.key < $1.key }
        var tables = [table("run", .object(plain))] + groups.map { table($0.key, $0.value) }
        // The training's options are as long as all the rest.
        let long = groups.firstIndex { $0.key == "training" }.map { tables.remove(at: $0 + 1) } ?? .empty
        return .pairs([.group(tables), .group([long])])
    }

    private func table(_ title: String, _ json: JSONValue) -> HTML {
        .heading(title) + Table(rows: ReportText.flat(json).map { [$0.key, $0.value] }).html
    }

    // MARK: Commands

    /// The commands that continue the run, if they know its model.
    private var commands: [String] {
        let origin = run.configuration.origin
        guard origin.model != RunOrigin().model else { return [] }
        let (folder, command) = (run.path.pathArgument.shellQuoted, "swift run -c release")
        // Who has learned to fill gaps does not go on with a text.
        let isGenerative = run.configuration.training.objective != .masked
        return [
            // Only the program has the batches.
            run.configuration.hasOwnBatches
                ? nil : "\(command) Train --resume \(folder)\(run.isFinished ? further : "")",
            isGenerative ? "\(command) Generate --run \(folder) --prompt \("Once upon a time".shellQuoted)" : nil,
            "\(command) Evaluate --run \(folder)" + (run.configuration.validationTokens > 0 ? "" : " --data FILE"),
            "\(command) Report --runs \(folder)",
        ].compactMap { $0 }
    }

    /// A run that is finished needs a new end: twice the old one.
    private var further: String {
        switch run.configuration.training.length {
        case .steps(let steps): " --steps \(steps * 2)"
        case .epochs(let epochs): " --epochs \(epochs * 2)"
        case .minutes(let minutes): " --minutes \(minutes * 2)"
        }
    }
}

extension RunFolder {
    /// Writes report.html, in one piece.
    /// - Throws: `InputError` that names what cannot be read or written.
    public func writeReport() throws { try RunReport(RunRecord(self)).write(to: reportPath) }
}
