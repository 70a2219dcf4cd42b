import Foundation
import Testing

@testable import ModelZoo

/// A model that memory cannot hold is refused before any of it is made.
@Suite("Models and memory") struct ModelMemoryTests {
    static let presets: [(String, String, ObjectiveKind?)] = Zoo.identifiers.flatMap { id in
        [(id, "tiny", nil), (id, "quick", nil)] + (id == "linformer" ? [(id, "quick", .reverse)] : [])
    }

    static let variants: [(String, [String: JSONValue])] = [
        ("flash", ["norm_type": .string("layernorm"), "causal": .bool(false)]),
        (
            "local",
            ["use_dynamic_pos_bias": .bool(true), "qk_rmsnorm": .bool(true), "num_residual_streams": .integer(3)]
        ),
        ("local", ["num_residual_streams": .integer(1), "gate_values_per_head": .bool(true)]),
        (
            "linformer",
            ["method": .string("convolution"), "causal": .bool(false), "projection_start": .string("xavier")]
        ),
        ("linformer", ["method": .string("no_params"), "causal": .bool(false), "projection_start": .string("xavier")]),
        ("linformer", ["parameter_sharing": .string("kv"), "emb_dim": .integer(24)]),
        ("linformer", ["parameter_sharing": .string("none"), "w_o_intermediate_dim": .integer(16)]),
        ("linformer", ["full_attention": .bool(true)]),
        (
            "linformer",
            [
                "causal": .string("segments"), "window_positions": .string("relative"), "slot_distances": .integer(3),
                "segment_projection": .string("learnable"),
            ]
        ),
        ("linformer", ["causal": .string("segments"), "segment_projection": .string("convolution")]),
        (
            "linformer",
            ["causal": .string("segments"), "parameter_sharing": .string("none"), "segment_slots": .integer(2)]
        ),
        ("fast-weights", ["feature_map": .string("favor"), "favor_features": .integer(9)]),
        ("fast-weights", ["update_rule": .string("sum")]), ("fast-weights", ["d_ff": .integer(0)]),
        (
            "fast-weights",
            [
                "short_convolution": .integer(4), "decay": .string("scalar"), "output_norm": .string("rms"),
                "output_gate": .bool(true), "norm": .string("rms"),
            ]
        ),
        (
            "block-recurrent",
            ["use_compressed_mem": .bool(true), "gate": .string("lstm"), "state_update": .string("dual")]
        ),
        ("block-recurrent", ["feedback": .bool(true), "all_layers_qk_rmsnorm": .bool(true)]),
    ]

    private func members(_ id: String, _ preset: String, _ objective: ObjectiveKind? = nil) throws -> [String:
        JSONValue]
    {
        try Zoo.architecture(id).presetJSON(preset, objective: objective).configuration.objectValue!
    }

    @Test("The outline of a model has the shapes of the model, and takes no memory", arguments: presets)
    func outlines(_ id: String, _ preset: String, _ objective: ObjectiveKind?) throws {
        try expectOutline(id, members(id, preset, objective))
    }

    @Test("So has the outline of every form of a model", arguments: variants)
    func formsOfModels(_ id: String, _ changes: [String: JSONValue]) throws {
        try expectOutline(id, members(id, "tiny").merging(changes) { $1 })
    }

    private func expectOutline(_ id: String, _ members: [String: JSONValue]) throws {
        let architecture = try Zoo.architecture(id)
        let configuration = JSONValue.object(members)
        func make() throws -> any LanguageModel {
            try architecture.makeModel(configuration, file: "c.json", key: RandomKey(seed: 1))
        }
        let model = try make()
        let outline = try Outline.making { try make() }
        #expect(outline.state.map(\.key) == model.state.map(\.key))
        #expect(outline.state.map(\.parameter.shape) == model.state.map(\.parameter.shape))
        #expect(outline.trainable.map(\.key) == model.trainable.map(\.key))
        let held = outline.state.reduce(0) {
            $0 + ($1.parameter.value.heldBytes < 1024 ? 0 : $1.parameter.value.heldBytes)
        }
        #expect(held < 16 << 10, "\(held)")
        #expect(ModelMemory(of: outline).floats == ModelMemory(of: model).floats)
        #expect(!Outline.isActive)
        // Made after an outline, a model is what it is without.
        #expect(try make().state.map(\.parameter.value.values) == model.state.map(\.parameter.value.values))
    }

    static let tooLarge: [(String, [String: Int], String)] = [
        ("flash", ["dim": 1 << 24], "dim"), ("flash", ["num_tokens": 1 << 24, "dim": 1 << 22], "dim"),
        ("flash", ["dim": 1 << 20, "depth": 1 << 14], "dim"),
        ("local", ["dim": 1 << 24], "dim"), ("local", ["dim_head": 1 << 24, "heads": 1 << 12], "heads"),
        ("linformer", ["channels": 1 << 24, "emb_dim": 1 << 24], "channels"),
        ("linformer", ["input_size": 1 << 24, "dim_k": 1 << 24], "dim_k"),
        ("linformer", ["nhead": 1 << 12, "dim_d": 1 << 20, "depth": 1 << 14], "depth"),
        ("fast-weights", ["d_model": 1 << 24, "heads": 1], "d_model"),
        ("fast-weights", ["n_layers": 1 << 14, "d_ff": 1 << 24], "n_layers"),
        ("block-recurrent", ["dim": 1 << 24], "dim"), ("block-recurrent", ["depth": 1 << 14, "dim": 1 << 18], "dim"),
        ("transformer", ["dim": 1 << 24, "depth": 1 << 14], "dim"),
        ("transformer", ["num_tokens": 1 << 24, "dim": 1 << 23], "dim"),
    ]

    @Test("What is too large says how much it takes, how much there is, and which key to lower", arguments: tooLarge)
    func refused(_ id: String, _ sizes: [String: Int], _ key: String) throws {
        var members = try members(id, "tiny")
        for (key, size) in sizes { members[key] = .integer(size) }
        let error = #expect(throws: InputError.self) {
            _ = try Zoo.architecture(id).makeModel(.object(members), file: "c.json", key: RandomKey(seed: 1))
        }
        let message = error?.message ?? ""
        #expect(message.hasPrefix("c.json: the model's weights take "), "\(message)")
        #expect(message.contains("; expected at most ") && !message.contains("\n"), "\(message)")
        #expect(message.contains(": lower \"\(key)\", which is \(sizes[key]!)"), "\(message)")
    }

    static let greatestSizes: [(String, String, Int)] = [
        ("flash", "depth", 16_384), ("local", "depth", 16_384), ("linformer", "depth", 16_384),
        ("fast-weights", "n_layers", 16_384), ("block-recurrent", "depth", 16_384), ("transformer", "depth", 16_384),
        ("local", "heads", 4096), ("linformer", "nhead", 4096), ("transformer", "heads", 4096),
        ("local", "num_residual_streams", 256), ("fast-weights", "favor_features", 65_536),
        ("flash", "dim", 16_777_216), ("block-recurrent", "block_width", 16_777_216),
    ]

    @Test("Layers and heads have greatest numbers", arguments: greatestSizes)
    func greatest(_ id: String, _ key: String, _ most: Int) throws {
        for value in [most + 1, 16_777_217, Int.max] {
            var members = try members(id, "tiny")
            members[key] = .integer(value)
            #expect(throws: InputError("c.json: \"\(key)\": expected at most \(most), found \(value)")) {
                _ = try Zoo.architecture(id).makeModel(.object(members), file: "c.json", key: RandomKey(seed: 1))
            }
        }
    }

    @Test("A training that memory cannot hold is refused before its folder is made")
    func trainings() throws {
        let split = try DataSplit(
            ByteTokenizer().tokens(of: TextSource(String(repeating: "the zoo is open. ", count: 200), name: "a text")),
            sequenceLength: 16)
        let model = try Zoo.architecture("transformer").makeModel(
            .object([
                "num_tokens": .integer(256), "dim": .integer(4096), "depth": .integer(1), "heads": .integer(1),
                "dim_head": .integer(2), "ff_mult": .number(0.001),
            ]), file: "c.json", key: RandomKey(seed: 1))
        func begin(_ model: some LanguageModel) throws {
            _ = try TrainingRun(
                model, on: split, tokenizer: ByteTokenizer(),
                options: TrainingOptions(sequenceLength: 16, batchSize: 1 << 24), folder: "/nowhere/run")
        }
        let error = #expect(throws: OptionError.self) { try begin(model) }
        #expect(error?.property == "batchSize")
        let message = error?.description ?? ""
        #expect(message.hasPrefix("gradients, optimizer and activations of a step take at least "), "\(message)")
        #expect(message.hasSuffix(": lower batchSize, which is 16777216"), "\(message)")
    }
}
