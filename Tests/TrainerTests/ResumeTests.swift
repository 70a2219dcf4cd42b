import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct ResumeTests {
    let temporary = try! TemporaryFolder()

    func options(_ optimizer: OptimizerOptions = .adamW()) -> TrainingOptions {
        TrainingOptions(
            sequenceLength: 16, batchSize: 2, accumulate: 2, length: .steps(6), optimizer: optimizer,
            learningRate: 1e-2,
            schedule: .cosine, warmupSteps: 2, clip: 0.5, validateEvery: 2, sampleEvery: 2, sampleLength: 5,
            saveEvery: 2,
            seed: 7)
    }

    static var origin: RunOrigin {
        var origin = RunOrigin(model: "bigram")
        origin.configuration = .object(["dropout": .number(0.2)])
        return origin
    }

    @discardableResult func begin(_ name: String, _ options: TrainingOptions, model: Bigram = Bigram(dropout: 0.2))
        throws -> TrainingRun<Bigram>
    {
        try TrainingRun(
            model, on: byteSplit(), tokenizer: ByteTokenizer(), options: options, folder: temporary.path + "/" + name,
            origin: Self.origin)
    }

    @discardableResult func resume(
        _ name: String, model: Bigram = Bigram(dropout: 0.2, seed: 99), split: DataSplit? = nil,
        changing change: (inout TrainingOptions) -> Void = { _ in }
    ) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            resuming: RunFolder(path: temporary.path + "/" + name), model, on: split ?? byteSplit(),
            tokenizer: ByteTokenizer(), changing: change)
    }

    func bytes(_ file: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: temporary.path + "/" + file))
    }

    /// The state file but for the seconds it tells.
    func state(_ file: String) throws -> [String: [Float]] {
        let file = try SafetensorsFile(path: temporary.path + "/" + file)
        return try Dictionary(uniqueKeysWithValues: file.names.map { ($0, try file.tensor($0).values) })
    }

    /// Everything a run leaves but the times: weights, optimiser, metrics, samples.
    func expectSameEnd(
        _ first: String, _ second: String, step: Int, location: SourceLocation = #_sourceLocation
    ) throws {
        for file in ["weights.safetensors", "checkpoints/step-\(step)/weights.safetensors", "config.json"] {
            #expect(try bytes("\(first)/\(file)") == bytes("\(second)/\(file)"), "\(file)", sourceLocation: location)
        }
        let file = "checkpoints/step-\(step)/state.safetensors"
        #expect(try state("\(first)/\(file)") == state("\(second)/\(file)"), sourceLocation: location)
        let logs = try [first, second].map { try MetricsLog.read(path: temporary.path + "/\($0)/metrics.jsonl") }
        #expect(logs[0].count == step, sourceLocation: location)
        func timeless(_ metrics: StepMetrics) -> StepMetrics {
            var metrics = metrics
            (metrics.tokensPerSecond, metrics.seconds) = (0, 0)
            return metrics
        }
        #expect(logs[0].map(timeless) == logs[1].map(timeless), sourceLocation: location)
    }

    @Test(
        "A resumed run equals the uninterrupted one to the bit",
        arguments: [OptimizerOptions.adamW(), .adam(), .sgd(momentum: 0.9), .sgd()])
    func aResumedRunEqualsTheUninterruptedOne(_ optimizer: OptimizerOptions) throws {
        let options = options(optimizer)
        func train(_ run: TrainingRun<Bigram>, until last: Int) throws -> [String] {
            var samples: [String] = []
            try run.train(until: last) { if case .sample = $0 { samples.append($0.description) } }
            return samples
        }
        let whole = try train(begin("whole", options), until: 6)
        #expect(whole.count == 3)
        for stops in [[3], [1, 2, 5], [0, 4]] {
            let name = "stops" + stops.map { "-\($0)" }.joined()
            var samples = try train(begin(name, options), until: stops[0])
            for stop in stops.dropFirst() + [6] {
                let resumed = try resume(name)
                samples += try train(resumed, until: stop)
                #expect(resumed.step == stop)
            }
            try expectSameEnd("whole", name, step: 6)
            #expect(samples == whole)
        }
    }

    @Test(
        "A resumed masked or reversal run equals the uninterrupted one to the bit",
        arguments: [ObjectiveKind.masked, .reverse], DataOrder.allCases)
    func aResumedRunOfAnotherObjectiveEqualsTheUninterruptedOne(_ objective: ObjectiveKind, _ order: DataOrder) throws {
        var options = options()
        (options.objective, options.order) = (objective, order)
        func model(_ seed: UInt64) -> Bigram { Bigram(vocabulary: 257, dropout: 0.2, seed: seed) }
        func train(_ run: TrainingRun<Bigram>, until last: Int) throws -> [String] {
            var samples: [String] = []
            try run.train(until: last) { if case .sample = $0 { samples.append($0.description) } }
            return samples
        }
        let whole = try train(begin("whole", options, model: model(1)), until: 6)
        #expect(whole.count == (objective == .reverse ? 3 : 0))
        var samples = try train(begin("part", options, model: model(1)), until: 3)
        samples += try train(resume("part", model: model(99)), until: 6)
        try expectSameEnd("whole", "part", step: 6)
        #expect(samples == whole)
    }

    @Test("The validation and sample that a stop skipped are made up for first")
    func whatAStopHasGivenUpIsMadeUpFor() throws {
        func train(_ run: TrainingRun<Bigram>, stop: () -> Bool = { false }) throws -> [String] {
            var samples: [String] = []
            try run.train(report: { if case .sample = $0 { samples.append($0.description) } }, stop: stop)
            return samples
        }
        let whole = try train(begin("whole", options()))
        var (number, isDone, givenUp) = (0, false, Set<Int>())
        while !isDone {
            number += 1
            let name = "stopped-\(number)"
            var asked = 0
            var samples: [String] = []
            do {
                let run = try begin(name, options())
                // Once it has said so, it says so again.
                samples = try train(run) {
                    asked += 1
                    return asked >= number
                }
                isDone = run.isFinished
                if try !RunFolder(path: temporary.path + "/" + name).checkpoint(run.step).open().training.isFollowed {
                    givenUp.insert(run.step)
                }
            }
            if !isDone {
                samples += try train(resume(name))
                try expectSameEnd("whole", name, step: 6)
            }
            #expect(samples == whole)
        }
        #expect(givenUp == [2, 4, 6])
        // The same without the detour over the folder.
        let run = try begin("paused", options())
        var samples = try train(run) { run.step == 6 }
        #expect(!run.isFinished)
        samples += try train(run)
        #expect(samples == whole)
        try expectSameEnd("whole", "paused", step: 6)
    }

    @Test("Steps after the last save are repeated")
    func stepsAfterTheLastSaveAreMadeAgain() throws {
        try begin("whole", options()).train()
        // A crash in step 6, after a save at step 4 and the metrics of step 5.
        #expect(throws: CancellationError.self) {
            try begin("crashed", options()).train {
                if case .step(let metrics, _) = $0, metrics.step == 5 { throw CancellationError() }
            }
        }
        #expect(try MetricsLog.read(path: temporary.path + "/crashed/metrics.jsonl").map(\.step) == [1, 2, 3, 4, 5])
        let resumed = try resume("crashed")
        #expect(resumed.step == 4)
        #expect(try MetricsLog.read(path: temporary.path + "/crashed/metrics.jsonl").map(\.step) == [1, 2, 3, 4])
        try resumed.train()
        try expectSameEnd("whole", "crashed", step: 6)
    }

    @Test("A finished run can be made longer")
    func aFinishedRunCanBeMadeLonger() throws {
        var options = options()
        options.schedule = .constant
        options.length = .steps(3)
        try begin("longer", options).train()
        try resume("longer") { $0.length = .steps(6) }.train()
        #expect(try RunFolder(path: temporary.path + "/longer").configuration().training.length == .steps(6))
        options.length = .steps(6)
        try begin("whole", options).train()
        let weights = "checkpoints/step-6/weights.safetensors"
        #expect(try bytes("whole/" + weights) == bytes("longer/" + weights))
    }

    @Test("The folder restores options, model, tokenizer, and version")
    func theConfigurationSaysEverything() throws {
        var options = options()
        options.length = .epochs(1.5)
        options.schedule = .noam
        options.validationShare = 0.5
        options.clip = nil
        options.seed = .max
        options.keepCheckpoints = 3
        _ = try begin("run", options)
        let folder = try RunFolder(path: temporary.path + "/run")
        let read = try folder.configuration()
        #expect(read.training == options)
        #expect(read.origin == Self.origin)
        #expect(read.version == packageVersion)
        #expect(read.threads == Threads.count)
        #expect(try folder.tokenizer() is ByteTokenizer)
        let weights = try SafetensorsFile(path: folder.weightsPath)
        #expect(
            weights.metadata == [
                "step": "0", "model": "bigram", "configuration": "{\"dropout\": 0.2}",
                "parameters": "\(Bigram().parameterCount)", "version": packageVersion,
            ])
    }

    @Test("A character tokenizer keeps its vocabulary")
    func charactersKeepTheirVocabulary() throws {
        let text = try TextSource(someText(), name: "a text")
        let tokenizer = try CharacterTokenizer(learningFrom: [text])
        let split = try DataSplit(tokenizer.tokens(of: text), sequenceLength: 16)
        let model = Bigram(vocabulary: tokenizer.vocabularySize)
        let path = temporary.path + "/characters"
        try TrainingRun(model, on: split, tokenizer: tokenizer, options: options(), folder: path).train()
        let loaded = try RunFolder(path: path).tokenizer()
        #expect(try loaded.encode("zoo") == tokenizer.encode("zoo"))
        #expect(loaded.vocabularySize == tokenizer.vocabularySize)
    }

    // MARK: Bad input

    @Test("A folder that holds a run is not overwritten")
    func aFolderWithARunIsNotOverwritten() throws {
        try begin("run", options()).train(until: 2)
        let before = try bytes("run/weights.safetensors")
        let path = temporary.path + "/run"
        expectError(
            "\(path): holds a run already (\(path)/config.json); expected a new folder, or TrainingRun(resuming: \(path))"
        ) { try begin("run", options()) }
        #expect(try bytes("run/weights.safetensors") == before)
    }

    @Test("A folder that cannot be made is named")
    func aFolderThatCannotBeMadeIsNamed() throws {
        try temporary.write("x", "file")
        expectError("\(temporary.path)/file/run: the folder cannot be made: Not a directory") {
            try begin("file/run", options())
        }
    }

    @Test("Resume refuses a folder without a run, and another text or model")
    func whatIsNoRunIsNotResumed() throws {
        expectError("\(temporary.path)/none: is no run folder: expected it to hold config.json") { try resume("none") }
        try begin("run", options()).train(until: 2)
        let path = temporary.path + "/run"

        let text = try byteSplit().training
        expectError("a text: has 1000 tokens; the run in \(path) began with \(text.count)") {
            let text = TokenSource(name: "a text", tokens: [Int32](repeating: 7, count: 1000))
            return try resume("run", split: DataSplit(text, validationFraction: 0, sequenceLength: 16))
        }
        // As long, with one byte changed.
        var tokens = try text[0..<text.count]
        tokens[5] += 1
        let other = TokenSource(name: "other.txt", tokens: tokens)
        let (found, expected) = try (other.fingerprint(), text.fingerprint())
        expectError(
            naming: "other.txt", "\(path)", "\(found)", "expected \(expected)"
        ) { try resume("run", split: DataSplit(training: other, validation: other, sequenceLength: 16)) }
        expectError(
            naming: "other.txt", "\(text.count) tokens", "\(path)", "\(try byteSplit().validation!.count)"
        ) { try resume("run", split: DataSplit(training: text, validation: other, sequenceLength: 16)) }
        expectError(naming: "\(path)", "\(try byteSplit().validation!.count)", "none") {
            try resume("run", split: DataSplit(text, validationFraction: 0, sequenceLength: 16))
        }
        let weights = "\(path)/checkpoints/step-2/weights.safetensors"
        expectError(
            naming: "\(weights)", "2 of", "table.weight", "[256, 8]", "[256, 9]", "output.weight", "[256, 8]",
            "[256, 9]"
        ) { try resume("run", model: Bigram(width: 9)) }
        try resume("run").train()  // nothing of this did any harm
    }

    @Test("A broken configuration names file and key")
    func aBrokenConfigurationNamesFileAndKey() throws {
        _ = try begin("run", options())
        let path = temporary.path + "/run/config.json"
        let text = try String(decoding: bytes("run/config.json"), as: UTF8.self)
        func expectMessage(_ message: String, _ old: String, _ new: String) throws {
            #expect(text.contains(old))
            try temporary.write(text.replacingOccurrences(of: old, with: new), "run/config.json")
            expectError(message) { try RunFolder(path: temporary.path + "/run").configuration() }
        }
        try expectMessage(
            "\(path): \"tokenizer\": expected one of \"bytes\", \"characters\", \"bpe\", found \"byte\"; did you mean"
                + " \"bytes\"?",
            "\"tokenizer\": \"bytes\"", "\"tokenizer\": \"byte\"")
        try expectMessage(
            "\(path), training: \"batch_size\": expected a whole number from 1 to 16777216, found the string \"2\"",
            "\"batch_size\": 2", "\"batch_size\": \"2\"")
        try expectMessage(
            "\(path), training: \"steps\": expected exactly one of steps, epochs, minutes", "\"steps\": 6",
            "\"epochs\": null")
        try expectMessage(
            "\(path): \"threads\": expected a whole number from 1 to 1024, found 0", "\"threads\": \(Threads.count)",
            "\"threads\": 0")
    }
}
