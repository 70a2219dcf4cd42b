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

    @Test(
        "The commands generate with a run on a program's batches, report it, and say that only the program resumes it")
    func aRunOnOwnBatches() async throws {
        let workspace = try Workspace()
        var configuration = FLASHConfiguration(tokens: 256, dimension: 8, depth: 1)
        (configuration.isCausal, configuration.groupSize, configuration.queryKeyDimension) = (true, 8, 4)
        let batches = Batches { _, key in
            TokenBatch(rows: [key.integers(17).map { Int32($0 % 256) }])
        }
        let run = workspace.path("run")
        let options = TrainingOptions(length: .steps(2), validateEvery: 1)
        try await FLASHTransformer(configuration, key: RandomKey(seed: 1)).fit(
            batches, validation: [batches.batch(0, key: RandomKey(seed: 3))], options: options, folder: run,
            origin: RunOrigin(model: "flash", configuration: configuration)
        ).run()

        #expect(try Run(opening: run).generate("To", length: 3, sampling: .greedy).isEmpty == false)
        expectError("\(run): the run's batches are made by a program; expected a run on a text, or that program") {
            try Train.parse(["--resume", run, "--steps", "3"]).train()
        }
        let error = #expect(throws: InputError.self) {
            try EvaluateCommand(source: ModelSource(run: run)).run(print: { _ in })
        }
        #expect(error?.message.contains("as a program made the batches of the run in \(run)") == true)
        try Report.parse(["--runs", run]).write(print: { _ in })
        let page = try String(decoding: workspace.read("run/report.html"), as: UTF8.self)
        #expect(page.contains("own_batches") && !page.contains("Train --resume"))
    }

    @Test("The run of a module that is no language model is reported, and opened by no other command")
    func aRunOfAModule() async throws {
        let workspace = try Workspace()
        let run = workspace.path("run")
        let batches = Batches { _, key in Tensor.uniform([4, 2], key: key) }
        let options = TrainingOptions(length: .steps(3), validateEvery: 1)
        try await MLP([2, 1], key: RandomKey(seed: 1)).fit(
            batches, validation: [Tensor.uniform([4, 2], key: RandomKey(seed: 3))], options: options, folder: run
        ) { model, batch, mode in
            let y = model(batch, mode: mode)
            return (y * y).mean()
        }.run()
        try Report.parse(["--runs", run]).write(print: { _ in })
        #expect(try workspace.read("run/report.html").isEmpty == false)
        let error = #expect(throws: InputError.self) { try Run(opening: run) }
        #expect(error?.message.contains("\"model\": expected one of flash, ") == true)
    }
}
