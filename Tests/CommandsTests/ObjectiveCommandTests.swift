import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// The commands with other objectives than the next token.
@Suite struct ObjectiveCommandTests {
    let workspace = try! Workspace()

    /// A tiny training whose configuration comes from a preset, as nothing else says it.
    func presetTraining(_ model: String, _ objective: String, _ run: String) throws -> Train {
        var command = try workspace.tinyTraining(run, steps: 1)
        (command.model, command.preset, command.config, command.objective) = (model, "tiny", nil, objective)
        return command
    }

    func json(_ command: EvaluateCommand) throws -> [String: JSONValue] {
        var command = command
        command.options.json = true
        var printed = ""
        try command.run(print: { printed = $0 })
        return try #require(JSONValue(parsing: Data(printed.utf8), file: "result").objectValue)
    }

    // MARK: Presets

    /// nil where the architecture says that it has none for the objective; for the next token all have one.
    func preset(
        _ architecture: any Architecture, _ name: String, _ objective: ObjectiveKind
    ) throws -> (configuration: JSONValue, training: TrainingOptions)? {
        do {
            return try architecture.presetJSON(name, objective: objective)
        } catch let error as OptionError
            where objective != .nextToken && error.description.hasPrefix("objective \(objective.rawValue): ")
        {
            return nil
        }
    }

    @Test("Every preset fits its objective", arguments: Zoo.identifiers, ObjectiveKind.allCases)
    func aPresetFitsItsObjective(_ id: String, _ objective: ObjectiveKind) throws {
        let architecture = try Zoo.architecture(id)
        for name in architecture.presetNames {
            guard let preset = try preset(architecture, name, objective) else { continue }
            #expect(preset.training.objective == objective)
        }
        // The smallest makes a model that can be trained.
        guard let preset = try preset(architecture, "tiny", objective) else { return }
        let length = objective.rowLength(ofWindow: preset.training.sequenceLength)
        let configuration = try architecture.configuration(
            architecture.configuration(preset.configuration, vocabularySize: 257), sequenceLength: length, dropout: nil)
        let model = try architecture.makeModel(configuration, file: "preset tiny", key: RandomKey(seed: 0))
        #expect(model.isCausal == (objective != .masked))
        #expect(model.vocabularySize == 257)
        // What carries something reads longer rows in segments.
        #expect(model.carriesState || model.maximumLength ?? length >= length)
    }

    @Test("An objective needs no configuration", arguments: Zoo.identifiers, ObjectiveKind.allCases)
    func anObjectiveNeedsNoConfiguration(_ id: String, _ objective: ObjectiveKind) throws {
        guard try preset(Zoo.architecture(id), "tiny", objective) != nil else { return }
        try presetTraining(id, objective.rawValue, "run").lines()
        let run = try RunFolder(path: workspace.path("run")).configuration()
        #expect(run.training.objective == objective)
        let result = try json(EvaluateCommand(source: ModelSource(run: workspace.path("run"))))
        #expect(result["masked_accuracy"] != nil || objective != .masked)
        #expect(result["token_accuracy"] != nil || objective != .reverse)
    }

    @Test("A configuration file is taken at its word, and must have the token that the objective needs")
    func theFilesWordStands() throws {
        var command = try workspace.tinyTraining("run")
        command.objective = "masked"
        command.config = try workspace.configuration(name: "causal.json")
        // A causal model for hidden tokens, if a file says so; but its vocabulary has no token to hide them with.
        let path = try #require(command.config)
        expectError(
            naming: "\(path)", "\"num_tokens\"", "expected at least", "256", "--tokenizer bytes", "mask", "256"
        ) { try command.lines() }
        command.objective = "reverse"
        expectError(
            naming: "\(path)", "\"num_tokens\"", "expected at least", "256", "--tokenizer bytes", "reversal", "256"
        ) { try command.lines() }
        try workspace.write(String(contentsOfFile: path, encoding: .utf8).replacing("256", with: "300"), "causal.json")
        command.objective = "masked"
        try command.lines()
        let configuration = try RunFolder(path: workspace.path("run")).configuration().origin.configuration
        #expect(configuration.objectValue?["causal"] == .bool(true))
        #expect(configuration.objectValue?["num_tokens"] == .integer(300))
    }

    @Test("An encoder-decoder is trained with the start token of the objective")
    func anEncoderDecoderIsTrainedWithItsStartToken() throws {
        func expectRefusal(
            _ message: String, _ objective: String, tokens: Int = 257, start: Int,
            location: SourceLocation = #_sourceLocation
        ) throws {
            let members = ["enc_", "dec_"].flatMap { part in
                ["num_tokens\": \(tokens)", "input_size\": 16", "channels\": 8"].map { "\"\(part)\($0)" }
            }
            var command = try presetTraining("linformer", objective, "run")
            command.config = try workspace.write(
                "{\(members.joined(separator: ", ")), \"start_token\": \(start)}", "encdec.json")
            expectError(
                message.replacing("FILE", with: workspace.path("encdec.json")), sourceLocation: location
            ) { try command.lines() }
        }
        for objective in ["masked", "next-token"] {
            try expectRefusal(
                "the model answers what stands before its start token, which --objective \(objective) does not have;"
                    + " expected --objective reverse", objective, start: 256)
        }
        let message = "the model's start token is START; expected 256, the first token that the tokenizer does not have"
        for (tokens, start) in [(257, 5), (300, 299)] {
            try expectRefusal(
                message.replacing("START", with: "\(start)"), "reverse", tokens: tokens, start: start)
        }
        try expectRefusal(
            "FILE: \"dec_num_tokens\": expected at least the 256 tokens of --tokenizer bytes and one to start a reversal"
                + " with, found 200", "reverse", tokens: 200, start: 5)
    }

    @Test("A misspelled objective is named")
    func wordsAreChecked() throws {
        var command = try workspace.tinyTraining("run")
        command.objective = "revers"
        expectError(
            naming: "--objective", "expected", "next-token", "masked", "reverse", "\"revers\"", "did you mean",
            "\"reverse\""
        ) { try command.lines() }
    }

    @Test("The windows of a reversal are half of what the model reads")
    func theWindowsOfAReversalAreHalfOfWhatTheModelReads() throws {
        var command = try presetTraining("local", "reverse", "run")
        command.sequenceLength = 9
        try command.lines()
        let run = try RunFolder(path: workspace.path("run")).configuration()
        #expect(run.origin.configuration.objectValue?["max_seq_len"] == .integer(18))
        #expect(run.training.sequenceLength == 9)
        let source = ModelSource(run: workspace.path("run"))
        expectError(
            naming: "--sequence-length", "expected at most 9", "--objective reverse", "18", "found 10"
        ) { _ = try json(EvaluateCommand(source: source, sequenceLength: 10)) }
        // Greedy unless somebody says otherwise.
        func answer(_ sampling: SamplingOptions?) throws -> String {
            var text = ""
            try GenerateCommand(source: source, prompt: "012", length: 15, sampling: sampling).run { text += $0 }
            return text
        }
        #expect(try answer(nil) == answer(.greedy))
        #expect(try answer(SamplingOptions(temperature: 5, seed: 3)) != answer(.greedy))
    }

    // MARK: Reversal

    /// FLASH learns to reverse windows of four tokens.
    func reversal(_ run: String, steps: Int) throws -> Train {
        var command = try workspace.tinyTraining(run, steps: steps)
        command.config = try workspace.write(
            "{\"num_tokens\": 257, \"dim\": 32, \"depth\": 1, \"group_size\": 16, \"query_key_dim\": 16,"
                + " \"causal\": true}", "reverse.json")
        (command.objective, command.sequenceLength, command.batchSize) = ("reverse", 4, 32)
        (command.learningRate, command.validateEvery) = (1e-2, 0)
        return command
    }

    @Test("A causal model learns to reverse")
    func aCausalModelLearnsToReverse() throws {
        var accuracies: [Double] = []
        var samples: [(prompt: String, text: String)] = []
        var command = try reversal("run", steps: 200)
        (command.validateEvery, command.sampleEvery) = (25, 200)
        try command.train(report: { event in
            if case .step(let metrics, _) = event, let found = metrics.extra["validation_token_accuracy"] {
                accuracies.append(found)
            }
            if case .sample(_, let prompt, let text) = event { samples.append((prompt, text)) }
        })
        #expect(accuracies.count == 8 && accuracies[0] < 0.8 && accuracies.last! > 0.95, "\(accuracies)")
        #expect(samples.map(\.prompt.utf8.count) == [4])

        let source = ModelSource(run: workspace.path("run"))
        let result = try json(EvaluateCommand(source: source))
        #expect(result["token_accuracy"]?.doubleValue == accuracies.last)
        #expect(result["sequence_length"] == .integer(4))
        var printed = ""
        try EvaluateCommand(source: source).run(print: { printed = $0 })
        #expect(printed.contains(String(format: "\ntoken accuracy %.2f %%", accuracies.last! * 100)))
        // Greedy, and as long as the prompt.
        for prompt in ["zoo ", "rive", "the", "op"] {
            var text = ""
            try GenerateCommand(source: source, prompt: prompt).run { text += $0 }
            #expect(text == String(prompt.reversed()), "\(prompt)")
        }
    }
}
