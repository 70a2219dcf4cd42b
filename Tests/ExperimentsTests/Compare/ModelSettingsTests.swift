import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

@testable import AttentionZooExperiments

/// `Compare --set KEY=VALUE`.
@Suite struct ModelSettingsTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    private static let wrong: [([String], String)] = [
        (["gamma_std"], "--set: expected KEY=VALUE, found \"gamma_std\""),
        (["=1"], "--set: expected KEY=VALUE, found \"=1\""),
        (
            ["gamma_sdt=1"],
            "--set gamma_sdt: expected a key of a chosen model's configuration; did you mean \"gamma_std\"?"
        ),
        (["heads=2", "qwxyz=1"], "--set qwxyz: expected a key of a chosen model's configuration"),
        (["dim=64"], "--set dim: follows from the size of the models; expected another key"),
        (["num_tokens=9"], "--set num_tokens: follows from the size of the models; expected another key"),
        (["gamma_std=much"], "flash of width 32: \"gamma_std\": expected a number"),
    ]

    @Test("Wrong settings are named before anything is made", arguments: wrong.indices)
    func wrongSettings(_ index: Int) {
        let (settings, message) = Self.wrong[index]
        for task in ["text", "recall"] {
            let command = workspace.command(task: task, models: "flash,local") { $0.settings = settings }
            let error = #expect(throws: InputError.self) { try command.run() }
            #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
        }
        #expect(!FileManager.default.fileExists(atPath: workspace.out))
    }

    @Test("Models take the keys that they have, and the last value of a key counts")
    func applied() throws {
        let settings = try ModelSettings(["gamma_std=0.5", "attn_dropout=0.25", "gamma_std=2"])
        #expect(settings.description == "attn_dropout=0.25, gamma_std=2")
        let size = ModelSize(width: 32, sequenceLength: 64)
        for id in Zoo.identifiers {
            let own = try #require(Zoo.architecture(id).configuration(size).json.objectValue)
            let set = try #require(settings.architecture(id).configuration(size).json.objectValue)
            #expect(set["gamma_std"]?.doubleValue == (id == "flash" ? 2 : nil))
            #expect(set["attn_dropout"] == own["attn_dropout"].map { _ in .number(0.25) })
            let others = set.filter { own[$0.key] != $0.value }.keys.filter {
                !["gamma_std", "attn_dropout"].contains($0)
            }
            #expect(others.isEmpty, "\(id): \(others)")
            #expect(own.keys.sorted() == set.keys.sorted())
        }
    }

    /// With fewer columns of queries and keys a model of the same size has another number of parameters.
    @Test("Every task makes its models with the settings")
    func everyTask() throws {
        func parameters(_ out: String, _ settings: [String]) throws -> [[Int]] {
            func run(_ task: String, _ change: (inout CompareCommand) -> Void) throws -> ComparisonResults {
                try workspace.command(task: task, models: "flash,local") {
                    ($0.out, $0.settings) = (workspace.folder.path + "/\(out)-\(task)", settings)
                    change(&$0)
                }.run().results
            }
            let text = try run("text") {
                ($0.data, $0.steps, $0.parameters) = ([workspace.text], 1, 300_000)
                ($0.sequenceLength, $0.batchSize) = (128, 2)
            }
            let configuration = try RunFolder(path: workspace.folder.path + "/\(out)-text/text/story.txt/flash")
                .configuration().origin.configuration.objectValue
            #expect(configuration?["query_key_dim"] == .integer(settings.isEmpty ? 64 : 8))
            let recall = try run("recall") { ($0.recall, $0.steps) = ("mqar", 1) }
            let scale = try run("scale") { ($0.longest, $0.parameters, $0.budgetSeconds) = (512, 300_000, 1e-6) }
            let published = try run("recall") {
                ($0.recall, $0.published, $0.lengths, $0.widths, $0.rates) = ("mqar", true, "64", "8", "0.01")
                ($0.epochs, $0.examples, $0.out) = (1, 8, $0.out + "-published")
            }
            let all = [
                text.text.map { ($0.model, $0.parameters) }, recall.recall.map { ($0.model, $0.parameters) },
                scale.scale.map { ($0.model, $0.parameters) },
                (published.published ?? []).map { ($0.cell.model, $0.parameters) },
            ].flatMap { $0 }
            return ["flash", "local"].map { model in all.filter { $0.0 == model }.map(\.1) }
        }
        let (own, set) = (try parameters("own", []), try parameters("set", ["query_key_dim=8"]))
        #expect(own[1] == set[1] && own[1].count == 4)
        #expect(own[0].count == 4 && zip(own[0], set[0]).allSatisfy { $0 != $1 }, "\(own) \(set)")
    }

    @Test("The questions of the corpus make their model with the settings")
    func questions() throws {
        let cell = RecallCell(task: .questions, model: "flash", settings: try ModelSettings(["query_key_dim=0"]))
        let error = #expect(throws: InputError.self) { try cell.run(RecallOptions(), seed: 0) }
        #expect(error?.message.contains("query_key_dim") == true, "\(error?.message ?? "")")
    }

    @Test("Settings are kept with the results and may not differ on resume")
    func resuming() throws {
        func command(_ settings: [String]) -> CompareCommand {
            workspace.command { ($0.models, $0.settings) = ("local", settings) }
        }
        let results = try command(["depth=3"]).run().results
        #expect(try ComparisonResults(path: workspace.out + "/results.json") == results)
        #expect(results.options.settings?.description == "depth=3")
        #expect(try workspace.folder.read("out/summary.md").contains("depth=3"))
        let message =
            "\(workspace.out)/results.json: was measured with --set depth=3, found --set not given; expected the same, or another folder (--out)"
        #expect(throws: InputError(message)) { try command([]).run() }
        #expect(throws: InputError.self) { try command(["depth=4"]).run() }
        #expect(try command(["depth=3"]).run().isComplete)
    }

    @Test("A run of a text that was begun with other settings is refused")
    func begun() throws {
        let diary = Diary()
        func command(_ settings: [String]) -> CompareCommand {
            workspace.command { ($0.models, $0.settings) = ("local", settings) }
        }
        #expect(try !command(["depth=3"]).run(report: diary.add, stop: { diary.steps >= 2 }).isComplete)
        let message =
            "\(workspace.out)/text/story.txt/local: was begun with another configuration of the model; expected the same, or another folder (--out)"
        #expect(throws: InputError(message)) { try command([]).run() }
        #expect(try command(["depth=3"]).run().isComplete)
    }

    @Test("Results from before there were settings are read")
    func older() throws {
        var results = ComparisonResults(ComparisonOptions(), machine: .current)
        results.options.settings = try ModelSettings(["depth=3"])
        let text = try JSONValue.text(encoding: results)
        #expect(text.contains("\"settings\":{\"depth\":\"3\"}"), "\(text)")
        let path = try workspace.folder.write(
            text.replacingOccurrences(of: ",\"settings\":{\"depth\":\"3\"}", with: ""), "older.json")
        results.options.settings = nil
        #expect(try ComparisonResults(path: path) == results)
    }
}
