import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

@Suite("Memories and states in the commands") struct BlockRecurrentCommandTests {
    let workspace = try! Workspace()

    /// Blocks of 6 tokens, segments of 12, windows of 28: two segments, and a part that ends inside a block.
    private func training(_ order: String, steps: Int = 4, out: String = "run") throws -> Train {
        var command = try workspace.tinyTraining(out, steps: steps)
        (command.model, command.order, command.sequenceLength) = ("block-recurrent", order, 28)
        command.config = try workspace.write(
            "{\"num_tokens\": 256, \"dim\": 8, \"depth\": 2, \"heads\": 2, \"dim_head\": 4, \"block_width\": 6, "
                + "\"max_seq_len\": 12, \"num_state_vectors\": 3, \"qk_rmsnorm_scale\": 8, "
                + "\"xl_memories_dropout\": 0.3, \"state_dropout\": 0.3}", "block-recurrent.json")
        return command
    }

    /// Also in the middle of blocks.
    @Test(
        "A resumed run equals the uninterrupted one, memories and states included",
        arguments: ["random", "sequential"])
    func aRunGoesOnAsIfItHadNotStopped(_ order: String) throws {
        try training(order, out: "whole").lines()
        try training(order, steps: 2, out: "part").lines()
        var rest = try! Train.parse([])
        (rest.resume, rest.steps) = (workspace.path("part"), 4)
        try rest.lines()
        #expect(try workspace.read("part/weights.safetensors") == workspace.read("whole/weights.safetensors"))
        let saved = try SafetensorsFile(path: workspace.path("part/checkpoints/step-4/state.safetensors"))
        for name in ["memories.1", "blocks.0", "states.0"] {
            #expect(saved.names.contains { $0.hasSuffix("1/" + name) } == (order == "sequential"), "\(name)")
        }
    }

    @Test("The reference preset has the numbers of the peer's training script")
    func theReferenceIsThePeers() throws {
        let preset = try BlockRecurrentArchitecture().preset("reference")
        let c = preset.configuration
        let sizes: [Int] = [c.tokens, c.dimension, c.depth, c.heads, c.headDimension, c.maximumLength, c.blockWidth]
        #expect(sizes == [256, 512, 6, 8, 64, 1024, 512] as [Int])
        #expect(c.stateVectors == nil && c.recurrentLayers == [4])
        #expect(c.memoriesDropout == 0.1 && c.stateDropout == 0.1 && c.normalizedScale == nil)
        let training = preset.training
        #expect(training.batchSize == 4 && training.sequenceLength == 2048 && training.accumulate == 4)
        #expect(training.learningRate == 1e-4 && training.clip == 0.5)
        #expect(training.order == .random)
    }

    /// States that begin alike hold one vector, and those of the first layer no pairs of tokens: the model card.
    @Test("The memory preset has states that begin apart, above the first layer, and learns on streams")
    func theMemoryPresetKeepsStatesApart() throws {
        let preset = try BlockRecurrentArchitecture().preset("memory")
        let c = preset.configuration
        #expect(try #require(c.recurrentLayers).allSatisfy { $0 > 1 })
        #expect(c.normalizedScale == 16 && c.identifierScale == 3 && c.gate == .lstm && c.forgetBias == 3)
        #expect(c.maximumLength == 8 * c.blockWidth)
        #expect(preset.training.order == .sequential && preset.training.clip == 0.5)
        let model = BlockRecurrentArchitecture().makeModel(c, key: RandomKey(seed: 1))
        #expect(model.carriesState && model.vocabularySize == 256)
    }

    @Test("Objectives and options that the model does not have are refused")
    func whatItCannotLearnIsSaid() throws {
        var command = try training("random")
        (command.config, command.objective) = (nil, "masked")
        expectError(
            naming: "--objective masked", "block-recurrent", "next-token", "reverse"
        ) { try command.lines() }
        (command.objective, command.dropout) = (nil, 0.1)
        expectError(
            naming: "--dropout", "block-recurrent", "xl_memories_dropout", "state_dropout"
        ) { try command.lines() }
    }
}
