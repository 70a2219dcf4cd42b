import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

@testable import AttentionZooExperiments

/// `Compare --task recall --recall mqar --published`, from its options to its report.
@Suite struct PublishedCommandTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    private func command(_ change: (inout CompareCommand) -> Void = { _ in }) -> CompareCommand {
        var command = CompareCommand()
        (command.task, command.recall, command.published) = ("recall", "mqar", true)
        (command.models, command.lengths, command.widths) = ("transformer", "64", "2")
        (command.rates, command.epochs, command.examples) = ("0.01,0.001", 2, 600)
        command.out = workspace.out
        change(&command)
        return command
    }

    private static let wrong: [(@Sendable (inout CompareCommand) -> Void, String)] = [
        ({ $0.task = "all" }, "--published: expected with --task recall --recall mqar"),
        ({ $0.recall = "all" }, "--published: expected with --task recall --recall mqar"),
        (
            { ($0.published, $0.recall) = (false, "all") },
            "--lengths: expected only with --published"
        ),
        ({ $0.minutes = 1 }, "--minutes: expected no --published, whose trainings have --epochs and --rates"),
        ({ $0.steps = 1 }, "--steps: expected no --published, whose trainings have --epochs and --rates"),
        ({ $0.learningRate = 1 }, "--learning-rate: expected no --published"),
        ({ $0.parameters = 1 }, "--parameters: expected only with --task scale or --task text"),
        ({ $0.data = ["a"] }, "--data: expected only with --task text"),
        ({ $0.lengths = "64,100" }, "--lengths: expected some of 64, 128, 256, 512, found \"100\""),
        ({ $0.widths = "64,7" }, "--widths: expected even numbers from 2 to 4096, found \"7\""),
        ({ $0.rates = "0" }, "--rates: expected numbers above 0, found \"0\""),
        ({ $0.rates = "1e-3,fast" }, "--rates: expected numbers above 0, found \"fast\""),
        ({ $0.epochs = 0 }, "--epochs: expected a whole number from 1 to 16777216, found 0"),
        ({ $0.examples = -1 }, "--examples: expected a whole number from 1 to 16777216, found -1"),
        ({ $0.models = "transformr" }, "unknown model \"transformr\", did you mean \"transformer\"?"),
    ]

    @Test("Wrong options are named", arguments: wrong.indices)
    func wrongOptions(_ index: Int) {
        let (change, message) = Self.wrong[index]
        let error = #expect(throws: InputError.self) { try command(change).run() }
        #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
        #expect(!FileManager.default.fileExists(atPath: workspace.out))
    }

    @Test("The task has no name of its own")
    func hiddenTask() {
        let error = #expect(throws: InputError.self) { try command { $0.task = "published" }.run() }
        #expect(error != nil && ComparisonTask.allCases == [.text, .recall, .scale])
    }

    @Test("Cells go by length, width, model and rate")
    func cells() throws {
        let command = command {
            ($0.models, $0.lengths, $0.widths, $0.rates) = ("transformer,local", "64,128", "8", nil)
        }
        let options = try command.options([.published])
        let titles = try command.cells([.published], [], options).map(\.title)
        #expect(titles.count == 16)
        #expect(
            Array(titles.prefix(5)) == [
                "recall mqar 64/4, width 8, rate 0.00215, transformer",
                "recall mqar 64/4, width 8, rate 0.000464, transformer",
                "recall mqar 64/4, width 8, rate 0.01, transformer",
                "recall mqar 64/4, width 8, rate 0.0001, transformer",
                "recall mqar 64/4, width 8, rate 0.00215, local",
            ])
        #expect(titles.last == "recall mqar 128/8, width 8, rate 0.0001, local")
        #expect(
            options.published
                == {
                    var own = PublishedRecallOptions()
                    (own.epochs, own.examples) = (2, 600)
                    return own
                }())
    }

    @Test("A comparison is measured, stopped in the middle of a cell, and resumed")
    func resuming() throws {
        let diary = Diary()
        let stopped = try command().run(report: diary.add, stop: { diary.finished == 1 && diary.steps == 6 })
        #expect(!stopped.isComplete && stopped.results.published?.count == 1)
        let saves = try FileManager.default.contentsOfDirectory(atPath: workspace.out + "/published")
        #expect(saves == ["transformer-64-width-2-rate-0.001.safetensors"])
        // Other epochs are neither in the table nor in the save.
        let message =
            "\(workspace.out)/results.json: was measured with --epochs 2, found --epochs 3; expected the same, or another folder (--out)"
        #expect(throws: InputError(message)) { try command { $0.epochs = 3 }.run() }
        let rest = Diary()
        let (results, isComplete) = try command().run(report: rest.add)
        #expect(isComplete && results.published?.map(\.cell.rate) == [0.01, 0.001])
        #expect(rest.lines.first == "1 of 2" && rest.steps == 2)
        #expect(results.published?.allSatisfy { $0.tests.count == 2 && $0.tests[0].asked == 4 * 600 } == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.out + "/published").isEmpty)
        #expect(try ComparisonResults(path: workspace.out + "/results.json") == results)
        #expect(try workspace.folder.read("out/summary.md").contains("## Recall at published settings"))
    }

    @Test("A setting that one rate solves is not tried with the others")
    func solvedSettings() throws {
        let options = try command().options([.published])
        var results = ComparisonResults(options, machine: .current)
        results.published = [
            .init(
                cell: .init(model: "transformer", length: 64, width: 2, rate: 0.5), parameters: 1, seconds: 1,
                tests: [.init(asked: 100, found: 99, loss: 0.1)])
        ]
        try FileManager.default.createDirectory(atPath: workspace.out, withIntermediateDirectories: true)
        try results.write(to: workspace.out + "/results.json")
        let diary = Diary()
        #expect(try command().run(report: diary.add).isComplete && diary.lines == ["2 of 2"])
        results.published?[0].tests[0].found = 98
        try results.write(to: workspace.out + "/results.json")
        #expect(try !command().run(report: diary.add, stop: { true }).isComplete)
        #expect(diary.lines.last == "0 of 2")
    }

    @Test("Small recall and published recall share a folder, each with its own options")
    func sharedFolder() throws {
        _ = try command { $0.rates = "0.01" }.run()
        let (results, _) = try workspace.command(task: "recall", models: "local") {
            ($0.recall, $0.steps) = ("induction", 1)
        }.run()
        #expect(results.published?.count == 1 && results.recall.count == 1 && results.options.published?.epochs == 2)
        let again = try command { $0.rates = "0.01" }.run()
        #expect(again.isComplete && again.results.options.recall.steps == 1)
    }

    // MARK: Report

    private static var sample: ComparisonResults {
        var results = ComparisonResults(ComparisonOptions(), machine: ReportSample.machine)
        results.options.published = PublishedRecallOptions()
        func outcome(_ model: String, _ length: Int, _ rate: Double, _ found: Int) -> PublishedRecallOutcome {
            .init(
                cell: .init(model: model, length: length, width: 64, rate: rate), parameters: 550_000, seconds: 90,
                tests: [.init(asked: 1000, found: 10, loss: 8), .init(asked: 1000, found: found, loss: 0.1)])
        }
        results.published = [
            outcome("transformer", 64, 0.00215, 120), outcome("transformer", 64, 0.01, 994),
            outcome("local", 64, 0.00215, 450), outcome("transformer", 128, 0.01, 991),
        ]
        return results
    }

    @Test("The report has the best of the rates beside the published figures")
    func report() throws {
        let page = PageText(ComparisonReport(Self.sample).html)
        #expect(page.headings == ["Recall at published settings", "Models and options"])
        #expect(page.rows.contains(["model", "64/4, d 64", "128/8, d 64"]))
        #expect(page.rows.contains(["Transformer (full attention)", "99.4%", "99.1%"]))
        #expect(page.rows.contains(["Local attention", "45%", "–"]))
        #expect(page.rows.contains(["Attention (published)", "100%", "100%"]))
        #expect(page.rows.contains(["Hyena (published)", "52%", "18%"]))
        #expect(
            page.rows.contains {
                $0.starts(with: [
                    "64/4, d 64", "Transformer (full attention)", "99.4%", "0.01", "0.00215, 0.01", "2",
                ])
            })
        #expect(page.text.contains("how they recall at published settings") && page.text.contains("100,000 examples"))
        let text = ComparisonReport(Self.sample).text
        #expect(text.contains("Recall at published settings\n") && text.contains("99.4%"))
    }

    @Test("Published figures are of every length and width of the paper")
    func figures() {
        for figure in PublishedFigure.zoology {
            for length in [64, 128, 256, 512] {
                for width in [64, 128, 256, 512] {
                    #expect(figure[length, width].map { (0...1).contains($0) } == true, "\(figure.name)")
                }
            }
            #expect(figure[64, 100] == nil && figure[32, 64] == nil)
        }
    }
}
