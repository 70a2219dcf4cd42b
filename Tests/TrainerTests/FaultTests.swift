import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// Numbers that are not finite, and files that cannot be written.
@Suite struct FaultTests {
    let temporary = try! TemporaryFolder()
    var path: String { temporary.path + "/run" }

    func options(keep: Int = 1) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, length: .steps(50), optimizer: .sgd(), learningRate: 0.5,
            validateEvery: 0, sampleEvery: 0, saveEvery: 2, keepCheckpoints: keep, seed: 7)
    }

    func begin(_ options: TrainingOptions, _ model: Bigram = Bigram()) throws -> TrainingRun<Bigram> {
        try TrainingRun(model, on: byteSplit(), tokenizer: ByteTokenizer(), options: options, folder: path)
    }

    /// Trains until the fault, having changed a parameter's element after a step.
    func fault(
        _ run: TrainingRun<Bigram>, setting value: Float, of key: String, after step: Int
    ) throws -> TrainingFault {
        try run.train(until: step)
        let parameter = try #require(run.model.state.first { $0.key == key }).parameter
        // The space, which every window has.
        parameter.value.mutablePointer[32 * (parameter.count / 256)] = value
        let before = run.model.state.map(\.parameter.value.values)
        let fault = try #require(throws: TrainingFault.self) { try run.train() }
        #expect(fault.kind == .notFinite)
        #expect(!fault.message.contains("\n"))
        // Neither weights nor the count of steps: the optimiser was not asked. NaN does not equal itself.
        for (old, new) in zip(before, run.model.state.map(\.parameter.value.values)) {
            #expect(old.map(\.bitPattern) == new.map(\.bitPattern))
        }
        #expect(run.step == step)
        return fault
    }

    @Test("The first parameter that is not finite is named")
    func theFirstParameterThatWentBadIsNamed() throws {
        let run = try begin(options())
        let fault = try fault(run, setting: .infinity, of: "output.bias", after: 2)
        #expect(fault.message.hasPrefix("after step 2: the parameter output.bias holds inf; "))
        #expect(try MetricsLog.read(path: path + "/metrics.jsonl").count == 2)
        // What was saved is from before.
        #expect(
            try SafetensorsFile(path: path + "/weights.safetensors").tensor("output.bias").values.allSatisfy(\.isFinite)
        )
    }

    @Test("A gradient is named if all weights are finite")
    func aGradientIsNamedWhereAllWeightsAreFinite() throws {
        // Scores so large that their differences overflow in the gradient of the table, while weights and loss do not.
        let run = try begin(options())
        try run.train(until: 2)
        let weight = try #require(run.model.state.first { $0.key == "output.weight" }).parameter
        for i in 0..<weight.count { weight.value.mutablePointer[i] *= 1e38 / 8 }
        let table = try #require(run.model.state.first { $0.key == "table.weight" }).parameter
        for i in 0..<table.count { table.value.mutablePointer[i] *= 1e-37 }
        let fault = try #require(throws: TrainingFault.self) { try run.train() }
        #expect(fault.kind == .notFinite)
        #expect(fault.message.contains("; the gradient of table.weight holds "), "\(fault.message)")
        let largest = weight.value.values.map(abs).max()!
        #expect(
            fault.message.contains(", while weights are finite, the largest of them \(largest) in output.weight; "),
            "\(fault.message)")
    }

    @Test("An earlier checkpoint is proposed if the latest one would reproduce the fault")
    func theWayOnIsAnEarlierCheckpointWhereTheLatestGivesTheSameAgain() throws {
        var options = options(keep: 2)
        options.saveEvery = 1
        options.learningRate = 1e30
        let run = try begin(options)
        let fault = try #require(throws: TrainingFault.self) { try run.train() }
        #expect(fault.kind == .notFinite)
        let step = run.step
        #expect(
            fault.message.hasSuffix(
                "; the same would come again from step \(step): go on from an earlier one with"
                    + " TrainingRun(resuming: \(path)/checkpoints/step-\(step - 1)) and learningRate 5e+29, or with a lower clip"
            ),
            "\(fault.message)")
        #expect(run.folder?.savedSteps == [step - 1, step])
        #expect(run.model.state.allSatisfy { $0.parameter.value.values.allSatisfy(\.isFinite) })
    }

    @Test("The latest checkpoint is proposed if steps followed it")
    func theWayOnIsTheLatestCheckpointWhereStepsFollowedIt() throws {
        let run = try begin(options())
        // Saved after step 2; goes wrong after 3. A stop would save it.
        let parameter = run.model.table.weight
        let fault = try #require(throws: TrainingFault.self) {
            try run.train {
                if case .step(let metrics, _) = $0, metrics.step == 3 { parameter.value.mutablePointer[32 * 8] = .nan }
            }
        }
        #expect(
            fault.message
                == "after step 3: the parameter table.weight holds nan; step 2 is saved: go on from it with"
                + " TrainingRun(resuming: \(path)) and learningRate 0.25, or with a lower clip")
    }

    @Test("Weights that are not finite are not saved")
    func weightsThatAreNotFiniteAreNotSaved() throws {
        let run = try begin(options())
        try run.train(until: 2)
        run.model.table.weight.value.mutablePointer[7] = -.infinity
        let fault = try #require(throws: TrainingFault.self) { try run.save() }
        #expect(fault.message.hasPrefix("after step 2: the parameter table.weight holds -inf; "))
        #expect(fault.message.hasSuffix("or longer warmupSteps"))
    }

    @Test("A validation loss that is not finite is a fault")
    func aValidationThatIsNotFiniteIsAFault() throws {
        var options = options()
        options.validateEvery = 3
        // A token that only the validation has.
        let text = String(repeating: "the zoo is open. ", count: 40)
        let split = try DataSplit(
            training: ByteTokenizer().tokens(of: TextSource(text, name: "a")),
            validation: ByteTokenizer().tokens(of: TextSource(text + "QQQQ", name: "b")),
            sequenceLength: 16)
        let model = Bigram()
        model.table.weight.value.mutablePointer[81 * 8] = .nan
        let other = try TrainingRun(model, on: split, tokenizer: ByteTokenizer(), options: options)
        let fault = try #require(throws: TrainingFault.self) { try other.train() }
        #expect(
            fault.message
                == "after step 3: the parameter table.weight holds nan; try a lower learning rate, or clipping")
    }

    // MARK: Files

    @Test("A folder that cannot be written is named, and the run can be resumed once it is back")
    func aFolderThatIsGoneIsNamed() throws {
        let run = try begin(options())
        try run.train(until: 2)
        try FileManager.default.moveItem(atPath: path + "/checkpoints", toPath: path + "/elsewhere")
        try temporary.write("a file", "run/checkpoints")
        let error = try #require(throws: InputError.self) { try run.train() }
        #expect(error.message == "\(path)/checkpoints/step-4: cannot be written: Not a directory")
        _ = consume run
        try FileManager.default.removeItem(atPath: path + "/checkpoints")
        try FileManager.default.moveItem(atPath: path + "/elsewhere", toPath: path + "/checkpoints")
        let resumed = try TrainingRun(
            resuming: RunFolder(path: path), Bigram(), on: byteSplit(), tokenizer: ByteTokenizer())
        #expect(resumed.step == 2)
    }
}
