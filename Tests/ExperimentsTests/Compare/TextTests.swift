import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands
@testable import AttentionZooExperiments

@Suite struct TextTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    /// Times differ from run to run, and tests that run beside use memory of the same pool.
    private func withoutTimes(_ outcomes: [TextOutcome]) -> [TextOutcome] {
        outcomes.map { outcome in
            var outcome = outcome
            (outcome.seconds, outcome.tokensPerSecond, outcome.generationTokensPerSecond) = (0, 0, 0)
            outcome.peakMegabytes = 0
            for index in outcome.validations.indices { outcome.validations[index].seconds = 0 }
            return outcome
        }
    }

    @Test("Every model reads the same tokens with the same options")
    func everyModelReadsTheSameTokensWithTheSameOptions() throws {
        let models = Zoo.identifiers
        let (results, isComplete) = try workspace.command { $0.models = "all" }.run()
        #expect(isComplete && results.text.map(\.model) == models)
        for outcome in results.text {
            #expect(outcome.steps == 4 && outcome.tokens == 4 * 2 * 128, "\(outcome.model)")
            #expect(outcome.validations.map(\.tokens) == [512, 1024], "\(outcome.model)")
            #expect(abs(Double(outcome.parameters) / 200_000 - 1) <= 0.05, "\(outcome.model): \(outcome.parameters)")
            // Untrained models need 8 bits for each of the 256 bytes, and a little more for their prejudices.
            #expect(outcome.best < 9.5 && outcome.best > 1, "\(outcome.model): \(outcome.best)")
            // Parameters, their gradients and the optimiser's two moments are a part of it.
            #expect(outcome.peakMegabytes ?? 0 > 4 * 4 * Double(outcome.parameters) / 1_048_576, "\(outcome.model)")
        }
        let runs = try models.map {
            try RunFolder(path: "\(workspace.out)/text/story.txt/\($0)").configuration()
        }
        #expect(Set(runs.map(\.training)).count == 1)
        #expect(runs[0].training.order == .random && runs.map(\.origin.model) == models)
        #expect(Set(runs.map { "\($0.trainingChecksum)-\($0.validationChecksum ?? "")" }) == [results.text[0].checksum])
    }

    @Test("The same seed gives the same numbers and another seed others")
    func theSameSeedGivesTheSameNumbersAndAnotherOthers() throws {
        let first = try workspace.command().run().results
        let second = try workspace.command { $0.out += "-2" }.run().results
        #expect(withoutTimes(first.text) == withoutTimes(second.text))
        let other = try workspace.command { ($0.out, $0.seed) = ($0.out + "-3", 1) }.run().results
        #expect(zip(first.text, other.text).allSatisfy { $0.best != $1.best })
    }

    @Test("A stopped training resumes from its step and ends with the same numbers")
    func aStoppedTrainingGoesOn() throws {
        let whole = try workspace.command { $0.out += "-whole" }.run().results
        let diary = Diary()
        let stopped = try workspace.command().run(report: diary.add, stop: { diary.steps >= 3 })
        #expect(!stopped.isComplete && stopped.results.text.isEmpty)
        let lines = try MetricsLog.read(path: workspace.out + "/text/story.txt/local/metrics.jsonl")
        #expect(lines.map(\.step) == [1, 2, 3])
        let (results, isComplete) = try workspace.command().run()
        #expect(isComplete && withoutTimes(results.text) == withoutTimes(whole.text))
    }

    @Test("Other commands open a comparison's model as a run")
    func otherCommandsOpenWhatWasTrained() throws {
        _ = try workspace.command { $0.models = "linformer" }.run()
        var lines: [String] = []
        try EvaluateCommand(
            source: ModelSource(run: workspace.out + "/text/story.txt/linformer"),
            options: Evaluate.parse(["--data", workspace.text])
        ).run(print: { lines.append($0) })
        #expect(lines.joined().contains("bits"))
    }

    private static let others: [(@Sendable (inout CompareCommand) -> Void, String)] = [
        ({ $0.steps = 5 }, "other options"), ({ $0.parameters = 260_000 }, "another configuration of the model"),
    ]

    /// Nothing is finished, so that the folder has no results; the training may be that of the last cell.
    @Test("A training begun with other options is refused before the first cell", arguments: others.indices)
    func aTrainingThatWasBegunOtherwiseIsNotGoneOnWith(_ index: Int) throws {
        let diary = Diary()
        _ = try workspace.command { $0.models = "local" }.run(report: diary.add, stop: { diary.steps >= 1 })
        let folder = workspace.out + "/text/story.txt/local"
        let (change, difference) = Self.others[index]
        let message = "\(folder): was begun with \(difference); expected the same, or another folder (--out)"
        let other = workspace.command {
            $0.models = "fast-weights,local"
            change(&$0)
        }
        #expect(throws: InputError(message)) { try other.run() }
        #expect(!FileManager.default.fileExists(atPath: workspace.out + "/text/story.txt/fast-weights"))
    }

    @Test("A training begun on a text that has changed is refused before the first cell")
    func aTrainingOnATextThatHasChangedIsNotGoneOnWith() throws {
        let diary = Diary()
        _ = try workspace.command { $0.models = "local" }.run(report: diary.add, stop: { diary.steps >= 1 })
        try workspace.folder.write(try workspace.folder.read("story.txt") + "One line more.\n", "story.txt")
        let error = #expect(throws: InputError.self) {
            try workspace.command { $0.models = "fast-weights,local" }.run()
        }
        #expect(error?.message.contains("the run in \(workspace.out)/text/story.txt/local began with ") == true)
        #expect(!FileManager.default.fileExists(atPath: workspace.out + "/text/story.txt/fast-weights"))
    }

    @Test("A file named as the built-in corpus is refused")
    func aFileNamedAsTheBuiltInCorpusIsRefused() throws {
        try workspace.folder.write(String(repeating: "words ", count: 400), "corpus")
        let path = workspace.folder.path + "/corpus"
        let message = "--data \(path): expected another name, as corpus is the built-in corpus"
        #expect(throws: InputError(message)) { try workspace.command { $0.data = [path] }.run() }
    }

    @Test("A training that diverges is kept with its reason, and the others go on")
    func aTrainingThatDivergesIsKeptWithItsReason() throws {
        let (results, isComplete) = try workspace.command {
            ($0.learningRate, $0.steps) = (1e30, 200)
        }.run()
        #expect(isComplete && results.text.count == 2)
        #expect(results.text.allSatisfy { $0.fault != nil && $0.steps < 200 })
        // To go on otherwise would make it another training than the table's.
        #expect(results.text.allSatisfy { $0.fault?.contains("--resume") == false })
        #expect(try ComparisonResults(path: workspace.out + "/results.json") == results)
    }

    /// With 256 tokens a step and these speeds the steps take 1, 2, and 4 seconds.
    @Test("Validations do not count as time of training")
    func validationsAreNoTimeOfTraining() throws {
        let lines = [256.0, 128, 64].enumerated().map { index, speed in
            StepMetrics(
                step: index + 1, tokens: 256 * (index + 1), loss: 1, bitsPerByte: 2, learningRate: 1e-3,
                gradientNorm: 1,
                tokensPerSecond: speed, seconds: 100 * Double(index + 1),
                extra: index == 1 ? [:] : ["validation_bits_per_byte": Double(3 - index)])
        }
        let options = TrainingOptions(sequenceLength: 128, batchSize: 2)
        #expect(
            TextOutcome.validations(lines, options) == [
                .init(step: 1, tokens: 256, seconds: 1, bitsPerByte: 3),
                .init(step: 3, tokens: 768, seconds: 7, bitsPerByte: 1),
            ])
    }

    @Test("The median of an even count is the mean of the middle two, of none NaN")
    func mediansOfEvenAndOddCounts() {
        #expect(median([3, 1, 2]) == 2)
        #expect(median([4, 1, 2, 3]) == 2.5)
        #expect(median([]).isNaN)
    }
}
