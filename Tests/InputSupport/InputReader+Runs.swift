import Foundation
@_spi(Inputs) import ModelZoo

/// The smallest model of an architecture.
func tinyModel(_ id: String, vocabulary: Int = 256) throws -> any LanguageModel {
    try Zoo.architecture(id).makeModel(tinySize(vocabulary), key: RandomKey(seed: 1))
}

private func tinySize(_ vocabulary: Int = 256) -> ModelSize {
    ModelSize(vocabulary: vocabulary, width: 4, depth: 1, heads: 1, sequenceLength: 8, window: 4)
}

extension InputReader {
    /// Configurations of models: `{"model": ID, "configuration": {…}}`. What is accepted must make a model that reads.
    static func modelConfiguration() throws -> InputReader {
        func document(_ id: String, _ configuration: String) -> [UInt8] {
            Array(#"{"configuration": \#(configuration), "model": "\#(id)"}"#.utf8)
        }
        var valid: Samples = [:]
        for id in Zoo.identifiers {
            let configuration = try Zoo.architecture(id).configuration(tinySize(8))
            valid[id] = document(id, String(decoding: try JSONEncoder().encode(configuration), as: UTF8.self))
        }
        return InputReader(
            "model-configuration", file: "model.json", in: try InputFolder(), valid: valid,
            doubtful: [
                "no-object": document("flash", "null"), "nothing": document("linformer", "{}"),
                "unknown": document("flash", #"{"num_token": 8}"#),
                "uneven": document("local", #"{"num_tokens": 8, "dim": 5, "depth": 1, "heads": 2}"#),
            ],
            words: Zoo.identifiers + ["true", "false", "null"]
        ) { path in
            guard let model = try FileInputs.makeSmallModel(path: path, key: RandomKey(seed: 1)) else { return }
            let input = TokenTensor([0], shape: [1, 1])
            let logits = withoutGradients { model(input, mode: .inference) }
            precondition(logits.shape == [1, 1, model.vocabularySize], "logits \(logits.shape)")
        }
    }

    /// A run's config.json.
    static func runConfiguration() throws -> InputReader {
        let run = try TinyRun()
        let valid = try run.bytes("config.json")
        let text = String(decoding: valid, as: UTF8.self)
        func changed(_ old: String, _ new: String) -> [UInt8] {
            Array(text.replacingOccurrences(of: old, with: new).utf8)
        }
        return InputReader(
            "run-configuration", file: "config.json", in: run.folder, valid: ["config": valid],
            doubtful: [
                "batches": changed("\"batch_size\": 2", "\"batch_size\": 9223372036854775807"),
                "steps": changed("\"steps\": 2", "\"steps\": 9223372036854775807"),
                "epochs": changed("\"steps\": 2", "\"epochs\": 9223372036854775807"),
                "minutes": changed("\"steps\": 2", "\"minutes\": 1e308"),
                "negative": changed("\"steps\": 2", "\"steps\": -2"), "cut": Array(valid.dropLast(20)),
            ],
            words: text.split { !$0.isLetter && $0 != "_" }.map(String.init)
        ) { path in
            _ = try RunRecord(RunFolder(path: run.folder.path)).configuration
        }
    }

    /// A run's metrics.jsonl, with the report of it.
    static func metrics() throws -> InputReader {
        let run = try TinyRun()
        let valid = try run.bytes("metrics.jsonl")
        let text = String(decoding: valid, as: UTF8.self)
        let configuration = try RunFolder(path: run.folder.path).configuration()
        func line(_ members: String) -> [UInt8] {
            valid
                + Array(#"{"step":3,"tokens":48,\#(members),"gradient_norm":1,"tokens_per_second":1,"seconds":1}"#.utf8)
                + [10]
        }
        return InputReader(
            "metrics", file: "metrics.jsonl", in: run.folder, valid: ["metrics": valid],
            doubtful: [
                "cut": Array(valid.dropLast(9)), "twice": valid + valid,
                "power-cut": valid + Array(repeating: 0, count: 50) + [10],
                "negative": line(#""loss":1,"bits_per_byte":-1,"learning_rate":1"#),
                "large": line(#""loss":1e308,"bits_per_byte":1e308,"learning_rate":1e308"#),
            ],
            words: text.split { !$0.isLetter && $0 != "_" }.map(String.init)
        ) { path in
            let metrics = try MetricsLog.read(path: path)
            let record = RunRecord(
                name: "run", path: run.folder.path, configuration: configuration, parameters: 1, metrics: metrics,
                samples: [])
            let page = RunReport(record).html
            precondition(page.contains("</html>"), "the report ends early: \(page.suffix(40))")
        }
    }

    /// The state of a checkpoint, with right checksums: the run is resumed, and makes a step.
    static func trainingState() throws -> InputReader {
        let run = try TinyRun()
        let original = run.folder
        let state = "checkpoints/step-2/state.safetensors"
        let valid = try run.bytes(state)
        func changed(_ key: String, _ value: String) -> [UInt8] { changingMetadata(valid, key, value) }
        var copy = try InputFolder()
        var isFresh = false
        return InputReader(
            "training-state", file: "state.safetensors", in: try InputFolder(), valid: ["state": valid],
            doubtful: [
                "tokens": changed("tokens", "9223372036854775807"), "negative": changed("tokens", "-5"),
                "seconds": changed("seconds", "inf"), "best": changed("best_bits_per_byte", "-inf"),
                "best-step": changed("best_step", "9223372036854775807"),
                "position": changed("position", #"{\"epoch\":9223372036854775807}"#), "step": changed("step", "3"),
            ],
            words: headerWords + ["position", "followed", "optimizer", "steps", "carry/", "epoch", "inf", "nan"]
        ) { path in
            if !isFresh {
                copy = try InputFolder()
                try FileManager.default.removeItem(atPath: copy.path)
                try FileManager.default.copyItem(atPath: original.path, toPath: copy.path)
            }
            isFresh = true
            let input = withHeaderLength(try contents(ofFile: path))
            try copy.write(input, state)
            try copy.write(withChecksum(input, of: SafetensorsFile(path: copy.path + "/" + state)), state)
            isFresh = false
            try run.resume(copy.path)
        }
    }

    /// Reads files of `Generate --save-state`, one of each architecture that saves a state, and continues the text. The
    /// metadata name the architecture.
    static func generationState() throws -> InputReader {
        let folder = try InputFolder()
        var (models, valid): ([String: any LanguageModel], Samples) = ([:], [:])
        for id in Zoo.identifiers {
            let model = try tinyModel(id)
            if let saved = try savedText(of: model, id, in: folder) { (models[id], valid[id]) = (model, saved) }
        }
        let any = valid.min { $0.key < $1.key }!.value
        return InputReader(
            "generation-state", file: "text.safetensors", in: folder, valid: valid,
            doubtful: [
                "position": changingMetadata(any, "position", "9223372036854775807"),
                "negative": changingMetadata(any, "position", "-1"),
                "other-weights": changingMetadata(any, "weights_crc32", "00000000"), "cut": Array(any.dropLast(7)),
            ],
            words: headerWords + Zoo.identifiers + ["carry/", "unread", "pending", "position", "weights_crc32"]
        ) { path in
            let input = try contents(ofFile: path)
            let repaired = withHeaderLength(input)
            if repaired != input { try folder.write(repaired, "text.safetensors") }
            guard let id = try SafetensorsFile(path: path).metadata["model"], let model = models[id] else {
                throw InputError("\(path): is of no model of the tests")
            }
            try goOn(model, path)
        }
    }

    private static func savedText<Model: LanguageModel>(
        of model: Model, _ id: String, in folder: InputFolder
    ) throws -> [UInt8]? {
        var state: GenerationState<Model>?
        try model.generate("ab", state: &state, length: 3, tokenizer: ByteTokenizer())
        let path = folder.path + "/saved"
        do { try model.save(state!, to: path, origin: ["model": id]) } catch is InputError { return nil }
        return try contents(ofFile: path)
    }

    private static func goOn<Model: LanguageModel>(_ model: Model, _ path: String) throws {
        var state: GenerationState<Model>? = try model.loadGenerationState(from: path)
        try model.generate("c", state: &state, length: 2, tokenizer: ByteTokenizer())
        try model.save(state!, to: path + "-again")
    }
}
