import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// Commands on Linformer's own objectives and options.
@Suite struct LinformerCommandTests {
    let workspace = try! Workspace()

    /// A training of a few steps of a very small Linformer.
    func training(_ configuration: String, steps: Int = 2) throws -> Train {
        var command = try workspace.tinyTraining("run", steps: steps)
        command.model = "linformer"
        command.config = try workspace.write(configuration, "linformer.json")
        return command
    }

    static let sizes =
        "\"num_tokens\": 256, \"input_size\": 16, \"channels\": 8, \"dim_k\": 4, \"dim_ff\": 8, \"nhead\": 2"

    @Test("The leaky mask is refused for language models")
    func theLeakyMaskIsRefusedForLanguageModels() throws {
        let command = try training("{\(Self.sizes), \"causal\": \"compatible\"}")
        let error = #expect(throws: InputError.self) { try command.lines() }
        let message = try #require(error).description
        #expect(message.contains("not causal") && message.contains("leak the future") && message.contains("issue 25"))
        #expect(message.contains("true is the leak-free form") && !message.contains("\n"))
        #expect(!FileManager.default.fileExists(atPath: workspace.path("run")))
    }

    @Test("The leak-free form is trained, continued, and evaluated")
    func theLeakFreeFormIsTrainedContinuedAndEvaluated() throws {
        try training("{\(Self.sizes), \"causal\": true}").lines()
        let source = ModelSource(run: workspace.path("run"))
        var text = ""
        // As many tokens as the projections reach.
        try GenerateCommand(source: source, prompt: "the zoo", length: 9).run { text += $0 }
        #expect(!text.isEmpty)
        expectError(
            naming: "7 tokens", "--length 10", "expected at most 16"
        ) { try GenerateCommand(source: source, prompt: "the zoo", length: 10).run { _ in } }
        var printed = ""
        try EvaluateCommand(source: source).run(print: { printed = $0 })
        #expect(printed.hasPrefix("bits per byte "))
    }

    @Test("Configurations that are no language models are refused")
    func whatIsNoLanguageModelIsRefused() throws {
        for (change, message) in [
            ("\"return_emb\": true", "\"return_emb\": true is no language model; expected false"),
            ("\"decoder_mode\": true", "\"decoder_mode\": true is no language model; expected false"),
        ] {
            let command = try training("{\(Self.sizes), \"causal\": true, \(change)}")
            expectError("\(command.config!): \(message)") { try command.lines() }
        }
    }

    @Test("An encoder-decoder needs a start token")
    func anEncoderDecoderNeedsAStartToken() throws {
        let parts = ["enc_", "dec_"].map { prefix in
            Self.sizes.replacing("\"num", with: "\"\(prefix)num").replacing("\"input", with: "\"\(prefix)input")
                .replacing("\"channels", with: "\"\(prefix)channels").replacing("\"dim", with: "\"\(prefix)dim")
                .replacing("\"nhead", with: "\"\(prefix)nhead").replacing("256", with: "257")
        }.joined(separator: ", ")
        let path = try workspace.write("{\(parts)}", "encdec.json")
        var architecture: any Architecture { get throws { try Zoo.architecture("linformer") } }
        func make(_ text: String) throws -> any LanguageModel {
            try architecture.makeModel(
                JSONValue(parsing: Data(text.utf8), file: path), file: path, key: RandomKey(seed: 0))
        }
        expectError(naming: path, "\"start_token\"", "is missing", "expected the token between source and target") {
            try make("{\(parts)}")
        }
        expectError("\(path): \"start_token\": expected one of the 257 of dec_num_tokens, found 257") {
            try make("{\(parts), \"start_token\": 257}")
        }
        let model = try make("{\(parts), \"start_token\": 256}")
        #expect(model.startToken == 256 && model.maximumLength == 32 && model.vocabularySize == 257)
    }

    @Test("An encoder-decoder's prompt and answer have a limit each")
    func anEncoderDecodersPromptAndAnswerAreNoLongerThanItReads() throws {
        let members = ["enc_", "dec_"].flatMap { part in
            ["num_tokens\": 257", "input_size\": 16", "channels\": 8"].map { "\"\(part)\($0)" }
        }
        var command = try training("{\(members.joined(separator: ", ")), \"start_token\": 256}", steps: 1)
        (command.objective, command.sequenceLength) = ("reverse", 16)
        try command.lines()
        let source = ModelSource(run: workspace.path("run"))
        func generate(_ prompt: String, _ length: Int?) throws {
            try GenerateCommand(source: source, prompt: prompt, length: length).run { _ in }
        }
        let sixteen = "the longest word"
        try generate(sixteen, nil)
        try generate("z", 16)
        for length in [nil, 1] {
            expectError(
                "the prompt of 17 tokens: expected at most 16, the longest the model's configuration allows"
            ) { try generate(sixteen + "s", length) }
        }
        expectError(
            naming: "--length", "expected at most 16", "found 17"
        ) { try generate("zoo", 17) }
    }
}
