import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

@Suite("Commands on a run whose last save was cut off after its commit") struct CutSaveCommandTests {
    let workspace = try! Workspace()

    /// A training that saves every step, in which the last weights are the best.
    func training(_ name: String) throws -> Train {
        var training = try workspace.tinyTraining(name, steps: 4)
        (training.saveEvery, training.validateEvery, training.learningRate, training.seed) = (1, 1, 1e-2, 5)
        return training
    }

    /// Has a training fail, as if it had been killed, before the run's own weights are those of the last step, or before old
    /// checkpoints are removed.
    func cut(_ name: String, beforeRemoving: Bool = false) throws {
        let folder = workspace.path(name)
        let training = try training(name)
        let isOver: @Sendable () -> Bool = { FileManager.default.fileExists(atPath: folder + "/checkpoints/step-4") }
        let kill: @Sendable (String, String) throws -> Void = { operation, path in
            let isPlace =
                beforeRemoving
                ? operation == "rename" && path.hasSuffix("/step-3")
                : operation == "create" && path == folder + "/weights.safetensors"
            if isPlace && isOver() { throw InputError("killed") }
        }
        #expect(throws: TrainingFault.self) {
            try DiskOperations.$observer.withValue(kill, operation: { _ = try training.train() })
        }
        #expect(isOver())
        #expect(try checkpoints(name).contains("step-3"))
        if !beforeRemoving {
            #expect(try SafetensorsFile(path: folder + "/weights.safetensors").metadata["step"] == "3")
        }
    }

    func checkpoints(_ name: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: workspace.path(name) + "/checkpoints").sorted()
    }

    func evaluation(_ name: String, warn: @escaping @Sendable (String) -> Void = { _ in }) throws -> String {
        var source = ModelSource(run: workspace.path(name))
        source.warn = warn
        var printed = ""
        try EvaluateCommand(source: source, json: true).run(print: { printed += $0 })
        return printed
    }

    @Test("Evaluate, Generate and Report find a run as if it had come to its end", arguments: [false, true])
    func readers(beforeRemoving: Bool) throws {
        try training("whole").train()
        let expected = try evaluation("whole")
        try cut("evaluated", beforeRemoving: beforeRemoving)
        #expect(try evaluation("evaluated") { Issue.record("\($0)") } == expected)
        #expect(try checkpoints("evaluated") == ["step-4"])

        func text(_ name: String) throws -> String {
            var text = ""
            try GenerateCommand(source: ModelSource(run: workspace.path(name)), prompt: "the", length: 40).run {
                text += $0
            }
            return text
        }
        try cut("generated", beforeRemoving: beforeRemoving)
        #expect(try text("generated") == text("whole"))
        #expect(try checkpoints("generated") == ["step-4"])

        try cut("reported", beforeRemoving: beforeRemoving)
        try Report(runs: [workspace.path("reported")]).write(print: { _ in })
        #expect(try checkpoints("reported") == ["step-4"])
        #expect(try workspace.read("reported/weights.safetensors") == workspace.read("whole/weights.safetensors"))
    }

    @Test("Evaluate names the checkpoint it reads where the run is in use")
    func readersOfARunInUse() throws {
        try training("whole").train()
        try cut("run")
        let folder = workspace.path("run")
        let lock = try RunLock(folder: folder)
        let warnings = Warnings()
        #expect(try evaluation("run") { warnings.append($0) } == evaluation("whole"))
        #expect(
            warnings.lines == [
                "\(folder)/weights.safetensors: is not of step 4, as the last save says; using"
                    + " \(folder)/checkpoints/step-4/weights.safetensors"
            ])
        #expect(try checkpoints("run") == [".saving", "step-3", "step-4"])
        _ = lock
    }

    @Test("Train --resume ends such a run, once", arguments: [false, true])
    func resuming(beforeRemoving: Bool) throws {
        try cut("run", beforeRemoving: beforeRemoving)
        var resume = try! Train.parse([])
        resume.resume = workspace.path("run")
        let lines = try resume.lines()
        #expect(lines.count == 2)
        #expect(lines[0].contains("resumed after step 4") && lines[1].hasPrefix("finished after 4 steps"))
        #expect(try checkpoints("run") == ["step-4"])
        expectError(
            naming: "\(workspace.path("run"))", "step 4", "expected", "--steps", "--epochs", "--minutes"
        ) { try resume.lines() }
    }

    @Test("The commands show what a run's logs and weights made them leave out")
    func warningsOfTheExecutables() throws {
        try training("run").train()
        let metrics = try workspace.read("run/metrics.jsonl")
        try (Data("{\n".utf8) + metrics).write(to: URL(fileURLWithPath: workspace.path("run/metrics.jsonl")))
        let report = try workspace.run("Report", ["--runs", "run"])
        #expect(report.code == 0)
        #expect(report.error.hasPrefix("warning: run/metrics.jsonl, line 1") && report.error.hasSuffix("; left out\n"))
        #expect(report.error.split(separator: "\n").count == 1)
        let resumed = try workspace.run("Train", ["--resume", "run", "--steps", "5"])
        #expect(resumed.code == 0)
        #expect(resumed.output.contains("\nwarning: run/metrics.jsonl, line 1"))
        #expect(try MetricsLog.read(path: workspace.path("run/metrics.jsonl")).map(\.step) == Array(1...5))
    }
}

/// Collects lines from anywhere.
private final class Warnings: @unchecked Sendable {
    private let lock = NSLock()
    private var all: [String] = []
    var lines: [String] { lock.withLock { all } }
    func append(_ line: String) { lock.withLock { all.append(line) } }
}
