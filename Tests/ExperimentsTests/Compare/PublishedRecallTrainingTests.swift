import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

@testable import AttentionZooExperiments

/// Models at published settings, their training and its save.
@Suite struct PublishedRecallTrainingTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// One pair in 16 tokens.
    private static func cell(_ model: String, rate: Double = 1e-2) -> PublishedRecallCell {
        PublishedRecallCell(model: model, length: 16, width: 8, rate: rate)
    }

    private static var options: PublishedRecallOptions {
        var options = PublishedRecallOptions()
        (options.epochs, options.examples) = (2, 700)  // a batch of 512, then one of 188
        return options
    }

    private func training(_ cell: PublishedRecallCell, epochs: Int = 2) -> PublishedRecallTraining {
        var options = Self.options
        options.epochs = epochs
        return PublishedRecallTraining(
            cell: cell, options: options,
            examples: .init(cell.task, count: options.examples, testCount: 100, seed: 1), key: RandomKey(seed: 2))
    }

    private func model(_ id: String) throws -> any LanguageModel {
        try Self.cell(id).makeModel(key: RandomKey(seed: 1))
    }

    // MARK: Models

    @Test("Feed-forwards and logits of their own are not trained", arguments: Zoo.identifiers)
    func layersOfMixerAlone(_ id: String) throws {
        func check<Model: LanguageModel>(_ model: Model) {
            let published = PublishedRecallModel(model, key: RandomKey(seed: 3))
            let silent = model.trainable.filter { PublishedRecallModel<Model>.isFeedForward($0.key) }
            #expect(silent.isEmpty == ["flash", "linformer", "fast-weights"].contains(id))
            let optimizer = Optimizer(published.trained, .adamW(weightDecay: 0.1))
            let training = training(Self.cell(id))
            for step in 0..<3 {
                #expect(
                    published.step(training.batch(step), optimizer, learningRate: 1e-2, key: RandomKey(seed: 4)) != nil)
            }
            #expect(silent.allSatisfy { $0.parameter.value.values.allSatisfy { $0 == 0 } })
            #expect(published.logits?.value.values == published.embeddings.value.values)
            #expect(published.logits != nil)
            let keys = Set(published.trained.map(\.key))
            #expect(keys.count == model.trainable.count - silent.count - 1)
        }
        try check(model(id))
        let configuration = try Self.cell(id).configuration().objectValue
        #expect(configuration?["depth"] ?? configuration?["n_layers"] == .integer(2))
        if id == "linformer" { #expect(configuration?["include_ff"] == .bool(false)) }
    }

    /// Along a direction the loss changes as the gradient says, with both matrices moved.
    @Test("The embeddings' gradient is of both places where they stand", arguments: ["transformer", "fast-weights"])
    func tiedGradient(_ id: String) throws {
        func check(_ model: some LanguageModel) {
            let published = PublishedRecallModel(model, key: RandomKey(seed: 3))
            let batch = training(Self.cell(id)).batch(0)
            let base = published.embeddings.value.detached() * 10  // so that the gradient of every place counts
            published.embeddings.assign(base)
            published.tie()
            let (_, gradients) = published.gradients(batch, key: RandomKey(seed: 4))
            let gradient = gradients[published.embeddings]!
            let size = Double((gradient * gradient).sum().item).squareRoot()
            func loss(_ step: Float) -> Double {
                published.embeddings.assign(base + gradient * step)
                published.tie()
                return published.gradients(batch, key: RandomKey(seed: 4)).loss
            }
            let step = 0.002 / size
            let slope = (loss(Float(step)) - loss(Float(-step))) / (2 * step)
            // Losses of about 9 in float32, 1e-6 off, over a change of 0.004 times the gradient's size. At ten times the step
            // the loss of fast weights is no straight line any more: the slope is off by 15 %.
            #expect(abs(slope / (size * size) - 1) < 0.02, "\(slope) \(size * size)")
        }
        try check(model(id))
    }

    @Test("Answers are judged by their places alone")
    func judging() throws {
        func check(_ model: some LanguageModel) {
            let published = PublishedRecallModel(model, key: RandomKey(seed: 3))
            let examples = training(Self.cell("transformer")).examples
            let sequences = (0..<40).map(examples.test)
            let test = published.test(sequences)
            let logits = withoutGradients {
                model(TokenTensor(sequences.flatMap(\.tokens), shape: [40, 16]), mode: .inference)
            }
            let likeliest = logits.argmax().values
            let found = sequences.enumerated().count { row, sequence in
                likeliest[row * 16 + sequence.questions[0].place] == sequence.questions[0].answer[0]
            }
            #expect(test.asked == 40 && test.found == found && abs(test.loss - log(8192)) < 0.5)
        }
        try check(model("transformer"))
    }

    // MARK: Training

    @Test("The learning rate is half a cosine over the epochs")
    func cosine() {
        let training = training(Self.cell("transformer", rate: 0.008), epochs: 4)
        let rates = (0..<4).map { training.learningRate(inEpoch: $0) }
        for (rate, expected) in zip(rates, [0.008, 0.0068284271, 0.004, 0.0011715729]) {
            #expect(abs(rate - expected) < 1e-9)
        }
    }

    @Test("A training ends at 99 % of the answers, or after its epochs", arguments: [(98, false), (99, true)])
    func end(_ found: Int, _ isOver: Bool) throws {
        func check(_ model: some LanguageModel) throws {
            let published = PublishedRecallModel(model, key: RandomKey(seed: 3))
            let optimizer = Optimizer(published.trained, .adamW())
            let test = PublishedRecallOutcome.Test(asked: 100, found: found, loss: 1)
            let training = training(Self.cell("transformer"))
            let start = PublishedRecallProgress(steps: 2, tests: [test])
            let end = try training.run(published, optimizer, from: start, .init(stop: { true }))
            #expect(end.isOver == isOver && end.progress.steps == 2)
            let last = try training.run(
                published, optimizer, from: .init(steps: 4, tests: [test, test]), .init(stop: { true }))
            #expect(last.isOver)
        }
        try check(model("transformer"))
    }

    @Test("A training that diverges says so and ends")
    func divergence() throws {
        let outcome = try #require(
            try Self.cell("transformer", rate: 1e30).run(Self.options, seed: 1, folder: folder.path))
        #expect(outcome.fault?.hasPrefix("diverged after step ") == true && outcome.share == 0)
    }

    // MARK: Saves

    private func untimed(_ outcome: PublishedRecallOutcome?) throws -> PublishedRecallOutcome {
        var outcome = try #require(outcome)
        outcome.seconds = 0
        return outcome
    }

    @Test("A stopped training resumes as if nothing had been", arguments: ["transformer", "fast-weights", "flash"])
    func resuming(_ id: String) throws {
        let cell = Self.cell(id)
        let whole = try untimed(try cell.run(Self.options, seed: 1, folder: folder.path + "/whole"))
        let (pieces, path) = (folder.path + "/pieces", try cell.save(Self.options, seed: 1, folder: "").path)
        var runs = 0
        var outcome: PublishedRecallOutcome?
        while outcome == nil {
            var steps = 0
            outcome = try cell.run(
                Self.options, seed: 1, folder: pieces, progress: { _, _ in steps += 1 }, stop: { steps == 1 })
            runs += 1
            #expect(outcome != nil || FileManager.default.fileExists(atPath: pieces + path))
        }
        #expect(runs == 4)
        #expect(try untimed(outcome) == whole)
    }

    @Test("A save of another training is refused")
    func foreignSaves() throws {
        let cell = Self.cell("transformer")
        #expect(try cell.run(Self.options, seed: 1, folder: folder.path, stop: { true }) == nil)
        let path = try cell.save(Self.options, seed: 1, folder: folder.path).path
        var (epochs, examples) = (Self.options, Self.options)
        (epochs.epochs, examples.examples) = (3, 701)
        for (options, seed, text) in [
            (epochs, 1, "--epochs 2, found --epochs 3"), (examples, 1, "--examples 700, found --examples 701"),
            (Self.options, 2, "--seed 1, found --seed 2"),
        ] {
            let message = "\(path): was begun with \(text); expected the same, or another folder (--out)"
            #expect(throws: InputError(message)) {
                try cell.run(options, seed: UInt64(seed), folder: folder.path)
            }
            #expect(throws: InputError(message)) {
                try cell.save(options, seed: UInt64(seed), folder: folder.path).requireSame()
            }
        }
        try Data("no save".utf8).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: InputError.self) { try cell.run(Self.options, seed: 1, folder: folder.path) }
        #expect(error?.message.hasPrefix(path) == true)
    }
}
