import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct TrainingRunTests {
    let tokenizer = ByteTokenizer()

    /// Small and busy: accumulation, clipping, warm-up, cosine, everything at intervals.
    func options(steps: Int = 6) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, accumulate: 2, length: .steps(steps), optimizer: .adamW(),
            learningRate: 1e-2,
            schedule: .cosine, warmupSteps: 2, clip: 0.5, validateEvery: 2, sampleEvery: 4, sampleLength: 5,
            saveEvery: 3,
            seed: 7)
    }

    func weights(_ model: some Module) -> [[Float]] { model.state.map(\.parameter.value.values) }

    // MARK: The steps

    @Test("A step over several batches equals one over all their windows at once")
    func aStepIsTheGradientOfTheMeanLossOfAllItsBatches() throws {
        // One step of SGD over 2 batches of 2 windows against one over their 4 windows at once.
        var options = options(steps: 1)
        (options.optimizer, options.schedule, options.warmupSteps, options.clip) = (.sgd(), .constant, 0, nil)
        let model = Bigram()
        try TrainingRun(model, on: byteSplit(), tokenizer: tokenizer, options: options).train()
        let other = Bigram()
        (options.accumulate, options.batchSize) = (1, 4)
        try TrainingRun(other, on: byteSplit(), tokenizer: tokenizer, options: options).train()
        for (a, b) in zip(weights(model).joined(), weights(other).joined()) {
            #expect(abs(a - b) <= 1e-6)  // sums of float32 in another order; weights are of order 1
        }
        #expect(weights(model) != weights(Bigram()))
    }

    @Test("The update follows the schedule and the clipping")
    func theUpdateFollowsTheScheduleAndTheClipping() throws {
        let model = Bigram()
        var options = options(steps: 1)
        (options.optimizer, options.warmupSteps, options.schedule) = (.sgd(), 4, .constant)
        (options.learningRate, options.clip) = (0.8, 1e-3)
        var seen: StepMetrics?
        try TrainingRun(model, on: byteSplit(), tokenizer: tokenizer, options: options).train {
            if case .step(let metrics, _) = $0 { seen = metrics }
        }
        let metrics = try #require(seen)
        #expect(metrics.learningRate == 0.2)
        #expect(metrics.gradientNorm > 1e-2)
        // Clipped to a norm of 1e-3, the whole step is as long as that times the learning rate.
        let moved = zip(weights(model).joined(), weights(Bigram()).joined()).reduce(0.0) {
            $0 + pow(Double($1.0) - Double($1.1), 2)
        }
        #expect(abs(moved.squareRoot() - 0.2e-3) <= 0.02 * 0.2e-3)  // weights of order 1 round to 6e-8 each
    }

    @Test("Training lowers the loss to what a bigram can reach")
    func trainingLearns() throws {
        let model = Bigram()
        var losses: [Double] = []
        let options = TrainingOptions(
            sequenceLength: 32, batchSize: 8, length: .steps(150), learningRate: 3e-2, validateEvery: 0, sampleEvery: 0)
        try TrainingRun(model, on: byteSplit(sequenceLength: 32), tokenizer: tokenizer, options: options).train {
            if case .step(let metrics, _) = $0 { losses.append(metrics.loss) }
        }
        #expect(losses[0] > 5)  // ln 256 = 5.5 and some
        // Within words the next letter is nearly certain; a bigram of this text has 0.9 nats.
        #expect(losses.last! < 1.5)
    }

    @Test("The same seed gives the same bits and another seed others")
    func theSameSeedGivesTheSameBitsAndAnotherSeedOthers() throws {
        func train(seed: UInt64) throws -> [[Float]] {
            let model = Bigram(dropout: 0.2)
            var options = options(steps: 3)
            options.seed = seed
            try TrainingRun(model, on: byteSplit(), tokenizer: tokenizer, options: options).train()
            return weights(model)
        }
        #expect(try train(seed: 7) == train(seed: 7))
        #expect(try train(seed: 7) != train(seed: 8))
    }

    @Test("A window cut into segments trains as the whole window does")
    func aCarryPassesThroughTheSegmentsOfAWindow() throws {
        // Segments of at most 5 of 16 tokens, with what they carry, are the whole window.
        var options = options(steps: 3)
        options.optimizer = .sgd()
        let (whole, cut) = (Trigram(), Trigram(maximumLength: 5))
        try TrainingRun(whole, on: byteSplit(), tokenizer: tokenizer, options: options).train()
        try TrainingRun(cut, on: byteSplit(), tokenizer: tokenizer, options: options).train()
        for (a, b) in zip(weights(whole).joined(), weights(cut).joined()) {
            #expect(abs(a - b) <= 1e-6)  // sums of float32 in another order; weights are of order 1
        }
    }

    // MARK: Ends and intervals

    @Test("Validations, samples, and saves come at their intervals")
    func whatHappensHappensAtItsIntervals() throws {
        let folder = try TemporaryFolder()
        var (validated, sampled, saved, steps): ([Int], [Int], [Int], [Int]) = ([], [], [], [])
        var options = options(steps: 7)
        options.validateEvery = 3
        let run = try TrainingRun(
            Bigram(), on: byteSplit(), tokenizer: tokenizer, options: options, folder: folder.path + "/run")
        try run.train { event in
            switch event {
            case .step(let metrics, let total):
                #expect(total == 7)
                #expect(metrics.tokens == metrics.step * 64)
                steps.append(metrics.step)
                if metrics.extra["validation_bits_per_byte"] != nil { validated.append(metrics.step) }
            case .sample(let step, let prompt, let text):
                #expect(prompt.utf8.count == 32)
                #expect(!text.isEmpty)
                sampled.append(step)
            case .saved(let step, _): saved.append(step)
            case .started, .finished, .warning, .interrupted: break
            }
        }
        #expect(steps == Array(1...7))
        #expect(validated == [3, 6, 7])
        #expect(sampled == [4])
        #expect(saved == [3, 6, 7])  // due, and each the best so far
        #expect(run.isFinished)
        let log = try MetricsLog.read(path: folder.path + "/run/metrics.jsonl")
        #expect(log.map(\.step) == steps)
        #expect(log[2].extra.keys.sorted() == ["validation_bits_per_byte", "validation_loss"])
    }

    @Test("A sample fits a model of short sequences", arguments: [1, 16, 32])
    func aSampleFitsAModelOfShortSequences(most: Int) throws {
        var options = options(steps: 2)
        (options.sequenceLength, options.sampleEvery, options.warmupSteps) = (most, 2, 1)
        var prompts: [String] = []
        try TrainingRun(Bigram(maximumLength: most), on: byteSplit(), tokenizer: tokenizer, options: options)
            .train { if case .sample(_, let prompt, _) = $0 { prompts.append(prompt) } }
        #expect(prompts.map(\.utf8.count) == [max(1, most / 2)])
    }

    @Test("Epochs are converted to steps, rounded up")
    func epochsAreTurnedIntoSteps() throws {
        let options = options()
        // A step has two batches of 32 tokens: 2 epochs of 640 tokens are 20 steps.
        let perBatch = 32.0
        var epochs = options
        epochs.length = .epochs(2)
        #expect(epochs.totalSteps(batchesPerEpoch: 640 / perBatch) == 20)
        #expect(epochs.totalSteps(batchesPerEpoch: 641 / perBatch) == 21)
        epochs.length = .epochs(0.001)
        #expect(epochs.totalSteps(batchesPerEpoch: 640 / perBatch) == 1)
        epochs.length = .minutes(1)
        #expect(epochs.totalSteps(batchesPerEpoch: 640 / perBatch) == nil)
    }

    @Test("A training of some minutes ends by the clock")
    func minutesEndATraining() throws {
        var options = options()
        (options.length, options.schedule) = (.minutes(1e-9), .constant)
        let run = try TrainingRun(Bigram(), on: byteSplit(), tokenizer: tokenizer, options: options)
        try run.train()
        #expect(run.step == 1)
        #expect(run.isFinished)
    }

    @Test("A training that is stopped saves the step it has reached")
    func aTrainingStopsWhenAsked() throws {
        let folder = try TemporaryFolder()
        let run = try TrainingRun(
            Bigram(), on: byteSplit(), tokenizer: tokenizer, options: options(), folder: folder.path + "/run")
        var last: TrainingEvent?
        try run.train(report: { last = $0 }, stop: { run.step >= 2 })
        #expect(run.step == 2)
        #expect(!run.isFinished)
        #expect(last?.name == "interrupted")
        #expect(try SafetensorsFile(path: folder.path + "/run/weights.safetensors").metadata["step"] == "2")
    }

    @Test("A stop ends a validation or sample at once and loses no step", arguments: [true, false])
    func aWishToStopEndsValidationsAndSamples(duringValidation: Bool) throws {
        let folder = try TemporaryFolder()
        var options = options(steps: 9)
        (options.validateEvery, options.sampleEvery) = (duringValidation ? 2 : 0, 2)
        let run = try TrainingRun(
            Bigram(), on: byteSplit(), tokenizer: tokenizer, options: options, folder: folder.path + "/run")
        var asked = 0
        var events: [String] = []
        try run.train(
            report: { events.append($0.name) },
            stop: {
                // Of all the questions of step 2 the first ones are answered with no: work has begun.
                asked += run.step == 2 ? 1 : 0
                return asked > 2
            })
        #expect(run.step == 2)
        #expect(events == ["started", "step", "step", "saved", "interrupted"])
        let log = try MetricsLog.read(path: folder.path + "/run/metrics.jsonl")
        #expect(log.map(\.step) == [1, 2])
        #expect(log[1].extra.isEmpty)
    }

    @Test("Validation reads the requested share of the text")
    func validationReadsTheShareThatIsAskedFor() throws {
        var options = options()
        let split = try byteSplit()
        options.validationShare = 0.5
        let run = try TrainingRun(Bigram(), on: split, tokenizer: tokenizer, options: options)
        let validation = try #require(split.validation)
        let half = validation.slice(0..<Int((Double(validation.count) / 2).rounded()), name: "half")
        #expect(try run.validate() == run.model.evaluate(half, sequenceLength: 16, batchSize: 2))
        let without = try byteSplit(validationFraction: 0)
        #expect(try TrainingRun(Bigram(), on: without, tokenizer: tokenizer, options: options).validate() == nil)
    }

    // MARK: Bad input

    @Test("Options and models that cannot be trained are refused before a folder is made")
    func whatCannotBeTrainedIsRefused() throws {
        let split = try byteSplit()
        func expectRefusal(
            _ message: String, _ model: Bigram = Bigram(), location: SourceLocation = #_sourceLocation,
            _ change: (inout TrainingOptions) -> Void = { _ in }
        ) throws {
            let folder = try TemporaryFolder()
            var options = options()
            change(&options)
            expectError(message, sourceLocation: location) {
                try TrainingRun(
                    model, on: split, tokenizer: tokenizer, options: options, folder: folder.path + "/run")
            }
            // Nothing is left of a run that was never begun.
            #expect(!FileManager.default.fileExists(atPath: folder.path + "/run"), sourceLocation: location)
        }
        try expectRefusal(
            "the model's configuration is not causal: each position sees the tokens it is to predict;"
                + " expected a causal one (\"causal\": true)", Bigram(isCausal: false))
        try expectRefusal(
            "sequenceLength: expected at most 12, the longest the model's configuration allows, found 16",
            Bigram(maximumLength: 12))
        try expectRefusal(
            "the model has a vocabulary of 100 tokens; expected at least the 256 of the tokenizer (bytes)",
            Bigram(vocabulary: 100))
        try expectRefusal("batchSize: expected a whole number of at least 1, found 0") { $0.batchSize = 0 }
        try expectRefusal("accumulate: expected a whole number of at least 1, found -1") { $0.accumulate = -1 }
        try expectRefusal("length.steps: expected a whole number of at least 1, found 0") { $0.length = .steps(0) }
        try expectRefusal("length.epochs: expected a number above 0, found -1.0") { $0.length = .epochs(-1) }
        try expectRefusal("length.minutes: expected a number above 0, found nan") { $0.length = .minutes(.nan) }
        try expectRefusal("clip: expected a number above 0, found 0.0") { $0.clip = 0 }
        try expectRefusal("learningRate: expected a number above 0, found -1.0") { $0.learningRate = -1 }
        try expectRefusal("optimizer.weightDecay: expected a number of at least 0, found -0.1") {
            $0.optimizer.weightDecay = -0.1
        }
        try expectRefusal("optimizer.beta2: expected a number of at least 0 and below 1, found 1.0") {
            $0.optimizer.beta2 = 1
        }
        try expectRefusal("validationShare: expected a number above 0 and at most 1, found 2.0") {
            $0.validationShare = 2
        }
        try expectRefusal("saveEvery: expected a whole number of at least 0, found -5") { $0.saveEvery = -5 }
        try expectRefusal("warmupSteps: expected fewer than the 6 steps of schedule cosine, found 6") {
            $0.warmupSteps = 6
        }
        try expectRefusal("schedule cosine: needs to know the number of steps; expected length.steps or length.epochs")
        {
            $0.length = .minutes(1)
        }
    }
}
