import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

@Suite("Commands with good input") struct CommandTests {
    let workspace = try! Workspace()

    @Test("A run is trained, resumed, continued as text, and evaluated")
    func aRunIsTrainedResumedContinuedAndEvaluated() throws {
        let lines = try workspace.tinyTraining("run", steps: 4).lines()
        #expect(lines[0].contains("4 steps, folder \(workspace.path("run"))"))
        #expect(lines.contains { $0.hasPrefix("step 4/4  loss ") && $0.contains("validation ") })
        #expect(lines.contains("saved step 4 in \(workspace.path("run"))"))
        #expect(lines.last!.hasPrefix("finished after 4 steps"))

        var resume = try! Train.parse([])
        (resume.resume, resume.steps) = (workspace.path("run"), 6)
        #expect(try resume.lines().filter { $0.hasPrefix("step ") }.map { $0.prefix(8) } == ["step 5/6", "step 6/6"])
        #expect(try MetricsLog.read(path: workspace.path("run/metrics.jsonl")).map(\.step) == Array(1...6))

        let source = ModelSource(run: workspace.path("run"))
        var pieces: [String] = []
        try GenerateCommand(source: source, prompt: "the", length: 20).run { pieces.append($0) }
        #expect(pieces.joined().utf8.count >= 20)
        var again = ""
        try GenerateCommand(source: source, prompt: "the", length: 20).run { again += $0 }
        #expect(again == pieces.joined())

        var printed = ""
        try EvaluateCommand(source: source, data: [workspace.text()], json: true).run(print: { printed = $0 })
        let result = try JSONValue(parsing: Data(printed.utf8), file: "result").objectValue!
        let bytes = try workspace.read("text.txt").count
        #expect(result["tokens"] == .integer(bytes - 1))
        #expect(result["sequence_length"] == .integer(16))  // that of the training
        let bits = try #require(result["bits_per_byte"]?.doubleValue)
        #expect(bits > 4 && bits < 9)  // an untrained model needs about 8
        try EvaluateCommand(source: source, data: [workspace.text()]).run(print: { printed = $0 })
        #expect(printed.hasPrefix(String(format: "bits per byte %.4f\nperplexity ", bits)))
        #expect(printed.hasSuffix("\(bytes - 1) tokens (\(bytes - 1) bytes) predicted, in consecutive windows of 16"))
    }

    @Test("A resumed command equals the uninterrupted one to the bit")
    func aResumedCommandEqualsTheUninterruptedOne() throws {
        var whole = try workspace.tinyTraining("whole", steps: 6)
        (whole.dropout, whole.accumulate, whole.optimizer) = (0.2, 2, "adamw")
        try whole.lines()
        var part = whole
        (part.steps, part.out) = (3, workspace.path("part"))
        try part.lines()
        var rest = try! Train.parse([])
        (rest.resume, rest.steps) = (workspace.path("part"), 6)
        try rest.lines()
        for file in ["weights.safetensors", "config.json"] {
            #expect(try workspace.read("whole/" + file) == workspace.read("part/" + file), "\(file)")
        }
    }

    @Test("A stopped run prints the command that resumes it")
    func aStoppedRunSaysHowToGoOn() throws {
        let folder = workspace.path("run")
        func outcome(_ command: Train, after last: Int) throws -> Train.Outcome {
            var step = 0
            return try command.train(
                report: { if case .step(let metrics, _) = $0 { step = metrics.step } }, stop: { step >= last })
        }
        let begun = try outcome(workspace.tinyTraining("run", steps: 9), after: 2)
        #expect(begun == .stopped(arguments: ["--resume", folder]))
        // A text that has moved has to be named again.
        var resume = try! Train.parse([])
        resume.resume = folder
        resume.data = [try workspace.text("moved.txt")]
        try FileManager.default.removeItem(atPath: workspace.path("text.txt"))
        #expect(
            try outcome(resume, after: 4)
                == .stopped(arguments: ["--resume", folder, "--data", workspace.path("moved.txt")]))
        #expect(try outcome(resume, after: 99) == .finished)
    }

    @Test("All options are saved in the run")
    func theOptionsGoIntoTheRun() throws {
        var command = try workspace.tinyTraining("run", steps: 1)
        command.validation = try workspace.text("other.txt", lines: 20)
        (command.optimizer, command.learningRate, command.schedule, command.warmup) = ("sgd", 0.5, "noam", 7)
        (command.weightDecay, command.momentum, command.clip, command.dropout) = (0.25, 0.5, 0, 0.125)
        (command.seed, command.validateEvery, command.saveEvery, command.keep) = (11, 3, 4, 5)
        (command.documents, command.order) = ("byte:0x2E", "sequential")
        (command.sampleEvery, command.sampleLength, command.validationShare) = (5, 6, 0.75)
        try command.lines()
        let run = try RunFolder(path: workspace.path("run")).configuration()
        #expect(
            run.training
                == TrainingOptions(
                    order: .sequential, sequenceLength: 16, batchSize: 2, accumulate: 1, length: .steps(1),
                    optimizer: .sgd(momentum: 0.5, weightDecay: 0.25), learningRate: 0.5, schedule: .noam,
                    warmupSteps: 7,
                    clip: nil, validateEvery: 3, validationShare: 0.75, sampleEvery: 5, sampleLength: 6, saveEvery: 4,
                    keepCheckpoints: 5, seed: 11))
        #expect(run.threads == Threads.count)
        #expect(run.origin.model == "flash")
        #expect(run.origin.data == [workspace.path("text.txt")])
        #expect(run.origin.documents == .marker(UInt8(ascii: ".")))
        #expect(run.origin.validation == workspace.path("other.txt"))
        #expect(run.validationTokens == (try workspace.read("other.txt").count))
        #expect(run.origin.configuration.objectValue?["attn_dropout"] == .number(0.125))
        #expect(run.origin.configuration.objectValue?["dim"] == .integer(8))
    }

    @Test("Resume may change learning rate, clipping, and kept checkpoints")
    func learningRateClipAndCheckpointsCanBeChangedWhenARunGoesOn() throws {
        try workspace.tinyTraining("run", steps: 2).lines()
        var command = try! Train.parse([])
        (command.resume, command.model, command.tokenizer) = (workspace.path("run"), "flash", "bytes")
        (command.steps, command.learningRate, command.clip, command.keep) = (3, 0.125, 0.5, 4)
        try command.lines()
        let training = try RunFolder(path: workspace.path("run")).configuration().training
        #expect((training.learningRate, training.clip, training.keepCheckpoints) == (0.125, 0.5, 4))
        #expect(try MetricsLog.read(path: workspace.path("run/metrics.jsonl")).last?.learningRate == 0.125)
    }

    @Test("A preset is a configuration and its training options")
    func aPresetIsAConfigurationAndItsTraining() throws {
        var command = try! Train.parse([])
        (command.model, command.preset, command.data) = ("flash", "tiny", [try workspace.text()])
        (command.steps, command.out, command.batchSize) = (1, workspace.path("run"), 1)
        try command.lines()
        let run = try RunFolder(path: workspace.path("run")).configuration()
        let preset = try Zoo.architecture("flash").presetJSON("tiny")
        #expect(run.origin.configuration == preset.configuration)
        var training = preset.training
        (training.length, training.batchSize) = (.steps(1), 1)
        #expect(run.training == training)
    }

    @Test("A character tokenizer sets the vocabulary of a preset, not of a configuration")
    func charactersSetTheVocabulary() throws {
        var command = try workspace.tinyTraining("run")
        command.tokenizer = "characters"
        // Of 256 tokens, which the configuration names, most are not in the text: the model keeps them all the same.
        try command.lines()
        #expect(try vocabulary("run") == 256)
        command.config = nil
        (command.preset, command.out) = ("tiny", workspace.path("other"))
        try command.lines()
        let letters = try Set(String(decoding: workspace.read("text.txt"), as: UTF8.self)).count
        #expect(try vocabulary("other") == letters)
        var text = ""
        try GenerateCommand(source: ModelSource(run: workspace.path("other")), prompt: "the zoo", length: 9).run {
            text += $0
        }
        #expect(text.count == 9)
        expectError(
            naming: "position 2", "\"é\" (U+00E9)", "\(letters)"
        ) {
            try GenerateCommand(source: ModelSource(run: workspace.path("other")), prompt: "zé").run { _ in }
        }
    }

    private func vocabulary(_ run: String) throws -> Int? {
        try RunFolder(path: workspace.path(run)).configuration().origin.configuration.objectValue?["num_tokens"]?
            .intValue
    }

    @Test("Weights from elsewhere are read with their configuration")
    func weightsFromElsewhereAreReadWithTheirConfiguration() throws {
        let source = try workspace.foreign()
        var text = ""
        try GenerateCommand(source: source, prompt: "zoo", length: 5, sampling: .greedy).run { text += $0 }
        #expect(!text.isEmpty)
        var printed = ""
        try EvaluateCommand(source: source, data: [workspace.text()], sequenceLength: 50).run(print: { printed = $0 })
        #expect(printed.contains("in consecutive windows of 50"))

        var writer = SafetensorsWriter()
        try writer.add("tokens", TokenTensor([1, 2, 3], shape: [1, 3]))
        try writer.add("targets", TokenTensor([2, 3, 4], shape: [1, 3]))
        try writer.write(to: workspace.path("batch.safetensors"))
        try EvaluateCommand(
            source: source, batch: workspace.path("batch.safetensors"), output: workspace.path("out.safetensors"),
            gradients: true
        ).run(print: { _ in })
        let out = try SafetensorsFile(path: workspace.path("out.safetensors"))
        #expect(try out.entry("logits").shape == [1, 3, 256])
        #expect(try out.entry("gradients/token_emb.weight").shape == [256, 8])
    }
}
