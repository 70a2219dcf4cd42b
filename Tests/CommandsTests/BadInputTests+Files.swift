import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// Damaged weights, and folders of runs.
extension BadInputTests {
    // MARK: Weights

    @Test("Weights that do not fit list everything that differs")
    func weightsThatDoNotFitListEverything() throws {
        var source = try workspace.foreign()
        let weights = source.weights!
        source.config = try workspace.write(
            "{\"num_tokens\": 200, \"dim\": 8, \"depth\": 1, \"query_key_dim\": 4, \"causal\": true,"
                + " \"norm_type\": \"layernorm\"}", "other.json")
        expectError(
            naming: "\(weights)", "2 missing", "layers.0.norm.weight", "layers.0.norm.bias", "1 unused",
            "layers.0.norm.g", "3 of", "token_emb.weight", "[256, 8]", "[200, 8]", "to_logits.1.weight", "[256, 8]",
            "[200, 8]", "to_logits.1.bias", "[256]", "[200]"
        ) { try EvaluateCommand(source: source, data: [workspace.text()]).run(print: { _ in }) }
    }

    /// Damages of the file itself; Tests/TensorsTests has the rest.
    static let damages: [(String, @Sendable (Data) -> Data, String)] = [
        ("truncated", { $0.dropLast(4) }, "truncated?"),
        ("header cut off", { $0.prefix(40) }, "header"),
        ("not even a length", { $0.prefix(5) }, "5 bytes"),
        ("huge header", { Data([255, 255, 255, 255, 255, 0, 0, 0]) + $0.dropFirst(8) }, "header"),
        ("no JSON", { $0.prefix(8) + Data("[".utf8) + $0.dropFirst(9) }, "expected"),
        ("out of range", { replacing($0, "\"data_offsets\":[0,", "\"data_offsets\":[9,") }, "expected"),
        ("unknown type", { replacing($0, "\"F32\"", "\"F3X\"") }, "F3X"),
        ("key twice", { replacing($0, "\"to_logits.1.bias\"", "\"to_logits.0.bias\"") }, "\"to_logits.0.bias\""),
    ]

    @Test("Damaged weights are refused in one line", arguments: damages.indices)
    func damagedWeightsAreRefused(_ index: Int) throws {
        let (kind, damage, excerpt) = Self.damages[index]
        let source = try workspace.foreign()
        let path = source.weights!
        try damage(Data(contentsOf: URL(fileURLWithPath: path))).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: InputError.self) {
            try EvaluateCommand(source: source, data: [workspace.text()]).run(print: { _ in })
        }
        let message = error?.message ?? ""
        #expect(message.hasPrefix(path + ": "), "\(kind): \(message)")
        #expect(message.contains(excerpt), "\(kind): \(message)")
        #expect(!message.contains("\n"), "\(kind): \(message)")
    }

    // MARK: Runs

    @Test("Runs are neither overwritten nor invented")
    func runsAreNeitherOverwrittenNorInvented() throws {
        try workspace.tinyTraining("run").lines()
        let run = workspace.path("run")
        let before = try workspace.read("run/weights.safetensors")
        expectError(naming: "\(run)/config.json", "--resume \(run)") {
            try workspace.tinyTraining("run").lines()
        }
        #expect(try workspace.read("run/weights.safetensors") == before)
        expectError("\(workspace.folder): is no run folder: expected it to hold config.json") {
            try GenerateCommand(source: ModelSource(run: workspace.folder), prompt: "x").run { _ in }
        }
        func expectRefusal(
            _ message: String, location: SourceLocation = #_sourceLocation, _ change: (inout Train) -> Void
        ) {
            var command = try! Train.parse([])
            command.resume = run
            change(&command)
            expectError(message, sourceLocation: location) { try command.lines() }
        }
        expectRefusal("--optimizer: cannot be combined with --resume, whose folder says it already") {
            $0.optimizer = "adam"
        }
        expectRefusal("--model gpt: the run in \(run) was made with --model flash") { $0.model = "gpt" }
        expectRefusal("--tokenizer characters: the run in \(run) was made with --tokenizer bytes") {
            ($0.model, $0.tokenizer) = ("flash", "characters")
        }
        expectRefusal("--keep: expected a whole number of at least 1, found 0") { ($0.steps, $0.keep) = (3, 0) }
        expectRefusal(
            "\(run): has finished with step 2 already; expected a larger --steps, --epochs or --minutes, counted from the"
                + " beginning of the run"
        ) { _ in }
        let other = try workspace.text("other.txt", lines: 30)
        let count = try workspace.read("other.txt").count
        let began = try RunFolder(path: run).configuration().trainingTokens
        let share = count - Int((Double(count) * 0.1).rounded())
        expectRefusal(
            "\(other) (without the last 10 %): has \(share) tokens; the run in \(run) began with \(began)"
        ) { ($0.data, $0.steps) = ([other], 3) }
        let text = String(decoding: try workspace.read("text.txt"), as: UTF8.self)
        let changed = try workspace.write(text.replacing("river", with: "rival"), "changed.txt")
        let error = #expect(throws: InputError.self) {
            var command = try! Train.parse([])
            (command.resume, command.data, command.steps) = (run, [changed], 3)
            try command.lines()
        }
        let message = error?.message ?? ""
        #expect(
            message.hasPrefix(
                "\(changed) (without the last 10 %): differs from the text the run in \(run) was trained on (checksum ")
        )
        #expect(try workspace.read("run/weights.safetensors") == before)
    }

    @Test("A run of a model that the zoo does not have is named")
    func aRunOfAModelThatTheZooDoesNotHaveIsNamed() throws {
        try workspace.tinyTraining("run").lines()
        let path = workspace.path("run/config.json")
        let text = String(decoding: try workspace.read("run/config.json"), as: UTF8.self)
        try workspace.write(text.replacing("\"model\": \"flash\"", with: "\"model\": \"custom\""), "run/config.json")
        expectError(
            naming: "\(path)", "\"model\"", "expected one of \(Zoo.identifiers.joined(separator: ", "))",
            "\"custom\""
        ) { try GenerateCommand(source: ModelSource(run: workspace.path("run")), prompt: "x").run { _ in } }
    }
}

/// The bytes with the first occurrence of a text replaced by one of the same length.
private func replacing(_ data: Data, _ old: String, _ new: String) -> Data {
    var data = data
    if let range = data.range(of: Data(old.utf8)) { data.replaceSubrange(range, with: Data(new.utf8)) }
    return data
}
