import Foundation
import ModelZoo
import Synchronization
import Testing

@testable import AttentionZooCommands

/// Weights as they come from elsewhere, through the commands: what had to be done is said, on standard error.
@Suite struct ForeignWeightsTests {
    let workspace = try! Workspace()

    /// Rewrites the weights of `source` under other names, `shards` files of them, and returns where they are.
    private func rewrite(
        _ source: ModelSource, prefix: String = "", dropping lost: Set<String> = [], into name: String, shards: Int = 1
    ) throws -> String {
        let file = try SafetensorsFile(path: source.weights!)
        try FileManager.default.createDirectory(atPath: workspace.path(name), withIntermediateDirectories: true)
        for shard in 0..<shards {
            var writer = SafetensorsWriter()
            for (index, key) in file.names.enumerated() where index % shards == shard && !lost.contains(key) {
                try writer.add(prefix + key, file.tensor(key))
            }
            try writer.write(to: workspace.path("\(name)/model-0000\(shard + 1)-of-0000\(shards).safetensors"))
        }
        return workspace.path(name)
    }

    /// A FLASH of two layers, whose rotary frequencies are shared.
    private func source() throws -> ModelSource {
        var source = try workspace.foreign()
        source.config = try workspace.configuration(", \"laplace_attn_fn\": true", name: "two.json")
        let config = try String(contentsOfFile: source.config!, encoding: .utf8)
            .replacingOccurrences(of: "\"depth\": 1", with: "\"depth\": 2")
        try workspace.write(config, "two.json")
        let model = try Zoo.architecture("flash").makeModel(
            JSONValue(parsing: config.utf8, file: "two.json"), file: "two.json", key: RandomKey(seed: 4))
        try model.save(to: source.weights!)
        return source
    }

    private func evaluate(_ source: ModelSource, _ weights: String) throws -> Outcome {
        try workspace.run(
            "Evaluate",
            [
                "--model", "flash", "--config", source.config!, "--weights", weights, "--data", workspace.text(),
                "--json",
                "--sequence-length", "16", "--threads", "1",
            ])
    }

    @Test(
        "Wrapped names, shared tensors stored once and several files give the same numbers, and a note of what was done"
    )
    func notes() throws {
        let source = try source()
        let plain = try evaluate(source, source.weights!)
        #expect(plain.code == 0 && plain.error == "")
        let shared = "layers.1.rotary_pos_emb.freqs"
        for (folder, prefix, lost, shards, note) in [
            ("wrapped", "module._orig_mod.", [], 1, "\"module._orig_mod.\" taken off all names"),
            (
                "once", "", [shared], 1,
                "1 shared parameter taken from another name (\(shared) from layers.0.rotary_pos_emb.freqs)"
            ),
            ("shards", "", [], 3, "read from 3 files"),
        ] as [(String, String, Set<String>, Int, String)] {
            let path = try rewrite(source, prefix: prefix, dropping: lost, into: folder, shards: shards)
            let outcome = try evaluate(source, path)
            #expect(outcome.code == 0 && outcome.output == plain.output)
            let opened = shards == 1 ? path + "/model-00001-of-00001.safetensors" : path
            #expect(outcome.error == "note: \(opened): \(note)\n")
        }
    }

    @Test("The library's source hands the same note to its caller, and has none of a run's own weights")
    func libraryNote() throws {
        let notes = Mutex<[String]>([])
        var source = try source()
        source.note = { line in notes.withLock { $0.append(line) } }
        source.weights = try rewrite(source, prefix: "model.", into: "wrapped")
        try GenerateCommand(source: source, prompt: "zoo", length: 3).run { _ in }
        #expect(
            notes.withLock { $0 } == [
                "\(source.weights!)/model-00001-of-00001.safetensors: \"model.\" taken off all names"
            ])
        try workspace.tinyTraining("run", steps: 1).lines()
        var run = ModelSource(run: workspace.path("run"))
        run.note = source.note
        try GenerateCommand(source: run, prompt: "zoo", length: 3).run { _ in }
        #expect(notes.withLock { $0 }.count == 1)
    }

    @Test("The wrong file by the name of weights says what it is, in one line and with exit code 1")
    func wrongFiles() throws {
        let source = try source()
        for (content, kind) in [
            ("version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 1\n", "a Git LFS pointer"),
            ("<!DOCTYPE html><html></html>", "an HTML page"), ("", "an empty file"),
        ] {
            let path = try workspace.write(content, "wrong.safetensors")
            let outcome = try evaluate(source, path)
            #expect(outcome.code == 1 && outcome.output == "")
            #expect(outcome.error.hasPrefix("error: \(path): is \(kind)"))
            #expect(outcome.error.filter { $0 == "\n" }.count == 1)
        }
        expectError(
            naming: "\(source.config!)", "\"weight_map\" is missing", "expected", "safetensors"
        ) {
            var wrong = source
            wrong.weights = source.config
            try GenerateCommand(source: wrong, prompt: "zoo", length: 3).run { _ in }
        }
    }

    @Test("Other tensors of a batch are named in a note")
    func unreadTensors() throws {
        let source = try source()
        var writer = SafetensorsWriter()
        for name in ["tokens", "targets"] { try writer.add(name, TokenTensor([1, 2, 3], shape: [1, 3])) }
        let bytes = [UInt8](repeating: 0, count: 8)
        try writer.add("phases", dtype: .other("C64"), shape: [1]) { output in
            try bytes.withUnsafeBytes { try output($0) }
        }
        let batch = workspace.path("batch.safetensors")
        try writer.write(to: batch)
        let outcome = try workspace.run(
            "Evaluate",
            [
                "--model", "flash", "--config", source.config!, "--weights", source.weights!, "--batch", batch,
                "--output",
                workspace.path("out.safetensors"), "--threads", "1",
            ])
        #expect(outcome.code == 0)
        #expect(outcome.error == "note: \(batch): not read: phases; expected \"tokens\" and \"targets\"\n")
    }
}
