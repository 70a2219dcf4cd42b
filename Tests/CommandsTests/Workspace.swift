@_exported import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// A folder of its own for a test, with a text and a trained tiny model to be asked for; goes with the last reference.
final class Workspace {
    private let temporary: TemporaryFolder
    var folder: String { temporary.path }

    init() throws { temporary = try TemporaryFolder() }

    func path(_ name: String) -> String { folder + "/" + name }

    @discardableResult
    func write(_ text: String, _ name: String) throws -> String { try temporary.write(text, name) }

    func read(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path(name))) }

    /// A text with something to learn.
    func text(_ name: String = "text.txt", lines: Int = 60) throws -> String {
        let words = ["the", "river", "runs", "long", "and", "zoo", "is", "open"]
        let text = (0..<lines).map { line in
            (0..<8).map { words[(line * 3 + $0 * (line % 5 + 1)) % words.count] }.joined(separator: " ") + ".\n"
        }
        return try write(text.joined(), name)
    }

    /// A training of a few steps of a very small FLASH.
    func tinyTraining(_ run: String, steps: Int = 2) throws -> Train {
        var command = try! Train.parse([])
        (command.model, command.config, command.data) = ("flash", try configuration(), [try text()])
        (command.sequenceLength, command.batchSize, command.accumulate) = (16, 2, 1)
        (command.steps, command.out, command.sampleEvery) = (steps, path(run), 0)
        return command
    }

    /// flash-pytorch's keywords for a very small model.
    func configuration(_ changes: String = "", name: String = "flash.json") throws -> String {
        try write(
            "{\"num_tokens\": 256, \"dim\": 8, \"depth\": 1, \"group_size\": 8, \"query_key_dim\": 4, \"causal\": true"
                + changes + "}", name)
    }

    /// The files of weights and configuration of an untrained model, as they might come from elsewhere.
    func foreign() throws -> ModelSource {
        let config = try configuration(name: "foreign.json")
        let model = try Zoo.architecture("flash").makeModel(
            JSONValue(parsing: Data(contentsOf: URL(fileURLWithPath: config)), file: config), file: config,
            key: RandomKey(seed: 3))
        try model.save(to: path("foreign.safetensors"))
        return ModelSource(model: "flash", config: config, weights: path("foreign.safetensors"))
    }
}

extension Train {
    /// Runs it and returns what happens, in lines for people.
    @discardableResult
    func lines() throws -> [String] {
        var lines: [String] = []
        try train(report: { lines.append($0.description) })
        return lines
    }
}
