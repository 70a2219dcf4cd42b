import Foundation
import NN
import Synchronization
import Tensors
import Testing

@testable import Trainer

@Suite("Checkpoints after saves that succeed, are interrupted, or fail") struct CheckpointTests {
    let temporary = try! TemporaryFolder()

    /// Every step is validated and saved.
    func options(steps: Int = 6, keep: Int = 1) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, accumulate: 2, length: .steps(steps), learningRate: 1e-2,
            validateEvery: 1, validationShare: 0.2, sampleEvery: 0, saveEvery: 1, keepCheckpoints: keep, seed: 7)
    }

    func path(_ name: String) -> String { temporary.path + "/" + name }

    func begin(_ name: String, _ options: TrainingOptions) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            Bigram(dropout: 0.2), on: byteSplit(), tokenizer: ByteTokenizer(), options: options, folder: path(name),
            recording: writeReport)
    }

    func resume(_ name: String) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            resuming: RunFolder(path: path(name)), Bigram(dropout: 0.2, seed: 99), on: byteSplit(),
            tokenizer: ByteTokenizer(), recording: writeReport)
    }

    func bytes(_ file: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path(file))) }

    func weights(_ name: String, step: Int) throws -> Data {
        try bytes("\(name)/checkpoints/step-\(step)/weights.safetensors")
    }

    /// The step whose weights are those to use.
    func usedStep(_ name: String) throws -> String? {
        try SafetensorsFile(path: path("\(name)/weights.safetensors")).metadata["step"]
    }

    func names(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path(folder)).sorted()
    }

    // MARK: What is kept

    @Test("The best checkpoint is kept beside the newest ones, and the run's weights are the best")
    func theLatestTheBestAndTheNewestAreKept() throws {
        for keep in [1, 3, 100] {
            var options = options(steps: 12, keep: keep)
            // Far too fast: it does not improve with every step.
            (options.optimizer, options.learningRate) = (.sgd(), 60)
            let name = "keep-\(keep)"
            let run = try begin(name, options)
            try run.train()
            let validations = try MetricsLog.read(path: path(name + "/metrics.jsonl")).map {
                BestValidation(step: $0.step, bitsPerByte: $0.extra["validation_bits_per_byte"]!)
            }
            let best = try #require(validations.min { $0.bitsPerByte < $1.bitsPerByte })
            #expect(best.step < 10)  // or keeping it would be no feat
            #expect(run.best == best)
            #expect(try usedStep(name) == "\(best.step)")
            #expect(try weights(name, step: best.step) == bytes(name + "/weights.safetensors"))
            let kept = try #require([1: [best.step, 12], 3: [best.step, 11, 12], 100: Array(0...12)][keep])
            #expect(run.folder?.savedSteps == kept)
            let files = [
                ".lock", "checkpoints", "config.json", "metrics.jsonl", "report.html", "samples.jsonl",
                "weights.safetensors",
            ]
            #expect(try names(name) == files)
            #expect(try names(name + "/checkpoints").count == kept.count)
        }
    }

    @Test("A new best validation is saved at once, whatever the interval")
    func aBestValidationIsSavedBeforeItsTime() throws {
        var options = options(steps: 5)
        (options.saveEvery, options.validateEvery) = (100, 2)
        var saved: [Int] = []
        try begin("run", options).train { if case .saved(let step, _) = $0 { saved.append(step) } }
        #expect(saved == [2, 4, 5])
    }

    @Test("Without validation the run's weights are the latest")
    func withoutAValidationTheLatestWeightsAreUsed() throws {
        let run = try TrainingRun(
            Bigram(), on: byteSplit(validationFraction: 0), tokenizer: ByteTokenizer(), options: options(steps: 3),
            folder: path("run"))
        #expect(try usedStep("run") == "0")
        try run.train()
        #expect(try usedStep("run") == "3")
        #expect(run.folder?.savedSteps == [3])
    }

    @Test("A saved state restores counters, stream position, and carries to the bit")
    func aStateHasRoomForStreamsAndCarries() throws {
        let (model, folder) = (Bigram(), try RunFolder(creating: path("run")))
        let optimizer = Optimizer(model.trainable)
        let position = JSONValue.object(["epoch": .integer(2), "rows": .array([.integer(5), .string("é\n")])])
        let carry = Tensor([1, -0.0, .pi, .leastNonzeroMagnitude], shape: [2, 2])
        let state = TrainingState(
            step: 7, tokens: 70, seconds: 0.1, validation: 1 / 3,
            best: BestValidation(step: 7, bitsPerByte: 1 / 3), position: position, carries: ["memory.0": carry])
        try folder.save(model, optimizer, state, origin: RunOrigin(), keep: 1)
        let read = try folder.load(Bigram(seed: 5), Optimizer(Bigram().trainable))
        #expect((read.step, read.tokens, read.seconds) == (7, 70, 0.1))
        #expect((read.validation, read.best) == (1 / 3, state.best))
        #expect(read.position == position)
        #expect(read.carries.keys.sorted() == ["memory.0"])
        let found = try #require(read.carries["memory.0"])
        #expect(found.shape == [2, 2])
        #expect(found.values.map(\.bitPattern) == carry.values.map(\.bitPattern))
    }

    // MARK: A checkpoint of choice

    @Test("A run can be resumed from an earlier checkpoint, discarding later ones")
    func anEarlierCheckpointCanBeGoneOnFrom() throws {
        try begin("whole", options(keep: 100)).train()
        do { try begin("run", options(keep: 100)).train(until: 5) }
        // Its weights can be used by themselves, too.
        let chosen = try RunFolder(path: path("run/checkpoints/step-2/"))
        #expect(chosen.weightsPath == path("run/checkpoints/step-2/weights.safetensors"))
        #expect(chosen.metricsPath == path("run/metrics.jsonl"))
        let resumed = try resume("run/checkpoints/step-2")
        #expect(resumed.step == 2)
        #expect(resumed.folder?.path == path("run"))
        #expect(resumed.folder?.savedSteps == [0, 1, 2])
        #expect(try usedStep("run") == "2")
        try resumed.train()
        #expect(try weights("run", step: 6) == weights("whole", step: 6))
        #expect(try MetricsLog.read(path: path("run/metrics.jsonl")).map(\.step) == Array(1...6))
    }

    @Test("Later checkpoints stay if the new length leaves no step to make")
    func whereNoStepIsToBeMadeLaterCheckpointsStay() throws {
        do { try begin("run", options(keep: 100)).train() }
        let chosen = path("run/checkpoints/step-2")
        expectError(
            naming: "\(chosen)", "expected", "length.steps", "length.epochs", "length.minutes", "kept"
        ) {
            try TrainingRun(
                resuming: RunFolder(path: chosen), Bigram(), on: byteSplit(), tokenizer: ByteTokenizer()
            ) { $0.length = .steps(2) }
        }
        #expect(try RunFolder(path: path("run")).savedSteps == Array(0...6))
        #expect(try MetricsLog.read(path: path("run/metrics.jsonl")).count == 6)
    }

    @Test("A new length that is already reached is not saved in the configuration")
    func aLengthThatIsReachedAlreadyIsNotKept() throws {
        do { try begin("run", options()).train(until: 4) }
        func resume(_ steps: Int) throws -> TrainingRun<Bigram> {
            try TrainingRun(
                resuming: RunFolder(path: path("run")), Bigram(), on: byteSplit(), tokenizer: ByteTokenizer()
            ) { $0.length = .steps(steps) }
        }
        #expect(try resume(3).isFinished)
        #expect(try RunFolder(path: path("run")).configuration().training.length == .steps(6))
        #expect(try !resume(5).isFinished)
        #expect(try RunFolder(path: path("run")).configuration().training.length == .steps(5))
    }

    @Test("An empty folder name is refused")
    func anEmptyNameIsNotTheRootFolder() {
        let message = "the name of a run's folder is empty; expected a folder"
        expectError(message) { try RunFolder(creating: "") }
        expectError(message) { try RunFolder(path: "") }
    }

    @Test("A missing checkpoint or run folder is named")
    func aCheckpointThatIsNotThereIsNamed() throws {
        do { try begin("run", options()).train(until: 2) }
        expectError(naming: "\(path("run/checkpoints/step-7/state.safetensors"))", "No such file or directory") {
            try resume("run/checkpoints/step-7")
        }
        expectError(naming: "\(path("none/checkpoints/step-7"))", "no run folder", "config.json") {
            try resume("none/checkpoints/step-7")
        }
    }
}
