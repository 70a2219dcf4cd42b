import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct TrainingStreamTests {
    let options = TrainingOptions(
        sequenceLength: 16, batchSize: 2, length: .steps(6), learningRate: 1e-2, validateEvery: 2, sampleEvery: 0,
        saveEvery: 0, seed: 7)

    func text() throws -> TextSource { try TextSource(someText(), name: "a text") }

    func weights(_ model: some Module) -> [[Float]] { model.state.map(\.parameter.value.values) }

    @Test("Fit trains as a training run does")
    func fitIsTheTrainingRun() async throws {
        let model = Bigram()
        var losses: [Double] = []
        for try await metrics in try model.fit(text(), options: options).metrics { losses.append(metrics.loss) }

        let other = Bigram()
        var expected: [Double] = []
        try TrainingRun(other, on: byteSplit(), tokenizer: ByteTokenizer(), options: options).train {
            if case .step(let metrics, _) = $0 { expected.append(metrics.loss) }
        }
        #expect(losses == expected)
        #expect(losses.count == 6)
        #expect(weights(model) == weights(other))
    }

    @Test("Fit reports all events in order")
    func allEventsComeInOrder() async throws {
        let folder = try TemporaryFolder()
        var names: [String] = []
        for try await event in try Bigram().fit(text(), options: options, folder: folder.path + "/run") {
            switch event {
            case .started: names.append("started")
            case .step(let metrics, let total): names.append("step \(metrics.step) of \(total ?? 0)")
            case .saved(let step, _): names.append("saved \(step)")
            case .finished: names.append("finished")
            default: names.append("another")
            }
        }
        let steps = (1...6).map { "step \($0) of 6" }
        #expect(names.filter { !$0.hasPrefix("saved") } == ["started"] + steps + ["finished"])
        #expect(names.last { $0.hasPrefix("saved") } == "saved 6")
    }

    @Test("Run returns the last step and throws errors")
    func runReturnsTheLastStepAndThrowsWhatGoesWrong() async throws {
        let last = try await Bigram().fit(text(), options: options).run()
        #expect(last?.step == 6)
        var wrong = options
        wrong.batchSize = 0
        await #expect(throws: OptionError("batchSize", "expected a whole number of at least 1, found 0")) {
            try await Bigram().fit(text(), options: wrong).run()
        }
        await #expect(throws: InputError("a text: has 3 tokens; a sequence length of 16 needs at least 17")) {
            try await Bigram().fit(TextSource("abc", name: "a text"), options: options).run()
        }
    }

    /// The limit is for a training that would not end.
    @Test("Cancellation finishes the step and saves", .timeLimit(.minutes(5)))
    func cancellationFinishesTheStepAndSaves() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/run"
        var endless = options
        endless.length = .steps(1_000_000)
        endless.validateEvery = 0
        let task = Task { [endless] in
            var steps = 0
            var saved: Int?
            for try await event in try Bigram().fit(text(), options: endless, folder: path) {
                if case .step = event { steps += 1 }
                if case .saved(let step, _) = event { saved = step }
                if steps == 3 { withUnsafeCurrentTask { $0?.cancel() } }
            }
            return (steps, saved)
        }
        let (steps, saved) = try await task.value
        #expect(steps >= 3)
        // The events after the cancellation arrive, the save of the last step among them.
        #expect(saved == steps)
        #expect(try MetricsLog.read(path: path + "/metrics.jsonl").count == steps)

        // Goes on from there, and ends with the bits of an uninterrupted run.
        var more = options
        more.length = .steps(steps + 2)
        let model = Bigram(seed: 99)
        let last = try await model.fit(text(), options: more, folder: path, resumes: true).run()
        #expect(last?.step == steps + 2)
        let whole = Bigram()
        more.validateEvery = 0
        try TrainingRun(whole, on: byteSplit(), tokenizer: ByteTokenizer(), options: more).train()
        #expect(weights(model) == weights(whole))

        let cancelled = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await Bigram().fit(text(), options: endless).run()
        }
        await #expect(throws: CancellationError.self) { try await cancelled.value }
    }

    /// The limit is for a training that would not end.
    @Test("Leaving the loop ends the training", .timeLimit(.minutes(5)))
    func leavingTheLoopEndsTheTraining() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/run"
        var endless = options
        endless.length = .steps(1_000_000)
        endless.validateEvery = 0
        for try await metrics in try Bigram().fit(text(), options: endless, folder: path).metrics
        where metrics.step == 2 { break }
        // The training saves and lets go of the folder; until then another one is refused.
        var next: TrainingRun<Bigram>?
        while next == nil {
            do {
                next = try TrainingRun(
                    resuming: RunFolder(path: path), Bigram(), on: byteSplit(), tokenizer: ByteTokenizer())
            } catch let fault as TrainingFault where fault.kind == .inUse {
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        let step = try #require(next).step
        #expect(step >= 2 && step < 1_000_000)
        #expect(try MetricsLog.read(path: path + "/metrics.jsonl").count == step)
    }

    @Test("A token stream gives the tokens of generation, up to the end token")
    func tokensComeAsGenerated() async throws {
        let model = Bigram()
        let sampling = SamplingOptions(temperature: 1, seed: 4)
        let expected = try model.generate([[1, 2]], length: 20, sampling: sampling)[0]
        var tokens: [Int32] = []
        for try await token in model.tokenStream([1, 2], length: 20, sampling: sampling) { tokens.append(token) }
        #expect(tokens == expected)
        var ended: [Int32] = []
        for try await token in model.tokenStream([1, 2], length: 20, sampling: sampling, endToken: expected[7]) {
            ended.append(token)
        }
        #expect(ended == Array(expected[...expected.firstIndex(of: expected[7])!]))
        await #expect(throws: InputError("the prompt is empty; expected at least one token")) {
            for try await _ in model.tokenStream([], length: 3) {}
        }
    }
}
