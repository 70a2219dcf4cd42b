import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// `--weights-as`: what it changes, and what it refuses.
@Suite struct WeightsAsTests {
    let workspace = try! Workspace()

    private func source(_ weightsAs: String?) throws -> ModelSource {
        var source = try workspace.foreign()
        source.weightsAs = weightsAs
        return source
    }

    private func bits(_ weightsAs: String?) throws -> Double {
        var printed = ""
        try EvaluateCommand(
            source: source(weightsAs), data: [workspace.text()], sequenceLength: 16, json: true
        ).run(print: { printed = $0 })
        return try #require(
            JSONValue(parsing: Data(printed.utf8), file: "result").objectValue?["bits_per_byte"]?.doubleValue)
    }

    @Test("Evaluation measures the cost of rounding")
    func evaluationMeasuresWhatRoundingCosts() throws {
        let float = try bits(nil)
        #expect(try bits("float") == float)
        for format in ["bfloat16", "int8"] {
            let rounded = try bits(format)
            #expect(rounded != float && abs(rounded - float) < 0.05, "\(format)")
        }
    }

    @Test("Rounded weights continue a prompt")
    func generationContinuesAPrompt() throws {
        func text(_ weightsAs: String?) throws -> String {
            var text = ""
            try GenerateCommand(source: source(weightsAs), prompt: "the", length: 12).run { text += $0 }
            return text
        }
        #expect(try text("float") == text(nil))
        for format in ["bfloat16", "int8"] {
            #expect(try text(format).utf8.count >= 12)
            #expect(try text(format) == text(format))
        }
    }

    @Test("A saved state is continued only with the weights that began it")
    func aSavedTextKnowsItsWeights() throws {
        var training = try workspace.tinyTraining("run")
        training.model = "fast-weights"
        (training.config, training.preset) = (nil, "tiny")
        try training.lines()
        func generate(_ weightsAs: String, save: String? = nil, load: String? = nil) throws -> String {
            var text = ""
            try GenerateCommand(
                source: ModelSource(run: workspace.path("run"), weightsAs: weightsAs), prompt: load == nil ? "the" : "",
                length: 6, saveState: save, loadState: load
            ).run { text += $0 }
            return text
        }
        let state = workspace.path("state")
        _ = try generate("int8", save: state)
        _ = try generate("int8", load: state)
        let error = #expect(throws: InputError.self) { try generate("float", load: state) }
        #expect(error?.message.hasPrefix("\(state): was saved with other weights") == true)
    }

    @Test("A batch is computed with rounded weights, without gradients")
    func aBatchIsComputedWithRoundedWeights() throws {
        let batch = workspace.path("batch.safetensors")
        var writer = SafetensorsWriter()
        for name in ["tokens", "targets"] {
            try writer.add(name, TokenTensor((0..<16).map { Int32($0 * 7 % 256) }, shape: [2, 8]))
        }
        try writer.write(to: batch)
        func logits(_ weightsAs: String?) throws -> [Float] {
            let output = workspace.path("output.safetensors")
            try EvaluateCommand(source: source(weightsAs), batch: batch, output: output).run(print: { _ in })
            return try SafetensorsFile(path: output).tensor("logits").values
        }
        let (float, rounded) = (try logits(nil), try logits("int8"))
        #expect(float != rounded && zip(float, rounded).allSatisfy { abs($0 - $1) < 0.2 })
        expectError("--weights-as int8: rounded weights have no --gradients; expected float") {
            try EvaluateCommand(source: source("int8"), batch: batch, output: "out", gradients: true).run(print: { _ in
            })
        }
    }

    @Test("Unknown formats and weights that cannot be rounded are named")
    func wordsAndWeightsThatDoNotFitAreNamed() throws {
        expectError(
            naming: "--weights-as", "expected", "float", "bfloat16", "int8", "\"int9\"", "did you mean", "\"int8\""
        ) {
            try GenerateCommand(source: source("int9"), prompt: "the").run { _ in }
        }
        var broken = try source("bfloat16")
        let config = try #require(broken.config)
        let model = try Zoo.architecture("flash").makeModel(
            JSONValue(parsing: workspace.read("foreign.json"), file: config), file: config, key: RandomKey(seed: 3))
        model.state.first { $0.key == "token_emb.weight" }?.parameter.value.mutablePointer[5] = .nan
        try model.save(to: workspace.path("foreign.safetensors"))
        broken.weights = workspace.path("foreign.safetensors")
        expectError(naming: "--weights-as bfloat16", "token_emb.weight", "nan") {
            try GenerateCommand(source: broken, prompt: "the").run { _ in }
        }
    }
}
