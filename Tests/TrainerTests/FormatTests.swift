import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// The folder `run-format-1` was written by version 0.1.0, before folders named their format: a run of 6 steps, stopped after 4.
@Suite struct FormatTests {
    let temporary = try! TemporaryFolder()

    private var path: String { temporary.path + "/run" }

    private func copyStored() throws {
        let stored = try #require(
            Bundle.module.url(forResource: "run-format-1", withExtension: nil, subdirectory: "Fixtures"))
        try FileManager.default.copyItem(at: stored, to: URL(fileURLWithPath: path))
    }

    private func resume(_ model: Bigram = Bigram(dropout: 0.2, seed: 99)) throws -> TrainingRun<Bigram> {
        try TrainingRun(
            resuming: RunFolder(path: path), model, on: byteSplit(), tokenizer: ByteTokenizer(), changing: { _ in })
    }

    private func replace(_ old: String, with new: String, in file: String = "config.json") throws {
        let text = try String(contentsOfFile: "\(path)/\(file)", encoding: .utf8)
        #expect(text.contains(old), "\(file)")
        try temporary.write(text.replacing(old, with: new), "run/\(file)")
    }

    @Test("A run of the first format is read with the weights and moments it was saved with, and goes on")
    func theFirstFormatIsRead() throws {
        try copyStored()
        let before = try MetricsLog.read(path: "\(path)/metrics.jsonl")
        #expect(before.count == 4)
        let stored = try SafetensorsFile(path: "\(path)/checkpoints/step-4/weights.safetensors")
        #expect(try RunFolder(path: path).configuration().format == 1)
        let model = Bigram(dropout: 0.2, seed: 99)
        let run = try resume(model)
        #expect(try model.table.weight.value.values == stored.tensor("table.weight").values)
        #expect(try model.output.weight.value.values == stored.tensor("output.weight").values)
        try run.train()
        let after = try MetricsLog.read(path: "\(path)/metrics.jsonl")
        #expect(after.map(\.step) == Array(1...6))
        #expect(Array(after.prefix(4)) == before)
        #expect(after[5].loss < before[0].loss)
    }

    @Test("A run of another version of the same format goes on")
    func anotherVersionIsRead() throws {
        try copyStored()
        try replace("\"0.1.0\"", with: "\"9.8.7\"")
        try resume().train()
        #expect(try RunFolder(path: path).savedSteps.last == 6)
    }

    @Test("What is made now names its format")
    func theFormatIsNamed() throws {
        try copyStored()
        try resume().train()
        let state = try SafetensorsFile(path: "\(path)/checkpoints/step-6/state.safetensors")
        #expect(state.metadata["run_format"] == "\(runFormat)")
        let split = try byteSplit()
        let options = TrainingOptions(sequenceLength: 16, batchSize: 2, length: .steps(1), learningRate: 1e-2)
        let new = temporary.path + "/new"
        _ = try TrainingRun(Bigram(), on: split, tokenizer: ByteTokenizer(), options: options, folder: new)
        let json = try JSONValue(
            parsing: Array(String(contentsOfFile: "\(new)/config.json", encoding: .utf8).utf8), file: "config.json")
        #expect(json.objectValue?["format"] == .integer(runFormat))
    }

    @Test("A newer format is refused by its number and version, and nothing is changed")
    func aNewerFormatIsRefused() throws {
        try copyStored()
        try replace("{\n", with: "{\n  \"format\": 3, \"unheard_of\": true,\n")
        try replace("\"0.1.0\"", with: "\"2.0.0\"")
        let before = try Data(contentsOf: URL(fileURLWithPath: "\(path)/config.json"))
        expectError(naming: "\(path)/config.json", "format 3", "version 2.0.0", packageVersion, "up to \(runFormat)") {
            try resume()
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(path)/config.json")) == before)
    }

    @Test(
        "A checkpoint of a newer format in a folder of an older one is refused, and not passed over as a damaged one is"
    )
    func aNewerCheckpointIsRefused() throws {
        try copyStored()
        try resume().train()
        let state = "\(path)/checkpoints/step-6/state.safetensors"
        var bytes = try Data(contentsOf: URL(fileURLWithPath: state))
        let place = try #require(bytes.range(of: Data("\"run_format\":\"2\"".utf8)))
        bytes[place.upperBound - 2] = UInt8(ascii: "3")
        try bytes.write(to: URL(fileURLWithPath: state))
        expectError(naming: "step-6/state.safetensors", "format 3", "version \(packageVersion)", "up to \(runFormat)") {
            try resume()
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: state)) == bytes)
    }
}
