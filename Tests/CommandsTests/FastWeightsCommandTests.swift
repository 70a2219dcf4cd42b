import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// Commands on a model whose memory passes between segments.
@Suite struct FastWeightsCommandTests {
    let workspace = try! Workspace()

    private func training(_ order: String) throws -> Train {
        var command = try workspace.tinyTraining("run", steps: 3)
        (command.model, command.order) = ("fast-weights", order)
        command.config = try workspace.write(
            "{\"n_vocab\": 256, \"d_model\": 8, \"heads\": 2, \"d_ff\": 8, \"n_layers\": 1}", "fast-weights.json")
        return command
    }

    private func evaluate(_ carries: Bool? = nil) throws -> [String: JSONValue] {
        var printed = ""
        let source = ModelSource(run: workspace.path("run"))
        try EvaluateCommand(source: source, data: [workspace.text()], carries: carries, json: true)
            .run(print: { printed = $0 })
        return try JSONValue(parsing: Data(printed.utf8), file: "printed").objectValue ?? [:]
    }

    @Test(
        "A run is evaluated with the carry it was trained with, unless an option overrides it",
        arguments: ["random", "sequential"])
    func isEvaluatedAsItWasTrained(_ order: String) throws {
        try training(order).lines()
        let (usual, carried, fresh) = (try evaluate(), try evaluate(true), try evaluate(false))
        #expect(usual == (order == "sequential" ? carried : fresh))
        #expect(carried["carry"] == .bool(true) && fresh["carry"] == .bool(false))
        #expect(carried["bits_per_byte"] != fresh["bits_per_byte"] && carried["tokens"] == fresh["tokens"])
    }

    @Test("The carry option is refused for models without a carry", arguments: ["flash", "softmax"])
    func onlyWhatCarriesCanCarry(_ model: String) throws {
        var command = try training("random")
        if model == "flash" {
            (command.model, command.config) = (model, nil)
        } else {
            command.config = try workspace.write(
                "{\"n_vocab\": 256, \"d_model\": 8, \"heads\": 2, \"feature_map\": \"softmax\"}", "softmax.json")
        }
        try command.lines()
        expectError("--carry: the model carries nothing from window to window") { try evaluate(true) }
        #expect(try evaluate() == evaluate(false))
    }

    @Test("Weights from elsewhere are evaluated without a carry")
    func weightsAreEvaluatedInWindows() throws {
        try training("random").lines()
        let source = ModelSource(
            model: "fast-weights", config: workspace.path("fast-weights.json"),
            weights: workspace.path("run") + "/weights.safetensors")
        var printed = ""
        try EvaluateCommand(source: source, data: [workspace.text()], json: true).run(print: { printed = $0 })
        #expect(printed.contains("\"carry\": false"))
    }

    // MARK: Texts that go on

    private func generate(
        _ prompt: String, _ length: Int, save: String? = nil, load: String? = nil, run: String = "run"
    ) throws -> String {
        var text = ""
        try GenerateCommand(
            source: ModelSource(run: workspace.path(run)), prompt: prompt, length: length,
            sampling: SamplingOptions(seed: 3), saveState: save.map { workspace.path($0) },
            loadState: load.map { workspace.path($0) }
        ).run { text += $0 }
        return text
    }

    @Test("A text is continued by another process")
    func aTextGoesOnInAnotherProcess() throws {
        try training("random").lines()
        let whole = try generate("the zoo", 60)
        let parts = [
            try generate("the zoo", 25, save: "first"), try generate("", 5, save: "second", load: "first"),
            try generate("", 30, load: "second"),
        ]
        #expect(parts.joined() == whole)
        // A file is there to go on from more than once, and a prompt comes after what was generated.
        #expect(try generate("", 35, load: "first") == parts[1] + parts[2])
        #expect(try generate(" is open", 35, load: "first") != parts[1] + parts[2])

        // Processes write bytes, where a text may be cut within a character.
        let options = ["--run", workspace.path("run"), "--seed", "3"]
        var written = Data()
        for arguments in [
            ["--length", "25", "--prompt", "the zoo", "--save-state", "s"], ["--length", "35", "--load-state", "s"],
        ] {
            let outcome = try workspace.run("Generate", options + arguments)
            #expect(outcome.code == 0 && outcome.error == "")
            written += try workspace.read("out")
        }
        var bytes = Data()
        try GenerateCommand(
            source: ModelSource(run: workspace.path("run")), prompt: "the zoo", length: 60,
            sampling: SamplingOptions(seed: 3)
        ).runForBytes { bytes += $0 }
        #expect(written == bytes && String(decoding: bytes, as: UTF8.self) == whole)
    }

    @Test("A text that cannot be continued is refused")
    func aTextThatCannotGoOnIsRefused() throws {
        var softmax = try training("random")
        softmax.config = try workspace.write(
            "{\"n_vocab\": 256, \"d_model\": 8, \"heads\": 2, \"feature_map\": \"softmax\"}", "softmax.json")
        softmax.out = workspace.path("softmax")
        try softmax.lines()
        expectError("--save-state: the decoding state of this model cannot be saved (fast-weights)") {
            try generate("x", 5, save: "x", run: "softmax")
        }
        try training("random").lines()
        _ = try generate("the zoo", 5, save: "state")
        func expectRefusal(
            _ message: String, load: String? = "state", save: String? = nil, run: String = "run",
            location: SourceLocation = #_sourceLocation
        ) {
            expectError(message, sourceLocation: location) { try generate("x", 5, save: save, load: load, run: run) }
        }
        let state = workspace.path("state")
        try workspace.tinyTraining("flash").lines()
        expectRefusal("--load-state: the decoding state of this model cannot be saved (flash)", run: "flash")
        expectRefusal(
            "--save-state: the decoding state of this model cannot be saved (flash)", load: nil, save: "x", run: "flash"
        )
        var other = try training("random")
        (other.out, other.seed) = (workspace.path("other"), 9)
        try other.lines()
        let error = #expect(throws: InputError.self) { try generate("", 5, load: "state", run: "other") }
        #expect(error?.message.hasPrefix("\(state): was saved with other weights (checksum ") ?? false)
        (other.out, other.tokenizer) = (workspace.path("characters"), "characters")
        try other.lines()
        expectRefusal(
            "\(state): was saved with the tokenizer bytes; expected the tokenizer characters", run: "characters")
        (other.out, other.tokenizer, other.objective) = (workspace.path("reverse"), nil, "reverse")
        other.config = try workspace.write(
            "{\"n_vocab\": 257, \"d_model\": 8, \"heads\": 2, \"d_ff\": 8, \"n_layers\": 1}", "reverse.json")
        try other.lines()
        expectRefusal(
            "--load-state: the model answers whole prompts; expected one that continues them", run: "reverse")
        let weights = workspace.path("run/weights.safetensors")
        expectRefusal(
            "\(weights): its metadata do not say \"tokenizer\"; expected the saved state of a text",
            load: "run/weights.safetensors")
        expectRefusal("\(workspace.path("none")): cannot be read: No such file or directory", load: "none")
        let before = try workspace.read("state")
        expectRefusal(
            "\(workspace.path("none/x")): cannot be written: No such file or directory", save: "none/x")
        #expect(try workspace.read("state") == before)
        expectError(naming: "prompt", "empty", "--prompt", "--prompt-file", "standard input") {
            try generate("", 5, save: "x")
        }
    }

    // MARK: Streams

    /// Fast weights keep everything in one memory.
    @Test("Models without parts of a carry have nothing to forget")
    func thereIsNothingToForgetApart() throws {
        try training("sequential").lines()
        func evaluate(_ model: String = "run", carries: Bool? = nil, batch: String? = nil) throws {
            try EvaluateCommand(
                source: ModelSource(run: workspace.path(model)), data: batch == nil ? [workspace.text()] : [],
                carries: carries, forgotten: ["states"], batch: batch
            ).run(print: { _ in })
        }
        expectError(naming: "--forget", "expected --no-carry") {
            try evaluate()
        }
        expectError("--forget: cannot be combined with --batch") { try evaluate(batch: "batch") }
        try workspace.tinyTraining("flash").lines()
        expectError("--forget: the model carries nothing from window to window") { try evaluate("flash") }
    }

    @Test("A resumed run on streams equals the uninterrupted one, memory included")
    func streamsGoOnWhereTheyStopped() throws {
        var command = try training("sequential")
        (command.steps, command.out) = (4, workspace.path("whole"))
        try command.lines()
        (command.steps, command.out) = (2, workspace.path("run"))
        try command.lines()
        var resumed = try! Train.parse([])
        (resumed.resume, resumed.steps) = (workspace.path("run"), 4)
        try resumed.lines()
        let weights = try ["whole", "run"].map {
            try Data(contentsOf: URL(fileURLWithPath: workspace.path($0) + "/weights.safetensors"))
        }
        #expect(weights[0] == weights[1])
    }
}
