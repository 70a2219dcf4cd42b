import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct ObjectiveTests {
    let masked = MaskedTokens(maskToken: 256)

    func batch(_ rows: Int, _ length: Int) throws -> TokenBatch {
        let text = countingTokens(rows * length + 1)
        // Tokens 0…255 over and over.
        let tokens = try TokenSource(name: "bytes", tokens: text[0..<text.count].map { $0 % 256 })
        return try TokenBatch(tokens, starts: (0..<rows).map { $0 * length }, length: length)
    }

    @Test("Tokens are masked, replaced, and kept in BERT's shares")
    func theSharesOfBERT() throws {
        let original = try batch(50, 1000)
        let hidden = masked.hidden(in: original, key: RandomKey(seed: 3))
        #expect(hidden.shape == original.shape)
        let chosen = hidden.targets.indices.filter { hidden.targets[$0] != ignoredTarget }
        // The target of a chosen place is what stood there; other places are as they were.
        #expect(chosen.allSatisfy { hidden.targets[$0] == original.inputs[$0] })
        #expect(
            hidden.inputs.indices.allSatisfy {
                hidden.targets[$0] != ignoredTarget || hidden.inputs[$0] == original.inputs[$0]
            })
        // Five standard errors of a share p of n: 5·√(p(1−p)/n).
        func expectShare(_ count: Int, of all: Int, _ p: Double) {
            #expect(abs(Double(count) / Double(all) - p) <= 5 * (p * (1 - p) / Double(all)).squareRoot())
        }
        expectShare(chosen.count, of: 50_000, 0.15)
        expectShare(chosen.count { hidden.inputs[$0] == 256 }, of: chosen.count, 0.8)
        // A random token is the old one once in 256 times.
        expectShare(chosen.count { hidden.inputs[$0] == original.inputs[$0] }, of: chosen.count, 0.1 + 0.1 / 256)
        #expect(hidden.inputs.allSatisfy { (0...256).contains($0) })
    }

    @Test("Padding is never masked, and at least one token always is")
    func paddingIsNotHiddenAndSomethingAlwaysIs() throws {
        var padded = try batch(1, 40)
        for place in 3..<40 { padded.targets[place] = ignoredTarget }
        for seed in 0..<50 {
            let hidden = masked.hidden(in: padded, key: RandomKey(seed: UInt64(seed)))
            #expect(hidden.targetCount >= 1)
            #expect(hidden.targets[3...].allSatisfy { $0 == ignoredTarget })
            #expect(hidden.inputs[3...] == padded.inputs[3...])
        }
        #expect(
            masked.hidden(in: padded, key: RandomKey(seed: 1)) == masked.hidden(in: padded, key: RandomKey(seed: 1)))
    }

    /// Sees the token before and the one after each position: what a masked model needs, and a causal one must not have.
    struct Neighbors: LanguageModel {
        let vocabularySize = 257
        let isCausal = false
        let left = Embedding(257, 257, key: RandomKey(seed: 1))
        let right = Embedding(257, 257, key: RandomKey(seed: 2))

        func collect(into state: inout StateCollector) {
            state.add("left", left)
            state.add("right", right)
        }

        func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
            let (rows, n) = (tokens.shape[0], tokens.shape[1])
            func moved(_ by: Int) -> TokenTensor {
                TokenTensor(
                    (0..<rows * n).map { (0..<n).contains($0 % n + by) ? tokens.values[$0 + by] : 256 },
                    shape: tokens.shape)
            }
            return left(moved(-1)) + right(moved(1))
        }

        func startDecoding() -> Int { 0 }
        func decode(_ tokens: [[Int32]], states: inout [Int]) -> Tensor { Tensor([]) }
    }

    @Test("A model that sees both neighbors learns to fill in")
    func aModelThatSeesBothSidesLearnsToFillIn() throws {
        // Every letter follows from its neighbours.
        let text = String(repeating: "the quick brown fox jumps over a lazy dog; ", count: 60)
        var options = TrainingOptions(
            objective: .masked, sequenceLength: 32, batchSize: 8, length: .steps(300), learningRate: 0.05,
            validateEvery: 0, sampleEvery: 0, saveEvery: 0)
        var last: StepMetrics?
        let model = Neighbors()
        try TrainingRun(model, on: byteSplit(text, sequenceLength: 32), tokenizer: ByteTokenizer(), options: options)
            .train { if case .step(let metrics, _) = $0 { last = metrics } }
        let accuracy = try #require(last?.extra["validation_masked_accuracy"])
        // Both neighbours stand with a probability of 0.75, and then decide; the commonest character alone gives 0.2.
        #expect(accuracy > 0.6 && accuracy <= 1)
        #expect(last?.extra["answered"] == nil)

        options.objective = .nextToken
        #expect(throws: InputError.self) {
            try TrainingRun(model, on: byteSplit(), tokenizer: ByteTokenizer(), options: options)
        }
        options.objective = .masked
        expectError(
            naming: "vocabulary of 256", "expected", "the 256 of the tokenizer (bytes)", "mask"
        ) { try TrainingRun(Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options) }
    }

    @Test("Every evaluation masks the same tokens")
    func anEvaluationHidesTheSameEachTime() throws {
        let model = Neighbors()
        let text = try ByteTokenizer().tokens(of: TextSource(someText(), name: "a text"))
        let objective = ObjectiveKind.masked.objective(for: ByteTokenizer())
        let first = try model.evaluate(text, sequenceLength: 16, batchSize: 3, objective: objective)
        #expect(try model.evaluate(text, sequenceLength: 16, batchSize: 3, objective: objective) == first)
        let share = Double(first.tokens) / Double(text.count - 1)
        #expect(share > 0.1 && share < 0.2)
    }

    @Test("The masked tokens do not depend on the batch size")
    func whatIsHiddenDoesNotDependOnTheBatch() throws {
        let text = try ByteTokenizer().tokens(of: TextSource(someText(), name: "a text"))
        let objective = ObjectiveKind.masked.objective(for: ByteTokenizer())
        let (one, many) = try (
            Neighbors().evaluate(text, sequenceLength: 16, batchSize: 1, objective: objective),
            Neighbors().evaluate(text, sequenceLength: 16, batchSize: 7, objective: objective)
        )
        #expect(one.tokens == many.tokens && one.accuracy == many.accuracy)
        #expect(abs(one.loss - many.loss) <= 1e-5)  // means of float32 losses of about 6, summed in another order
    }

    @Test("A segment without masked tokens still passes its carry on")
    func aSegmentInWhichNothingIsHiddenIsReadAllTheSame() throws {
        var batch = try batch(2, 8)
        for place in batch.targets.indices where place % 8 != 6 { batch.targets[place] = ignoredTarget }
        func gradients(maximumLength: Int?) -> StepGradients {
            var carries: [Trigram.Carry?] = [nil, nil]
            let model = Trigram(maximumLength: maximumLength)
            let result = model.stepGradients(of: [batch], carries: &carries, key: RandomKey(seed: 1))
            #expect(carries.map { $0?.token } == [7, 15])
            return result
        }
        let (whole, parts) = (gradients(maximumLength: nil), gradients(maximumLength: 2))
        #expect(whole.loss > 0)
        #expect(abs(whole.loss - parts.loss) <= 1e-6)  // the same two targets
    }

    // MARK: A model's own metrics

    /// Measures something of its own.
    struct Measuring: LanguageModel {
        let model = Bigram()
        var vocabularySize: Int { 256 }
        var isCausal: Bool { true }
        func collect(into state: inout StateCollector) { model.collect(into: &state) }
        func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor { model(tokens, mode: mode) }
        func loss(
            _ inputs: TokenTensor, _ targets: TokenTensor, carries: [NoCarry?], mode: ForwardMode
        ) -> SegmentLoss<NoCarry> {
            var result = model.loss(inputs, targets, carries: carries, mode: mode)
            result.metrics = ["first_token": Double(inputs.values[0]), "one": 1]
            return result
        }
        func startDecoding() -> Bigram.State { model.startDecoding() }
        func decode(_ tokens: [[Int32]], states: inout [Bigram.State]) -> Tensor {
            model.decode(tokens, states: &states)
        }
    }

    @Test("A model's own metrics are averaged over the step")
    func aModelsMetricsAreAveragedOverTheStep() throws {
        var options = TrainingOptions(sequenceLength: 4, batchSize: 1, accumulate: 3, length: .steps(1), seed: 5)
        options.sampleEvery = 0
        let split = try byteSplit()
        var metrics: StepMetrics?
        try TrainingRun(Measuring(), on: split, tokenizer: ByteTokenizer(), options: options)
            .train { if case .step(let step, _) = $0 { metrics = step } }
        let sampler = try WindowSampler(split.training, sequenceLength: 4, batchSize: 1, seed: 5)
        let expected = try (0..<3).reduce(0.0) { try $0 + Double(sampler.batch(at: $1).inputs[0]) } / 3
        #expect(abs(try #require(metrics?.extra["first_token"]) - expected) <= 1e-9)  // three products in double
        #expect(abs(try #require(metrics?.extra["one"]) - 1) <= 1e-12)
    }
}
