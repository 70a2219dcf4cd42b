import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// Training, measuring and generation with the objective.
extension ReversalTests {
    // MARK: Training and evaluation

    @Test("A model learns reversal, and its accuracy is that computed by hand")
    func aModelLearnsItAndIsMeasuredAsByHand() throws {
        // Backwards every letter but a window's last follows from the one before: a bigram can learn it.
        let letters = String(repeating: "abcdefghijklmnopqrstuvwxyz", count: 30)
        var options = TrainingOptions(
            objective: .reverse, sequenceLength: 8, batchSize: 8, length: .steps(60), learningRate: 0.05,
            validateEvery: 10, sampleEvery: 0, saveEvery: 0)
        let model = Bigram(vocabulary: 257)
        let split = try byteSplit(letters, sequenceLength: 8)
        var steps: [StepMetrics] = []
        let run = try TrainingRun(model, on: split, tokenizer: ByteTokenizer(), options: options)
        try run.train { if case .step(let metrics, _) = $0 { steps.append(metrics) } }
        let accuracies = steps.compactMap { $0.extra["validation_token_accuracy"] }
        #expect(accuracies.count == 6 && accuracies[0] < accuracies[5])
        // All but the first of each of 10 windows: the start token does not say which that is.
        #expect(accuracies[5] >= 67.0 / 77 && accuracies[5] < 1, "\(accuracies)")
        // Half of the batches are shortened, to 4.5 of 8 on average.
        #expect(steps.last!.tokens < 60 * 64 && steps.last!.tokens > 60 * 48 - 400)
        #expect(steps.last!.extra["validation_masked_accuracy"] == nil && steps.last!.extra["answered"] == nil)
        #expect(steps.last!.validationSummary!.hasSuffix(String(format: "token accuracy %.1f %%", accuracies[5] * 100)))

        let held = try #require(split.validation)
        let result = try model.evaluate(held, sequenceLength: 8, batchSize: 3, objective: objective)
        let (found, nats) = try byHand(model, held[0..<held.count - 1], length: 8)
        #expect(result.tokens == held.count - 1 && result.bytes == held.count - 1)
        #expect(result.objective == .reverse && result.accuracy == Double(found) / Double(result.tokens))
        #expect(abs(result.loss - nats / Double(result.tokens)) <= 1e-5)  // float32 against float64
        #expect(abs(result.bitsPerByte - nats / log(2) / Double(result.bytes)) <= 1e-5)
        options.length = .steps(1)
        #expect(try run.validate()?.accuracy == accuracies[5])
    }

    /// Counts the tokens of a text that a bigram finds in windows that are reversed one by one, and the nats that all
    /// of them take.
    func byHand(_ model: Bigram, _ tokens: [Int32], length: Int) throws -> (found: Int, nats: Double) {
        var (found, nats) = (0, 0.0)
        for begin in stride(from: 0, to: tokens.count, by: length) {
            var read = start
            for token in tokens[begin..<min(begin + length, tokens.count)].reversed() {
                let logits = model(TokenTensor([read], shape: [1, 1])).values.map(Double.init)
                nats += log(logits.reduce(0) { $0 + exp($1) }) - logits[Int(token)]
                if logits.firstIndex(of: logits.max()!) == Int(token) { found += 1 }
                read = token
            }
        }
        return (found, nats)
    }

    /// Reverses what stands before the start token, without having learned it, as an encoder–decoder would.
    struct Reverser: LanguageModel {
        var vocabularySize = 257
        let isCausal = true
        var startToken: Int32? = 256
        var maximumLength: Int?
        func collect(into state: inout StateCollector) {}

        /// Returns the logits after a sequence: zeros before the start token.
        private func logits(after tokens: ArraySlice<Int32>) -> [Float] {
            var logits = [Float](repeating: 0, count: vocabularySize)
            if let start = tokens.firstIndex(of: startToken!) {
                let wanted = 2 * start - (tokens.endIndex - 1) - 1
                if wanted >= tokens.startIndex { logits[Int(tokens[wanted])] = 50 }
            }
            return logits
        }

        func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
            let (rows, n) = (tokens.shape[0], tokens.shape[1])
            let logits = (0..<rows).flatMap { row in
                (0..<n).flatMap { self.logits(after: Array(tokens.values[row * n...row * n + $0])[...]) }
            }
            return Tensor(logits, shape: [rows, n, vocabularySize])
        }

        func startDecoding() -> [Int32] { [] }
        func decode(_ tokens: [[Int32]], states: inout [[Int32]]) -> Tensor {
            for row in states.indices { states[row] += tokens[row] }
            return Tensor(states.flatMap { logits(after: $0[...]) }, shape: [states.count, vocabularySize])
        }
    }

    @Test("A model that reverses perfectly has accuracy 1")
    func whoReversesFindsEverything() throws {
        let model = Reverser()
        for (separator, length, batch) in [(.nothing, 7, 3), (.marker(10), 9, 4), (.nothing, 500, 1)]
            as [(DocumentSeparator, Int, Int)]
        {
            let source = try text(someText(100), separator)
            let result = try model.evaluate(source, sequenceLength: length, batchSize: batch, objective: objective)
            #expect(try result.accuracy == 1 && result.tokens == source.targetCount())
            #expect(result.loss < 1e-6)
        }
        // Lines of two-byte letters, each with an end of one byte that is never reversed.
        let source = try TextSource("ñandú\nél\nñ\n", name: "lines")
        let tokenizer = try CharacterTokenizer(learningFrom: [source])
        let size = tokenizer.vocabularySize
        let result = try Reverser(vocabularySize: size + 1, startToken: Int32(size)).evaluate(
            tokenizer.tokens(of: source).separated(by: .marker(10)), sequenceLength: 4, batchSize: 5,
            objective: ObjectiveKind.reverse.objective(for: tokenizer))
        #expect(result.tokens == 8 && result.accuracy == 1)  // ñand ú él ñ
        #expect(result.bytes == 12)
    }

    @Test("A model with a carry begins each window anew")
    func aModelThatCarriesSomethingBeginsEachWindowAnew() throws {
        let source = try text(someText(60))
        let whole = try Trigram(vocabulary: 257).evaluate(source, sequenceLength: 12, objective: objective)
        let cut = try Trigram(vocabulary: 257, maximumLength: 5).evaluate(
            source, sequenceLength: 12, batchSize: 4, objective: objective)
        #expect(cut.tokens == whole.tokens && cut.accuracy == whole.accuracy)
        #expect(abs(cut.loss - whole.loss) <= 1e-6)  // the same sums of float32, cut elsewhere
        let batch = ReversedTokens(startToken: 256).reversed(windows([0, 9], 4))
        var carries: [Trigram.Carry?] = [.init(token: 77), .init(token: 78)]
        let result = Trigram(vocabulary: 257).stepGradients(of: [batch], carries: &carries, key: RandomKey(seed: 1))
        var none: [Trigram.Carry?] = [nil, nil]
        let anew = Trigram(vocabulary: 257).stepGradients(of: [batch], carries: &none, key: RandomKey(seed: 1))
        #expect(result.loss == anew.loss && result.targets == 8)
    }

    // MARK: Generation

    @Test("Generation returns the prompt reversed")
    func thePromptComesBackReversed() async throws {
        let model = Reverser()
        #expect(try model.generate("abcdef", tokenizer: ByteTokenizer(), objective: objective) == "fedcba")
        #expect(try model.generate("abcdef", length: 2, tokenizer: ByteTokenizer(), objective: objective) == "fe")
        let stream = model.textStream("xyz", tokenizer: ByteTokenizer(), objective: objective)
        #expect(try await stream.reduce(into: "") { $0 += $1 } == "zyx")
        let rows = try model.generate([[1, 2, 3], [9, 8]], length: 2, sampling: .greedy, startToken: 256)
        #expect(rows == [[3, 2], [8, 9]])
        let most = Reverser(maximumLength: 8)
        #expect(try most.generate("abcd", tokenizer: ByteTokenizer(), objective: objective) == "dcba")
        expectError(
            naming: "5 tokens", "length 5", "expected at most 8"
        ) { try most.generate("abcde", tokenizer: ByteTokenizer(), objective: objective) }
    }

    /// A bigram that would always choose one token if it could.
    func eager(for token: Int, vocabulary: Int = 257, maximumLength: Int? = nil) -> Bigram {
        let model = Bigram(vocabulary: vocabulary, maximumLength: maximumLength)
        var bias = model.output.bias!.value.values
        bias[token] = 1000
        model.output.bias!.assign(Tensor(bias))
        return model
    }

    @Test("Tokens outside the tokenizer's vocabulary are never sampled")
    func whatTheTokenizerDoesNotHaveIsNeverChosen() throws {
        let letters = try CharacterTokenizer(learningFrom: [try TextSource("abc", name: "letters")])
        func fit(_ objective: Objective) -> Objective { objective.kind.objective(for: letters) }
        let model = eager(for: 256)
        #expect(try model.generate([[65]], length: 3, sampling: .greedy) == [[256, 256, 256]])  // tokens of its own
        for sampling in [SamplingOptions(), .greedy, SamplingOptions(topK: 3), SamplingOptions(topP: 0.5)] {
            let limited = try model.generate([[65], [66]], length: 20, sampling: sampling, vocabularySize: 256)
            #expect(limited.joined().allSatisfy { $0 < 256 })
            for objective in [objective, .nextToken] {
                let text = try eager(for: 3, vocabulary: 4).generate(
                    "abab", length: 20, tokenizer: letters, objective: fit(objective), sampling: sampling)
                #expect(text.count == 20 && Set(text).isSubset(of: "abc"))  // U+FFFD would be the model's token
            }
        }
        // A start token that the tokenizer has too is not chosen either.
        let inside = eager(for: 7, vocabulary: 9)
        let rows = try inside.generate([[1, 2]], length: 30, startToken: 7)
        #expect(!rows[0].contains(7))
    }

    @Test("A training's samples are reversals of their prompts")
    func samplesAreReversals() throws {
        var options = TrainingOptions(
            objective: .reverse, sequenceLength: 12, batchSize: 2, length: .steps(2), validateEvery: 0, sampleEvery: 1,
            saveEvery: 0)
        var samples: [(prompt: String, text: String)] = []
        let split = try byteSplit(sequenceLength: 12)
        func train() throws {
            try TrainingRun(
                eager(for: 256, maximumLength: 24), on: split, tokenizer: ByteTokenizer(), options: options
            ).train {
                if case .sample(_, let prompt, let text) = $0 { samples.append((prompt, text)) }
            }
        }
        try train()
        #expect(samples.count == 2)
        for sample in samples {
            #expect(sample.prompt.utf8.count == 12)
            // Decoded as bytes, each a character or U+FFFD: as many as the prompt has, and no start token among them.
            #expect(sample.text.unicodeScalars.count <= 12 && !sample.text.isEmpty)
        }
        options.objective = .masked
        samples = []
        try train()
        #expect(samples.isEmpty)
    }
}
