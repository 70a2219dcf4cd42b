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

    @discardableResult func begin(_ name: String, _ options: TrainingOptions, model: Bigram = Bigram(dropout: 0.2))
        throws -> TrainingRun<Bigram>
    {
        try TrainingRun(
            model, on: byteSplit(), tokenizer: ByteTokenizer(), options: options, folder: temporary.path + "/" + name,
            origin: RunOrigin(model: "bigram", configuration: .object(["dropout": .number(0.2)])))
    }

    func resume(
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

    @Test(arguments: [OptimizerOptions.adamW(), .adam(), .sgd(momentum: 0.9), .sgd()])
    func aResumedRunEqualsTheUninterruptedOne(_ optimizer: OptimizerOptions) throws {
        let options = options(optimizer)
        try begin("whole", options).train()
        try begin("parts", options).train(until: 3)
        let resumed = try resume("parts")
        #expect(resumed.step == 3)
        try resumed.train()
        #expect(resumed.step == 6)
        #expect(try bytes("whole/weights.safetensors") == bytes("parts/weights.safetensors"))
        #expect(try state("whole/state-6.safetensors") == state("parts/state-6.safetensors"))
        #expect(try bytes("whole/config.json") == bytes("parts/config.json"))
        let logs = try ["whole", "parts"].map { try MetricsLog.read(path: temporary.path + "/\($0)/metrics.jsonl") }
        #expect(logs[0].count == 6)
        for (a, b) in zip(logs[0], logs[1]) {
            #expect(
                [a.loss, a.bitsPerByte, a.learningRate, a.gradientNorm]
                    == [b.loss, b.bitsPerByte, b.learningRate, b.gradientNorm])
            #expect((a.step, a.tokens) == (b.step, b.tokens))
            if a.step != 3 { #expect(a.extra == b.extra) }  // where it stopped, it validated
        }
    }

    @Test func stepsAfterTheLastSaveAreMadeAgain() throws {
        try begin("whole", options()).train()
        let run = try begin("crashed", options())
        // A crash in step 6, after a save at step 4 and the metrics of step 5.
        #expect(throws: CancellationError.self) {
            try run.train { if case .step(let metrics, _) = $0, metrics.step == 5 { throw CancellationError() } }
        }
        #expect(try MetricsLog.read(path: temporary.path + "/crashed/metrics.jsonl").map(\.step) == [1, 2, 3, 4, 5])
        let resumed = try resume("crashed")
        #expect(resumed.step == 4)
        #expect(try MetricsLog.read(path: temporary.path + "/crashed/metrics.jsonl").map(\.step) == [1, 2, 3, 4])
        try resumed.train()
        #expect(try bytes("whole/weights.safetensors") == bytes("crashed/weights.safetensors"))
    }

    @Test func aSaveThatWasTornIsNoSave() throws {
        try begin("whole", options()).train()
        let run = try begin("torn", options())
        try run.train(until: 4)
        // The machine stops after the state of step 5 was written, before its weights were.
        let later = temporary.path + "/torn/state-5.safetensors"
        try FileManager.default.copyItem(atPath: temporary.path + "/torn/state-4.safetensors", toPath: later)
        try temporary.write("half", "torn/.weights.safetensors.tmp-7-8")
        let resumed = try resume("torn")
        #expect(resumed.step == 4)
        #expect(!FileManager.default.fileExists(atPath: later))
        try resumed.train()
        #expect(try bytes("whole/weights.safetensors") == bytes("torn/weights.safetensors"))
        let files = try FileManager.default.contentsOfDirectory(atPath: temporary.path + "/torn").sorted()
        #expect(files == ["config.json", "metrics.jsonl", "state-6.safetensors", "weights.safetensors"])
    }

    @Test func aSaveThatFailsLeavesTheOneBefore() throws {
        try begin("whole", options()).train()
        let run = try begin("full", options())
        // Nothing can take the place of a folder that is not empty: step 4's state cannot be written.
        try temporary.write("x", "full/state-4.safetensors/x")
        let error = #expect(throws: InputError.self) { try run.train() }
        #expect(error?.message.hasPrefix("\(temporary.path)/full/state-4.safetensors: cannot be written: ") == true)
        try FileManager.default.removeItem(atPath: temporary.path + "/full/state-4.safetensors")
        let resumed = try resume("full")
        #expect(resumed.step == 2)
        try resumed.train()
        #expect(try bytes("whole/weights.safetensors") == bytes("full/weights.safetensors"))
    }

    @Test func aFinishedRunCanBeMadeLonger() throws {
        var options = options()
        options.schedule = .constant
        options.length = .steps(3)
        try begin("longer", options).train()
        let resumed = try resume("longer") { $0.length = .steps(6) }
        try resumed.train()
        #expect(try RunFolder(path: temporary.path + "/longer").configuration().training.length == .steps(6))
        options.length = .steps(6)
        try begin("whole", options).train()
        #expect(try bytes("whole/weights.safetensors") == bytes("longer/weights.safetensors"))
    }

    @Test func theConfigurationSaysEverything() throws {
        var options = options()
        options.length = .epochs(1.5)
        options.schedule = .noam
        options.validationShare = 0.5
        options.clip = nil
        options.seed = .max
        _ = try begin("run", options)
        let folder = try RunFolder(path: temporary.path + "/run")
        let read = try folder.configuration()
        #expect(read.training == options)
        #expect(read.origin == RunOrigin(model: "bigram", configuration: .object(["dropout": .number(0.2)])))
        #expect(read.version == packageVersion)
        #expect(read.threads == Threads.count)
        #expect(try folder.tokenizer() is ByteTokenizer)
        let weights = try SafetensorsFile(path: folder.weightsPath)
        #expect(
            weights.metadata == [
                "step": "0", "model": "bigram", "configuration": "{\"dropout\": 0.2}", "version": packageVersion,
            ])
    }

    @Test func charactersKeepTheirVocabulary() throws {
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

    @Test func aFolderWithARunIsNotOverwritten() throws {
        try begin("run", options()).train(until: 2)
        let before = try bytes("run/weights.safetensors")
        let path = temporary.path + "/run"
        expectError(
            "\(path): holds a run already (\(path)/config.json); expected a new folder, or --resume \(path)"
        ) { try begin("run", options()) }
        #expect(try bytes("run/weights.safetensors") == before)
    }

    @Test func aFolderThatCannotBeMadeIsNamed() throws {
        try temporary.write("x", "file")
        expectError("\(temporary.path)/file/run: the folder cannot be made: Not a directory") {
            try begin("file/run", options())
        }
    }

    @Test func whatIsNoRunIsNotResumed() throws {
        expectError("\(temporary.path)/none: is no run folder: expected it to hold config.json") { try resume("none") }
        try begin("run", options()).train(until: 2)
        let path = temporary.path + "/run"

        expectError("a text: has 1000 tokens; the run in \(path) began with \(try byteSplit().training.count)") {
            let text = TokenSource(name: "a text", tokens: [Int32](repeating: 7, count: 1000))
            return try resume("run", split: DataSplit(text, validationFraction: 0, sequenceLength: 16))
        }
        #expect(throws: InputError.self) { try resume("run", model: Bigram(width: 9)) }

        // State and weights of different saves.
        try begin("other", options(), model: Bigram(seed: 4)).train(until: 2)
        let (weights, state) = (path + "/weights.safetensors", path + "/state-2.safetensors")
        let own = try bytes("run/weights.safetensors")
        try bytes("other/weights.safetensors").write(to: URL(fileURLWithPath: weights))
        expectError("\(state): belongs to other weights than those in \(weights)") { try resume("run") }

        try Bigram().save(to: weights)
        expectError("\(weights): does not say its step; expected weights saved by a training run") { try resume("run") }

        try own.write(to: URL(fileURLWithPath: weights))
        try FileManager.default.removeItem(atPath: state)
        expectError("\(state): cannot be read: No such file or directory") { try resume("run") }
    }

    @Test func aBrokenConfigurationNamesFileAndKey() throws {
        _ = try begin("run", options())
        let path = temporary.path + "/run/config.json"
        let text = try String(decoding: bytes("run/config.json"), as: UTF8.self)
        func expectMessage(_ message: String, _ old: String, _ new: String) throws {
            #expect(text.contains(old))
            try temporary.write(text.replacingOccurrences(of: old, with: new), "run/config.json")
            expectError(message) { try RunFolder(path: temporary.path + "/run").configuration() }
        }
        try expectMessage(
            "\(path): \"tokenizer\": expected one of \"bytes\", \"characters\", found \"byte\"; did you mean \"bytes\"?",
            "\"tokenizer\": \"bytes\"", "\"tokenizer\": \"byte\"")
        try expectMessage(
            "\(path), training: \"batch_size\": expected a whole number, found the string \"2\"",
            "\"batch_size\": 2", "\"batch_size\": \"2\"")
        try expectMessage(
            "\(path), training: \"steps\": expected exactly one of steps, epochs, minutes", "\"steps\": 6",
            "\"epochs\": null")
        try expectMessage(
            "\(path): \"threads\": expected a whole number of at least 1, found 0", "\"threads\": \(Threads.count)",
            "\"threads\": 0")
    }
}
