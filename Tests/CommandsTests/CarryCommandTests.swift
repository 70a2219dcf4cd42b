import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// A carry of several parts, memories and states, in the commands that read and generate: windows and batches are read in
/// segments, and both parts go on from one to the next.
@Suite struct CarryCommandTests {
    let workspace = try! Workspace()

    /// Windows of two segments of two blocks.
    private func training() throws -> Train {
        var command = try workspace.tinyTraining("run", steps: 3)
        (command.model, command.order) = ("block-recurrent", "sequential")
        command.config = try workspace.write(
            "{\"num_tokens\": 256, \"dim\": 8, \"depth\": 2, \"dim_head\": 4, \"heads\": 2, \"max_seq_len\": 8,"
                + " \"block_width\": 4, \"num_state_vectors\": 3}", "block-recurrent.json")
        return command
    }

    private func evaluation(
        _ forgotten: [String] = [], carries: Bool? = nil, json: Bool = true
    ) throws -> EvaluateCommand {
        EvaluateCommand(
            source: ModelSource(run: workspace.path("run")), data: [try workspace.text()], sequenceLength: 8,
            batchSize: 1, carries: carries, forgotten: forgotten, json: json)
    }

    private func members(_ command: EvaluateCommand) throws -> [String: JSONValue] {
        var printed = ""
        try command.run(print: { printed = $0 })
        return try #require(JSONValue(parsing: printed.utf8, file: "printed").objectValue)
    }

    @Test("Evaluation forgets the named parts of the carry")
    func partsOfWhatIsCarriedAreForgotten() throws {
        try training().lines()
        let parts = [[], ["states"], ["memories"], ["states", "memories"]]
        let results = try parts.map { try members(evaluation($0)) }
        #expect(Set(results.map { $0["loss"]?.doubleValue }).count == 4)
        for (names, result) in zip(parts, results) {
            #expect(result["forgets"] == (names.isEmpty ? nil : .array(names.map { .string($0) })))
            #expect(result["carry"] == .bool(true))
        }
        // Where segments end with a block, nothing else is carried.
        #expect(try members(evaluation(carries: false))["loss"] == results[3]["loss"])
        var lines = ""
        try evaluation(["states", "memories"], json: false).run(print: { lines = $0 })
        #expect(
            lines.contains(
                " predicted, in consecutive windows of 8, each going on from the one before without its states and memories"
            ))
        #expect(try members(evaluation(["states", "states"])) == results[1])
        expectError(naming: "--forget", "expected", "states", "memories", "\"state\"", "did you mean", "\"states\"") {
            try evaluation(["state"]).run(print: { _ in })
        }
        expectError(
            naming: "--forget", "expected", "--carry", "--order sequential"
        ) { try evaluation(["states"], carries: false).run(print: { _ in }) }
    }

    private func generate(_ prompt: String, _ length: Int, save: String? = nil, load: String? = nil) throws -> String {
        var text = ""
        try GenerateCommand(
            source: ModelSource(run: workspace.path("run")), prompt: prompt, length: length,
            sampling: SamplingOptions(seed: 3), saveState: save.map { workspace.path($0) },
            loadState: load.map { workspace.path($0) }
        ).run { text += $0 }
        return text
    }

    @Test("A state that cannot be written is refused before anything is generated")
    func aStateThatCannotBeSavedIsRefusedAtOnce() throws {
        try training().lines()
        let path = workspace.path("missing/state")
        var text = ""
        expectError("\(path): cannot be written: No such file or directory") {
            try GenerateCommand(
                source: ModelSource(run: workspace.path("run")), prompt: "z", length: 3, saveState: path
            ).run { text += $0 }
        }
        #expect(text.isEmpty)
    }

    /// In the middle of a block and at its end, before and after the first states.
    @Test("A text is continued by another process at any cut")
    func aTextGoesOnInAnotherProcess() throws {
        try training().lines()
        let whole = try generate("z", 40)
        for cut in [1, 2, 3, 4, 7, 8, 9, 23] {
            #expect(try generate("z", cut, save: "state") + generate("", 40 - cut, load: "state") == whole, "\(cut)")
        }
        let state = workspace.path("state")
        let weights = workspace.path("run/weights.safetensors")
        expectError(naming: "\(state)", "block-recurrent", "expected", "fast-weights") {
            try FastWeightsLM(FastWeightsConfiguration(tokens: 256, width: 8), key: RandomKey(seed: 1))
                .loadGenerationState(from: state, origin: ["model": "fast-weights"])
        }
        expectError(
            naming: "\(weights)", "\"tokenizer\"", "expected the saved state of a text"
        ) {
            try generate("", 1, load: "run/weights.safetensors")
        }
    }

    @Test("The logits of a batch longer than a segment are those of reading token by token")
    func aBatchIsReadInSegments() throws {
        try training().lines()
        let tokens = (0..<19).map { Int32($0 * $0 % 256) }
        var writer = SafetensorsWriter()
        try writer.add("tokens", TokenTensor(tokens, shape: [1, 19]))
        try writer.add("targets", TokenTensor(Array(tokens.dropFirst()) + [-100], shape: [1, 19]))
        try writer.write(to: workspace.path("batch"))
        let source = ModelSource(
            model: "block-recurrent", config: workspace.path("block-recurrent.json"),
            weights: workspace.path("run/weights.safetensors"))
        try EvaluateCommand(
            source: source, batch: workspace.path("batch"), output: workspace.path("output"), gradients: true
        ).run(print: { _ in })
        let output = try SafetensorsFile(path: workspace.path("output"))
        let model = BlockRecurrentTransformer(
            try BlockRecurrentConfiguration(
                JSONValue(parsing: workspace.read("block-recurrent.json"), file: "config"), file: "config"),
            key: RandomKey(seed: 1))
        try model.load(from: source.weights!)
        let logits = try output.tensor("logits")
        #expect(logits.shape == [1, 19, 256])
        var states = [model.startDecoding()]
        for (place, token) in tokens.enumerated() {
            let expected = model.decode([[token]], states: &states).values
            // Logits near 1 in another order of sums.
            #expect(zip(logits.at(0, 0).at(0, place).values, expected).allSatisfy { abs($0 - $1) < 1e-5 }, "\(place)")
        }
        #expect(try output.tensor("gradients/token_emb.weight").values.contains { $0 != 0 })
    }
}
