import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct FreezingTests {
    let temporary = try! TemporaryFolder()

    func options(_ steps: Int) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, length: .steps(steps), optimizer: .adamW(weightDecay: 0.1),
            learningRate: 1e-2, validateEvery: 0, sampleEvery: 0, saveEvery: 2, seed: 7)
    }

    func run(_ name: String, _ model: Bigram, steps: Int) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            model, on: byteSplit(), tokenizer: ByteTokenizer(), options: options(steps),
            folder: temporary.path + "/" + name, origin: RunOrigin(model: "bigram"))
    }

    func resume(_ name: String, _ model: Bigram, steps: Int) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            resuming: RunFolder(path: temporary.path + "/" + name), model, on: byteSplit(), tokenizer: ByteTokenizer()
        ) { $0.length = .steps(steps) }
    }

    @Test("Training leaves frozen parameters alone and keeps no state of them") func training() throws {
        let model = Bigram(dropout: 0.2)
        try model.freeze(matching: "table.*")
        let before = model.table.weight.value.values
        let run = try run("frozen", model, steps: 2)
        try run.train()
        #expect(model.table.weight.value.values == before)
        #expect(model.output.weight.value.values != Bigram().output.weight.value.values)
        #expect(run.optimizer.slots.map(\.key) == ["output.weight", "output.bias"])
        let state = try SafetensorsFile(path: temporary.path + "/frozen/checkpoints/step-2/state.safetensors")
        #expect(!state.names.contains { $0.contains("table") })
        #expect(state.names.contains("first_moment/output.weight"))
    }

    @Test("A resumed run freezes what was frozen, and ends with the same bits") func resuming() throws {
        let whole = Bigram(dropout: 0.2)
        try whole.freeze(matching: "table.*")
        try run("whole", whole, steps: 4).train()

        let first = Bigram(dropout: 0.2)
        try first.freeze(matching: "table.*")
        try run("parts", first, steps: 2).train()
        // Frozen otherwise, as if by mistake: the run's own choice counts.
        let second = Bigram(dropout: 0.2, seed: 99)
        try second.freeze(matching: "output.*")
        try resume("parts", second, steps: 4).train()
        #expect(second.frozenKeys == ["table.weight"])
        #expect(second.state.map(\.parameter.value.values) == whole.state.map(\.parameter.value.values))
    }

    @Test("A model that is frozen whole is refused") func nothingToTrain() throws {
        let model = Bigram()
        try model.freeze(matching: "*")
        let error = #expect(throws: InputError.self) { try run("none", model, steps: 2) }
        #expect(error?.message.contains("frozen") == true)
    }

    @Test("Weight decay is kept from what is named, unless a group has its own") func withoutDecay() {
        let model = Bigram()
        let optimizer = Optimizer(
            model.trainable, .adamW(weightDecay: 0.5), groups: [ParameterGroup("output.bias", weightDecay: 0.25)],
            withoutDecay: model.withoutDecay)
        #expect(optimizer.slots.map(\.key) == ["table.weight", "output.weight", "output.bias"])
        #expect(optimizer.slots.map(\.weightDecay) == [0, 0.5, 0.25])
    }
}
