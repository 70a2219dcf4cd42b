import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

@Suite struct VisualizeCommandTests {
    let workspace = try! Workspace()

    private func run(_ command: VisualizeCommand) throws -> [String] {
        var printed: [String] = []
        try command.run { printed.append($0) }
        return printed
    }

    /// Width and height of a PNG file, which stand behind the signature and the name of the first chunk.
    private func size(_ name: String) throws -> [Int] {
        let bytes = [UInt8](try workspace.read(name))
        #expect(bytes.prefix(8) == [137, 80, 78, 71, 13, 10, 26, 10])
        return [16, 20].map { bytes[$0..<$0 + 4].reduce(0) { $0 << 8 | Int($1) } }
    }

    @Test("The attention of a run is drawn")
    func picturesOfARun() throws {
        try workspace.tinyTraining("flash").lines()
        var local = try workspace.tinyTraining("local")
        (local.model, local.sequenceLength) = ("local", 32)
        local.config = try workspace.write(
            "{\"num_tokens\": 256, \"dim\": 8, \"depth\": 2, \"heads\": 3, \"dim_head\": 4, \"causal\": true,"
                + " \"local_attn_window_size\": 8, \"max_seq_len\": 32}", "local.json")
        try local.lines()

        // One layer of one head reads 16 tokens: 20 dots each.
        var command = VisualizeCommand(
            source: ModelSource(run: workspace.path("flash")), out: workspace.path("flash.png"))
        #expect(try run(command) == [workspace.path("flash.png")])
        // Margins, two lines of title, a note, the picture with its label, the key.
        #expect(try size("flash.png") == [476, 28 + 72 + 24 + 12 + 320 + 30 + 12 + 26 + 28])
        // Two layers of three heads; both files; the first twenty tokens of another text, 16 dots each.
        command = VisualizeCommand(
            source: ModelSource(run: workspace.path("local")), text: try workspace.text("other.txt"), length: 20,
            title: "Windows", out: workspace.path("local.png"), spectrum: workspace.path("local.html"))
        #expect(try run(command) == [workspace.path("local.png"), workspace.path("local.html")])
        let picture = try size("local.png")
        #expect(picture[0] == 2 * 28 + 24 + 3 * 320 + 2 * 12 && picture[1] > 640)
        let page = String(decoding: try workspace.read("local.html"), as: UTF8.self)
        for text in [">Windows<", "20 tokens", "up to 5 of 20", ">Head 3<"] { #expect(page.contains(text), "\(text)") }
        // A layer and two heads of it.
        (command.options.layers, command.options.heads, command.options.spectrum) = ([2], [3, 1], nil)
        #expect(try run(command) == [workspace.path("local.png")])
        #expect(try size("local.png")[0] == 2 * 28 + 24 + 2 * 320 + 12)
        // The spectrum alone.
        command.options.out = nil
        command.options.spectrum = workspace.path("local.svg")
        #expect(try run(command) == [workspace.path("local.svg")])
        let svg = String(decoding: try workspace.read("local.svg"), as: UTF8.self)
        #expect(svg.contains(">Layer 2<") && !svg.contains(">Layer 1<"))
    }

    @Test("The states of a stream are drawn, beyond a segment")
    func statesOfARun() throws {
        var training = try workspace.tinyTraining("recurrent")
        (training.model, training.sequenceLength) = ("block-recurrent", 16)
        training.config = try workspace.write(
            "{\"num_tokens\": 256, \"dim\": 8, \"depth\": 2, \"heads\": 2, \"dim_head\": 4, \"block_width\": 8,"
                + " \"max_seq_len\": 16, \"num_state_vectors\": 3, \"recurrent_layers\": [2]}", "recurrent.json")
        try training.lines()
        var command = VisualizeCommand(
            source: ModelSource(run: workspace.path("recurrent")), text: try workspace.text("other.txt"), length: 50,
            states: workspace.path("states.html"))
        #expect(try run(command) == [workspace.path("states.html")])
        let page = String(decoding: try workspace.read("states.html"), as: UTF8.self)
        // Six blocks of 8 of the 50 tokens.
        for text in [">Layer 2: states<", ">State 3<", ">48<", "50 tokens"] { #expect(page.contains(text), "\(text)") }
        command.options.states = workspace.path("states.png")
        #expect(throws: InputError.self) { try run(command) }
        try workspace.tinyTraining("flash").lines()
        command = VisualizeCommand(
            source: ModelSource(run: workspace.path("flash")), states: workspace.path("none.html"))
        #expect(throws: InputError("--states: the model has none; expected a block-recurrent transformer")) {
            try run(command)
        }
    }

    @Test("The attention of weights from elsewhere is drawn")
    func picturesOfWeightsFromElsewhere() throws {
        let command = VisualizeCommand(
            source: try workspace.foreign(), text: try workspace.text(), nLimit: 10, sharesScale: true,
            out: workspace.path("heads.PNG"))
        #expect(try run(command) == [workspace.path("heads.PNG")])
        // 480 tokens and more of them: 512 at most, averaged to 320 dots.
        #expect(try size("heads.PNG")[0] == 476)
    }

    /// The calls of linformer-pytorch's Visualizer.
    @Test("The attention of single layers is drawn on vectors")
    func picturesOfLayersOnVectors() throws {
        var configuration = LinformerConfiguration(inputSize: 16, channels: 8, slots: 4)
        (configuration.heads, configuration.depth) = (2, 3)
        let x = Tensor.normal([1, 16, 8], key: RandomKey(seed: 1))
        let model = Visualizer(Linformer(configuration, key: RandomKey(seed: 2)))
        #expect(model.attention(of: x).map { $0.weights.shape } == [[1, 2, 16, 4], [1, 2, 16, 4], [1, 2, 16, 4]])
        try model.plotAllHeads(x, title: "All 3 layers", to: workspace.path("layers.png"), nLimit: 8)
        #expect(try size("layers.png")[0] == 2 * 28 + 24 + 2 * 320 + 12)
        let layer = Visualizer(MHAttention(configuration, key: RandomKey(seed: 2)))
        #expect(layer.attention(of: x).count == 1)
    }

    /// Encoder, decoder, and cross attention: a window and, after the start token, its reversal.
    @Test("The attention of an encoder-decoder is drawn for a reversal")
    func picturesOfAnEncoderDecoder() throws {
        var training = try workspace.tinyTraining("reversal")
        (training.model, training.config, training.objective) = ("linformer", nil, "reverse")
        (training.preset, training.sequenceLength) = ("tiny", 12)
        try training.lines()
        let command = VisualizeCommand(
            source: ModelSource(run: workspace.path("reversal")), text: try workspace.text("other.txt"),
            out: workspace.path("all.png"))
        #expect(try run(command) == [workspace.path("all.png")])
        let heads = VisualizeCommand(
            source: command.source, text: command.options.text, layers: [1], out: workspace.path("one.png"))
        #expect(try run(heads) == [workspace.path("one.png")])
        #expect(try size("all.png")[1] > 2 * size("one.png")[1])
        var projected = command
        (projected.options.out, projected.options.spectrum) = (nil, workspace.path("x.svg"))
        let error = #expect(throws: InputError.self) { try run(projected) }
        #expect(error?.message.contains("expected the square ones of attention to all tokens") ?? false)
    }

    @Test("Wrong options are named and draw nothing")
    func badInput() throws {
        try workspace.tinyTraining("run").lines()
        let (run, text) = (workspace.path("run"), try workspace.text())
        func refusal(
            _ message: String, location: SourceLocation = #_sourceLocation,
            _ change: (inout VisualizeCommand) throws -> Void
        ) throws {
            var command = VisualizeCommand(source: ModelSource(run: run), out: workspace.path("refused.png"))
            try change(&command)
            expectError(message, sourceLocation: location) { try command.run { _ in } }
            #expect(!FileManager.default.fileExists(atPath: workspace.path("refused.png")), sourceLocation: location)
        }
        try refusal("--length: expected a whole number from 1 to 8192, found 0") { $0.options.length = 0 }
        try refusal("--length: expected a whole number from 1 to 8192, found 100000") { $0.options.length = 100_000 }
        try refusal("--n-limit: expected a whole number from 1 to 8192, found -1") { $0.options.nLimit = -1 }
        try refusal("--threads: expected a whole number of at least 1, found 0") { $0.options.threads = 0 }
        try refusal("--layers: expected 1 to 1, found 2") { $0.options.layers = [1, 2] }
        try refusal("--heads: expected 1 to 1, found 0") { $0.options.heads = [0] }
        try refusal("--out: expected a name that ends in .png, found \"heads.jpg\"") { $0.options.out = "heads.jpg" }
        try refusal("--spectrum: expected a name that ends in .svg or .html, found \"x.png\"") {
            $0.options.spectrum = "x.png"
        }
        let nowhere = workspace.path("none/heads.png")
        try refusal("\(nowhere): cannot be written: No such file or directory") { $0.options.out = nowhere }
        let none = workspace.path("none.txt")
        try refusal("\(none): cannot be read: No such file or directory") { $0.options.text = none }
        let short = try workspace.write("twelve bytes", "short.txt")
        try refusal("\(short): has 12 tokens; expected at least 13") {
            ($0.options.text, $0.options.length) = (short, 13)
        }
        try refusal("--text is missing; expected --text FILE, or --run FOLDER") { $0.source = try workspace.foreign() }
        try refusal("--model: cannot be combined with --run, whose folder says it already") {
            $0.source.model = "flash"
        }
        let wide = VisualizeCommand(source: try narrow(), text: text, out: workspace.path("refused.png"))
        expectError("\(text): has tokens outside the model's vocabulary; expected 0 to 99") { try self.run(wide) }
        // The text of the run has changed.
        try workspace.write(String(decoding: try workspace.read("text.txt"), as: UTF8.self).uppercased(), "text.txt")
        var command = VisualizeCommand(source: ModelSource(run: run))
        command.options.out = workspace.path("refused.png")
        let error = #expect(throws: InputError.self) { try command.run { _ in } }
        #expect(error?.message.contains("differs from what the run in \(run) held back") ?? false)
        #expect(error?.message.hasSuffix("; expected --text with another text") ?? false)
    }

    /// A model of fewer tokens than there are bytes.
    private func narrow() throws -> ModelSource {
        let config = try workspace.write(
            String(contentsOfFile: workspace.configuration(), encoding: .utf8).replacingOccurrences(
                of: "256", with: "100"),
            "narrow.json")
        let model = try Zoo.architecture("flash").makeModel(
            JSONValue(parsing: workspace.read("narrow.json"), file: config), file: config, key: RandomKey(seed: 1))
        try model.save(to: workspace.path("narrow.safetensors"))
        return ModelSource(model: "flash", config: config, weights: workspace.path("narrow.safetensors"))
    }
}

extension ExecutableTests {
    @Test("The executable draws a run")
    func visualizeARun() throws {
        try workspace.tinyTraining("x").lines()
        let outcome = try run(
            "Visualize", "--run", "x", "--length", "9", "--layers", "1", "--heads", "1", "--common-scale")
        #expect(outcome.code == 0 && outcome.error == "" && outcome.output == "heads.png\n")
        #expect(try workspace.read("heads.png").count > 500)
        let failure = try run("Visualize", "--run", "none")
        #expect(failure.code == 1)
        #expect(failure.error == "error: none: is no run folder: expected it to hold config.json\n")
    }
}
