import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

struct Points: Sendable {
    let x: Tensor
    let y: Tensor

    /// Points of a plane from −1 to 1, and the products of their coordinates.
    init(_ count: Int, key: RandomKey) {
        x = Tensor.uniform([count, 2], low: -1, high: 1, key: key)
        let values = x.values
        y = Tensor((0..<count).map { values[2 * $0] * values[2 * $0 + 1] }, shape: [count, 1])
    }
}

/// The code of "A training loop of your own", compiled and run.
@Suite("A training loop of your own") struct TrainingLoopArticleTests {
    @Test("A regression trains, resumes and stops early, and a language model counts")
    func article() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var configuration = FLASHConfiguration(tokens: 10, dimension: 16, depth: 1)
        configuration.isCausal = true
        let languageModel = FLASHTransformer(configuration, key: RandomKey(seed: 1))
        let batches = Batches { number, key in Points(64, key: key) }
        let held = Points(256, key: RandomKey(seed: 1))
        let model = MLP([2, 32, 1], activation: .gelu, key: RandomKey(seed: 0))
        var options = TrainingOptions(
            length: .steps(60), learningRate: 1e-2, schedule: .cosine, clip: 1, validateEvery: 20)
        let training = model.fit(batches, validation: [held], options: options, folder: folder) { model, batch, mode in
            meanSquaredError(model(batch.x, mode: mode), batch.y)
        }
        for try await metrics in training.metrics {
            print(metrics.step, metrics.loss, metrics.extra["validation_loss"] ?? "")
        }

        options.length = .steps(80)
        let last = try await model.fit(
            batches, validation: [held], options: options, folder: folder, resumes: true
        ) { model, batch, mode in
            meanSquaredError(model(batch.x, mode: mode), batch.y)
        }.run()
        #expect(last?.step == 80)

        let examples = (0..<100).map { Points(1, key: RandomKey(seed: 2).child($0)) }
        let cut = Batches(of: examples, size: 32, seed: 7) { examples in
            (x: concatenate(examples.map(\.x)), y: concatenate(examples.map(\.y)))
        }
        var patient = TrainingOptions(length: .epochs(5), learningRate: 1e-2, validateEvery: 4, patience: 3)
        patient.optimizer = .adamW(weightDecay: 0.1)
        patient.optimizer.noDecay = [.norms, .biases]
        patient.groups = [ParameterGroup("layers.1.*", rateFactor: 0.5)]
        try await model.fit(cut, validation: [(x: held.x, y: held.y)], options: patient) { model, batch, mode in
            let difference = model(batch.x, mode: mode) - batch.y
            return BatchLoss(
                (difference * difference).mean(), count: batch.x.shape[0],
                metrics: ["largest": Double(difference.values.map(abs).max()!)])
        }.run()

        let counting = Batches { number, key in
            TokenBatch(rows: key.integers(8).map { start in (0..<17).map { Int32((Int(start % 10) + $0) % 10) } })
        }
        try await languageModel.fit(counting, options: TrainingOptions(length: .steps(5), learningRate: 1e-3)).run()
    }

    @Test("The article shows this code") func articleShowsThisCode() throws {
        try expectCode(
            inArticle: "Sources/Trainer/Trainer.docc/TrainingLoopOfYourOwn.md",
            of: "Tests/ModelZooTests/Articles/TrainingLoop.swift")
    }
}
