import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// Points of a plane and a curve over it, for regressions.
private struct Points: Sendable {
    let x: Tensor
    let y: Tensor

    init(_ rows: [[Float]]) {
        x = Tensor(rows.flatMap { $0 }, shape: [rows.count, 2])
        y = Tensor(rows.map { $0[0] * $0[1] + 0.5 * $0[0] }, shape: [rows.count, 1])
    }

    /// Points from −1 to 1.
    static func drawn(_ count: Int, key: RandomKey) -> Points {
        Points((0..<count).map { Tensor.uniform([2], low: -1, high: 1, key: key.child($0)).values })
    }
}

/// Training of modules, and of language models, on batches that the program makes.
@Suite struct OwnBatchesTests {
    let temporary = try! TemporaryFolder()

    private func model(seed: UInt64 = 1, dropout: Double = 0) -> MLP {
        MLP([2, 16, 1], activation: .gelu, dropout: dropout, key: RandomKey(seed: seed))
    }

    private let batches = Batches { _, key in Points.drawn(16, key: key) }
    private let held = [Points.drawn(32, key: RandomKey(seed: 40)), Points.drawn(8, key: RandomKey(seed: 41))]

    private func options(_ steps: Int) -> TrainingOptions {
        TrainingOptions(
            length: .steps(steps), optimizer: .adamW(), learningRate: 1e-2, schedule: .cosine, warmupSteps: 2,
            clip: 0.5,
            validateEvery: 2, saveEvery: 2, seed: 7)
    }

    private static func loss(_ model: MLP, _ batch: Points, _ mode: ForwardMode) -> BatchLoss {
        let error = meanSquaredError(model(batch.x, mode: mode), batch.y)
        return BatchLoss(error, count: batch.x.shape[0], metrics: ["half": Double(error.item) / 2])
    }

    private func path(_ name: String) -> String { temporary.path + "/" + name }

    private func values(_ model: some Module) -> [[Float]] { model.state.map(\.parameter.value.values) }

    // MARK: A module

    @Test("A regression learns, and its metrics come while it does")
    func regression() async throws {
        let model = model()
        var (losses, validations, halves): ([Double], [Double], [Double]) = ([], [], [])
        let training = model.fit(batches, validation: held, options: options(200)) { model, batch, mode in
            Self.loss(model, batch, mode)
        }
        for try await metrics in training.metrics {
            losses.append(metrics.loss)
            validations += metrics.extra["validation_loss"].map { [$0] } ?? []
            halves.append(try #require(metrics.extra["half"]))
            #expect(metrics.bitsPerByte.isNaN && metrics.tokens == 16 * metrics.step)
        }
        #expect(losses.count == 200 && validations.count == 100)
        #expect(zip(losses, halves).allSatisfy { abs($0 / 2 - $1) <= 1e-12 * $0 })
        #expect(validations[99] < 0.1 * validations[0], "\(validations)")
        // The mean over all examples held back, whatever the batches.
        let all = zip([32.0, 8], held).reduce(0) { sum, part in
            sum + part.0 * Double(Self.loss(model, part.1, .inference).mean.item)
        }
        #expect(abs(validations[99] - all / 40) <= 1e-12)
    }

    @Test("A resumed training of a module ends with the bits of an uninterrupted one")
    func resuming() async throws {
        func train(_ name: String, _ model: MLP, steps: Int, length: Int? = nil) throws {
            let folder = path(name)
            let run =
                RunFolder.isRun(folder)
                ? try TrainingRun(
                    resuming: RunFolder(path: folder), model, on: batches, validation: held, loss: Self.loss)
                : try TrainingRun(
                    model, on: batches, validation: held, options: options(8), folder: folder, loss: Self.loss)
            try run.train(until: steps)
        }
        let whole = model(dropout: 0.3)
        try train("whole", whole, steps: 8)
        try train("parts", model(dropout: 0.3), steps: 3)
        let rest = model(seed: 2, dropout: 0.3)
        try train("parts", rest, steps: 8)
        #expect(values(rest) == values(whole))
        for file in ["weights.safetensors", "checkpoints/step-8/weights.safetensors", "config.json"] {
            let contents = try ["whole", "parts"].map {
                try Data(contentsOf: URL(fileURLWithPath: path($0 + "/" + file)))
            }
            #expect(contents[0] == contents[1], "\(file)")
        }
        let logs = try ["whole", "parts"].map { try MetricsLog.read(path: path($0 + "/metrics.jsonl")) }
        #expect(logs[0].map(\.loss) == logs[1].map(\.loss) && logs[0].count == 8)
        #expect(logs[0].map(\.extra) == logs[1].map(\.extra))
    }

    @Test("A cancelled training of a module saves, and resumes to the same bits", .timeLimit(.minutes(5)))
    func cancellation() async throws {
        let folder = path("cancelled")
        var endless = options(1_000_000)
        (endless.schedule, endless.validateEvery) = (.constant, 0)
        let training = model().fit(batches, options: endless, folder: folder) { Self.loss($0, $1, $2) }
        let task = Task {
            var saved = 0
            for try await event in training {
                if case .step(let metrics, _) = event, metrics.step == 3 { withUnsafeCurrentTask { $0?.cancel() } }
                if case .saved(let step, _) = event { saved = step }
            }
            return saved
        }
        let saved = try await task.value
        #expect(saved >= 3)
        var more = options(saved + 2)
        (more.schedule, more.validateEvery) = (.constant, 0)
        let resumed = model(seed: 5)
        let last = try await resumed.fit(batches, options: more, folder: folder, resumes: true) {
            Self.loss($0, $1, $2)
        }.run()
        #expect(last?.step == saved + 2)
        let whole = model()
        try await whole.fit(batches, options: more) { Self.loss($0, $1, $2) }.run()
        #expect(values(resumed) == values(whole))
    }

    @Test("Accumulated batches of unequal size make the step of one large batch")
    func accumulation() throws {
        let points = (0..<24).map { Tensor.uniform([2], low: -1, high: 1, key: RandomKey(seed: 9).child($0)).values }
        let cuts = [0..<14, 14..<20, 20..<24]
        var options = options(1)
        (options.optimizer, options.schedule, options.warmupSteps) = (.sgd(), .constant, 0)
        func step(_ batches: Batches<Points>, accumulate: Int, clip: Double?) throws -> (model: MLP, StepMetrics) {
            let model = model()
            (options.accumulate, options.clip, options.learningRate) = (accumulate, clip, 1)
            var last: StepMetrics?
            try TrainingRun(model, on: batches, options: options, loss: Self.loss).train {
                if case .step(let metrics, _) = $0 { last = metrics }
            }
            return (model, try #require(last))
        }
        for clip in [nil, 0.1] {
            let (one, metrics) = try step(Batches { _, _ in Points(points) }, accumulate: 1, clip: clip)
            let (three, sums) = try step(
                Batches { number, _ in Points(Array(points[cuts[number]])) }, accumulate: 3, clip: clip)
            // Sums of 24 terms of size 1 in another order.
            #expect(abs(metrics.loss - sums.loss) < 24 * 6e-8)
            #expect(abs(metrics.gradientNorm - sums.gradientNorm) < 1e-5 * metrics.gradientNorm)
            #expect(metrics.gradientNorm > 0.1 && sums.tokens == 24)
            for (a, b) in zip(values(one).joined(), values(three).joined()) { #expect(abs(a - b) < 1e-5) }
        }
    }

    // MARK: Early stopping

    @Test("Training stops when no validation was better for so many in a row, also where it was resumed in between")
    func earlyStopping() throws {
        // The weights move away from where the validation wants them.
        let wrong = Batches { _, key in Points([[1, 1], [0.5, 0.25]]) }
        let loss: @Sendable (MLP, Points, ForwardMode) -> BatchLoss = { model, batch, mode in
            let y = model(batch.x, mode: mode)
            return BatchLoss(mode.key == nil ? (y * y).mean() : ((y - 5) * (y - 5)).mean())
        }
        var options = options(50)
        (options.patience, options.validateEvery, options.schedule) = (3, 2, .constant)
        var warnings: [String] = []
        let run = try TrainingRun(
            model(), on: wrong, validation: held, options: options, folder: path("early"), loss: loss)
        try run.train {
            if case .warning(let text) = $0 { warnings.append(text) }
        }
        #expect(run.isStoppedEarly && run.isFinished)
        #expect(run.best?.step == run.step - 6)
        #expect(
            warnings == [
                "stopped early: none of the last 3 validations was better than that of step \(run.step - 6)"
            ])

        do {
            let begun = try TrainingRun(
                model(), on: wrong, validation: held, options: options, folder: path("resumed"), loss: loss)
            try begun.train(until: run.step - 1)
            #expect(!begun.isStoppedEarly)
        }
        do {
            let rest = try TrainingRun(
                resuming: RunFolder(path: path("resumed")), model(seed: 8), on: wrong, validation: held, loss: loss)
            try rest.train()
            #expect(rest.isStoppedEarly && rest.step == run.step && rest.best == run.best)
        }
        // With more patience it goes on.
        let patient = try TrainingRun(
            resuming: RunFolder(path: path("resumed")), model(), on: wrong, validation: held,
            changing: { $0.patience = 5 }, loss: loss)
        try patient.train()
        #expect(patient.step == run.step + 4)
    }

    @Test("Patience without validations, and epochs of batches without end, are errors that name the option")
    func impossibleOptions() throws {
        var options = options(4)
        options.patience = 2
        func error(_ options: TrainingOptions, validation: [Points]) -> String? {
            let error = #expect(throws: OptionError.self) {
                try TrainingRun(model(), on: batches, validation: validation, options: options, loss: Self.loss)
            }
            return error?.description
        }
        #expect(
            error(options, validation: [])
                == "patience: needs something held back to validate with, found nothing")
        options.validateEvery = 0
        #expect(
            error(options, validation: held)
                == "patience: needs validations in between; expected validateEvery of at least 1")
        options.patience = 0
        #expect(error(options, validation: held) == "patience: expected a whole number of at least 1, found 0")
        (options.patience, options.length) = (nil, .epochs(2))
        #expect(
            error(options, validation: held)
                == "length.epochs: the batches have no end; expected length.steps or length.minutes")
    }

    @Test("A run on batches and a run on a text are told apart")
    func kinds() throws {
        try TrainingRun(model(), on: batches, options: options(4), folder: path("batches"), loss: Self.loss).train()
        try TrainingRun(
            Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(),
            options: TrainingOptions(sequenceLength: 16, length: .steps(1), validateEvery: 0), folder: path("text")
        ).train()
        let first = #expect(throws: InputError.self) {
            try TrainingRun(
                resuming: RunFolder(path: path("batches")), Bigram(), on: byteSplit(), tokenizer: ByteTokenizer())
        }
        #expect(
            first?.message
                == path("batches")
                + ": the run's batches are made by a program; expected a run on a text, or that program")
        let second = #expect(throws: InputError.self) {
            try TrainingRun(resuming: RunFolder(path: path("text")), model(), on: batches, loss: Self.loss)
        }
        #expect(
            second?.message == path("text") + ": the run is on a text; expected one on batches that a program makes")
        #expect(try RunFolder(path: path("batches")).configuration().hasOwnBatches)
        #expect(try !RunFolder(path: path("text")).configuration().hasOwnBatches)
    }

    // MARK: Batches

    @Test("Batches of examples hold each once an epoch, in an order of the epoch's own")
    func epochs() throws {
        let batches = Batches(of: Array(0..<10), size: 4, seed: 3) { $0 }
        #expect(batches.perEpoch == 3)
        func epoch(_ number: Int) throws -> [[Int]] {
            try (0..<3).map { try batches.batch(3 * number + $0, key: RandomKey(seed: 0)) }
        }
        let first = try epoch(0)
        #expect(first.map(\.count) == [4, 4, 2])
        #expect(first.joined().sorted() == Array(0..<10) && Array(first.joined()) != Array(0..<10))
        #expect(try epoch(1) != first && epoch(0) == first)
        #expect(try epoch(1).joined().sorted() == Array(0..<10))
        let inOrder = Batches(of: Array(0..<10), size: 4, shuffles: false) { $0 }
        #expect(try inOrder.batch(5, key: RandomKey(seed: 0)) == [8, 9])

        let examples = (0..<10).map { Tensor.uniform([2], key: RandomKey(seed: 5).child($0)).values }
        var options = options(1)
        options.length = .epochs(2)
        let run = try TrainingRun(
            model(), on: Batches(of: examples, size: 4) { Points($0) }, options: options, loss: Self.loss)
        #expect(run.totalSteps == 6)
        try run.train()
        #expect(run.tokens == 20)
    }

    // MARK: Language models

    /// Counting up by one, from anywhere.
    private let counting = Batches { _, key in
        TokenBatch(rows: key.integers(4).map { start in (0..<9).map { Int32((Int(start % 5) + $0) % 5) } })
    }

    @Test("A language model learns from batches of tokens, and its run opens with its tokenizer")
    func languageModel() async throws {
        let model = Bigram(vocabulary: 5)
        var options = options(120)
        (options.learningRate, options.schedule) = (5e-2, .constant)
        let validation = [try counting.batch(0, key: RandomKey(seed: 50))]
        let last = try await model.fit(counting, validation: validation, options: options, folder: path("count")).run()
        #expect(try #require(last?.extra["validation_loss"]) < 0.1)
        #expect(last?.tokens == 120 * 32)
        let folder = try RunFolder(path: path("count"))
        #expect(try folder.tokenizer().kind == .bytes)
        let copy = Bigram(vocabulary: 5, seed: 4)
        try copy.load(from: folder.weightsPath)
        #expect(try model.evaluateLoss(validation[0]) >= copy.evaluateLoss(validation[0]))
    }

    @Test("Rows of batches in sequence carry their state on, also over an interruption")
    func sequences() throws {
        // The row's next tokens, segment after segment.
        let batches = Batches { number, _ in
            let tokens = (0..<9).map { Int32((number * 8 + $0) * 7 % 11) }
            return TokenBatch(
                inputs: Array(tokens.dropLast()), targets: Array(tokens.dropFirst()), shape: [1, 8],
                startsDocument: [number == 0])
        }
        var options = options(6)
        (options.order, options.batchSize, options.validateEvery) = (.sequential, 1, 0)
        let whole = Trigram(vocabulary: 11)
        try TrainingRun(whole, on: batches, options: options, folder: path("rows")).train()
        try TrainingRun(Trigram(vocabulary: 11), on: batches, options: options, folder: path("rows-2")).train(until: 3)
        let rest = Trigram(vocabulary: 11, seed: 3)
        try TrainingRun(resuming: RunFolder(path: path("rows-2")), rest, on: batches).train()
        #expect(values(rest) == values(whole))
        options.order = .random
        let anew = Trigram(vocabulary: 11)
        try TrainingRun(anew, on: batches, options: options).train()
        #expect(values(anew) != values(whole))
    }

    @Test("Batches that do not fit the language model are errors of one line")
    func unfitBatches() throws {
        func error(_ batch: TokenBatch, _ model: some LanguageModel, rows: Int? = nil) -> String? {
            var options = options(3)
            if let rows { (options.order, options.batchSize) = (.sequential, rows) }
            return #expect(throws: InputError.self) {
                try TrainingRun(model, on: Batches { _, _ in batch }, options: options).train()
            }?.message
        }
        let batch = TokenBatch(rows: [[1, 2, 3], [1, 9]])
        #expect(batch.targets == [2, 3, 9, ignoredTarget] && batch.inputs == [1, 2, 1, 0] && batch.textCount == 3)
        #expect(
            error(batch, Bigram(vocabulary: 5))
                == "the batches: token 9 is outside the model's vocabulary; expected 0 to 4")
        #expect(
            error(batch, Bigram(vocabulary: 10, maximumLength: 1))
                == "the batches: expected at most 1 tokens in a row, the model's longest, found 2")
        #expect(
            error(batch, Trigram(vocabulary: 10), rows: 3)
                == "the batches: expected batches of 3 rows, each continuing its row, found 2")
        let nothing = TokenBatch(inputs: [1], targets: [ignoredTarget], shape: [1, 1])
        #expect(
            error(nothing, Bigram(vocabulary: 5))
                == "the batches: expected a target that counts in each batch, found none")
    }
}

extension LanguageModel {
    fileprivate func evaluateLoss(_ batch: TokenBatch) throws -> Double {
        let (inputs, targets) = batch.columns(0..<batch.shape[1])
        return Double(withoutGradients { loss(inputs, targets) }.item)
    }
}
