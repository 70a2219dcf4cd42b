import Foundation
import ModelZoo
import Testing

/// What memories and states mean for the commands.
@Suite struct BlockRecurrentCommandTests {
    let workspace = try! Workspace()

    /// Blocks of 6 tokens, segments of 12, windows of 30: two segments, and a half that ends inside no block.
    private func training(_ order: String, steps: Int = 4, out: String = "run") throws -> TrainCommand {
        var command = try workspace.tinyTraining(out, steps: steps)
        (command.model, command.order, command.sequenceLength) = ("block-recurrent", order, 30)
        command.config = try workspace.write(
            "{\"num_tokens\": 256, \"dim\": 8, \"depth\": 2, \"heads\": 2, \"dim_head\": 4, \"block_width\": 6, "
                + "\"max_seq_len\": 12, \"num_state_vectors\": 3, \"qk_rmsnorm_scale\": 8, "
                + "\"xl_memories_dropout\": 0.3, \"state_dropout\": 0.3}", "block-recurrent.json")
        return command
    }

    private func evaluate(forgetting parts: [String] = [], carries: Bool? = nil) throws -> [String: JSONValue] {
        var printed = ""
        try EvaluateCommand(
            source: ModelSource(run: workspace.path("run")), data: [workspace.text()], carries: carries,
            forgotten: parts,
            json: true
        ).run(print: { printed = $0 })
        return try JSONValue(parsing: Data(printed.utf8), file: "printed").objectValue ?? [:]
    }

    /// Memories and states are part of what a run saves, also in the middle of blocks.
    @Test(arguments: ["random", "sequential"]) func aRunGoesOnAsIfItHadNotStopped(_ order: String) throws {
        try training(order, out: "whole").lines()
        try training(order, steps: 2, out: "part").lines()
        var rest = TrainCommand()
        (rest.resume, rest.steps) = (workspace.path("part"), 4)
        try rest.lines()
        #expect(try workspace.read("part/weights.safetensors") == workspace.read("whole/weights.safetensors"))
    }

    /// Each part is worth something else; without both nothing is carried.
    @Test func partsCanBeForgotten() throws {
        try training("sequential").lines()
        let all = try evaluate()
        let some = try [["states"], ["memories"], ["states", "memories"]].map { try evaluate(forgetting: $0) }
        let bits = ([all] + some).map { $0["bits_per_byte"]?.doubleValue ?? 0 }
        #expect(Set(bits).count == 4 && bits.allSatisfy { $0 > 0 })
        #expect(some.allSatisfy { $0["tokens"] == all["tokens"] })
        expectError(
            "--forget: expected some of states,memories, found \"state\"; did you mean \"states\"?"
        ) { try evaluate(forgetting: ["state"]) }
    }

    @Test func aTextGoesOnInAnotherProcess() throws {
        try training("sequential").lines()
        func generate(_ prompt: String, _ length: Int, save: String? = nil, load: String? = nil) throws -> String {
            var text = ""
            try GenerateCommand(
                source: ModelSource(run: workspace.path("run")), prompt: prompt, length: length,
                sampling: SamplingOptions(seed: 3), saveState: save.map { workspace.path($0) },
                loadState: load.map { workspace.path($0) }
            ).run { text += $0 }
            return text
        }
        let whole = try generate("the zoo is", 40)
        let parts = [
            try generate("the zoo is", 9, save: "first"), try generate("", 13, save: "second", load: "first"),
            try generate("", 18, load: "second"),
        ]
        #expect(parts.joined() == whole)
        let file = try SafetensorsFile(path: workspace.path("second"))
        let carried = ["memories.0", "memories.1", "blocks.0", "states.0"].map { "carry/" + $0 }
        #expect(Set(carried).isSubset(of: file.names))
    }

    @Test func whatItCannotLearnIsSaid() throws {
        var command = try training("random")
        (command.config, command.objective) = (nil, "masked")
        expectError(
            "--objective masked: block-recurrent transformers read from the left, and do not see what stands after a"
                + " hidden token; expected next-token or reverse"
        ) { try command.lines() }
        (command.objective, command.dropout) = (nil, 0.1)
        expectError(
            "--dropout: block-recurrent transformers have none (their configuration has xl_memories_dropout and"
                + " state_dropout)"
        ) { try command.lines() }
    }
}
