import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// Runs made by a program, opened by the commands.
@Suite struct LibraryRunTests {
    @Test("The commands resume, evaluate, and continue a run made by a program")
    func aRunOfFitIsGoneOnWithAndAskedByTheCommands() async throws {
        let workspace = try Workspace()
        let file = try workspace.text()
        var configuration = FLASHConfiguration(tokens: 256, dimension: 8, depth: 1)
        (configuration.isCausal, configuration.groupSize, configuration.queryKeyDimension) = (true, 8, 4)
        let model = FLASHTransformer(configuration, key: RandomKey(seed: 1))
        let options = TrainingOptions(sequenceLength: 16, batchSize: 2, length: .steps(2), sampleEvery: 0)
        let origin = RunOrigin(model: "flash", configuration: configuration, data: [file])
        let run = workspace.path("run")
        let text = try TextSource(path: file)
        let last = try await model.fit(text, options: options, folder: run, origin: origin).run()

        var result = ""
        try EvaluateCommand(source: ModelSource(run: run), json: true).run(print: { result += $0 })
        let loss = try #require(
            try JSONValue(parsing: result.utf8, file: "Evaluate").objectValue?["loss"]?.doubleValue)
        let expected = try #require(last?.extra["validation_loss"])
        #expect(abs(loss - expected) <= 1e-6 * expected)  // in batches of another size: float32 sums in another order
        var command = try! Train.parse([])
        (command.resume, command.steps) = (run, 3)
        try command.train()
        #expect(try MetricsLog.read(path: run + "/metrics.jsonl").map(\.step) == [1, 2, 3])
    }
}
