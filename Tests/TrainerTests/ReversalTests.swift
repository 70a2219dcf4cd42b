import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// The objective `reverse`: its examples, and what is trained, measured and generated with it.
@Suite struct ReversalTests {
    let objective = ObjectiveKind.reverse.objective(for: ByteTokenizer())
    let start: Int32 = 256
    let no = ignoredTarget

    /// Windows of `length` tokens from each of `starts`, of a text 10, 11, 12 …
    func windows(_ starts: [Int], _ length: Int) -> TokenBatch {
        // Tokens in memory cannot be lost.
        try! TokenBatch(TokenSource(name: "numbers", tokens: Array(10..<200)), starts: starts, length: length)
    }

    func text(_ text: String, _ separator: DocumentSeparator = .nothing) throws -> TokenSource {
        ByteTokenizer().tokens(of: try TextSource(text, name: "a text")).separated(by: separator)
    }

    // MARK: Examples

    @Test("A row is the window, the start token, and the window reversed")
    func aRowIsTheWindowTheStartTokenAndTheWindowBackwards() {
        let found = ReversedTokens(startToken: start).reversed(windows([0, 5], 3))
        #expect(found.shape == [2, 6])
        #expect(found.inputs == [10, 11, 12, 256, 12, 11] + [15, 16, 17, 256, 17, 16])
        #expect(found.targets == [no, no, no, 12, 11, 10] + [no, no, no, 17, 16, 15])
        #expect(found.startsDocument == [true, true])
        #expect(found.textCount == 6 && found.targetCount == 6)
        let one = ReversedTokens(startToken: start).reversed(windows([7], 1))
        #expect(one.inputs == [17, 256] && one.targets == [no, 17])
    }

    @Test("A window that ends early is reversed without its padding")
    func ofAWindowThatEndsEarlyOnlyWhatIsThereIsReversed() {
        var batch = windows([0, 5, 8, 20], 3)
        for (row, count) in [3, 2, 1, 0].enumerated() {
            for place in row * 3 + count..<row * 3 + 3 { (batch.inputs[place], batch.targets[place]) = (0, no) }
        }
        let found = ReversedTokens(startToken: start).reversed(batch)
        #expect(
            found.inputs
                == [10, 11, 12, 256, 12, 11] + [15, 16, 256, 16, 0, 0] + [18, 256, 0, 0, 0, 0] + [0, 256, 0, 0, 0, 0])
        #expect(
            found.targets == [no, no, no, 12, 11, 10] + [no, no, 16, 15, no, no] + [no, 18, no, no, no, no]
                + [no, no, no, no, no, no])
        #expect(found.textCount == 6)
    }

    @Test("A batch is as long as its longest row")
    func aBatchIsAsLongAsItsLongestRow() {
        var batch = windows([0, 5], 3)
        (batch.targets[2], batch.targets[4], batch.targets[5]) = (no, no, no)
        let found = ReversedTokens(startToken: start).reversed(batch)
        #expect(found.shape == [2, 4])
        #expect(found.inputs == [10, 11, 256, 11] + [15, 256, 0, 0])
        #expect(found.targets == [no, no, 11, 10] + [no, 15, no, no])
    }

    @Test("Half of the training batches are shortened to a random length")
    func someTrainingBatchesAreShortened() throws {
        let (tokens, length, batches) = (ReversedTokens(startToken: 256), 8, 2000)
        var counts = [Int](repeating: 0, count: length + 1)
        for number in 0..<batches {
            let found = tokens.reversed(windows([3, 40], length), key: RandomKey(seed: 4).child(number))
            let count = found.shape[1] / 2
            counts[count] += 1
            // What windows that end there give.
            #expect(found == tokens.reversed(windows([3, 40], count)))
        }
        // Half of the batches get a length out of 8. Five standard errors of a share p of n: 5·√(p(1−p)/n).
        for (count, found) in counts.enumerated().dropFirst() {
            let p = 0.5 / 8 + (count == length ? 0.5 : 0)
            #expect(abs(Double(found) / Double(batches) - p) <= 5 * (p * (1 - p) / Double(batches)).squareRoot())
        }
        let never = ReversedTokens(startToken: 256, shortenedShare: 0)
        for seed in 0..<50 {
            #expect(
                never.reversed(windows([9], 8), key: RandomKey(seed: UInt64(seed))) == never.reversed(windows([9], 8)))
        }
    }

    @Test("The objective needs one more token and twice the length")
    func itNeedsOneMoreTokenAndTwiceTheLength() throws {
        #expect(ObjectiveKind.reverse.vocabularySize(of: ByteTokenizer()) == 257)
        #expect(objective == .reverse(ReversedTokens(startToken: 256)))
        let options = TrainingOptions(objective: .reverse, sequenceLength: 16)
        expectError(
            naming: "vocabulary of 256", "expected", "the 256 of the tokenizer (bytes)", "reversal"
        ) { try TrainingRun(Bigram(), on: byteSplit(), tokenizer: ByteTokenizer(), options: options) }
        let message =
            "--sequence-length: expected at most 15, as --objective reverse takes twice as many and the model's"
            + " configuration allows 31, found 16"
        expectError(message) {
            try TrainingRun(
                Bigram(vocabulary: 257, maximumLength: 31), on: byteSplit(), tokenizer: ByteTokenizer(),
                options: options)
        }
        expectError(message) {
            try Bigram(vocabulary: 257, maximumLength: 31).evaluate(
                text(someText()), sequenceLength: 16, objective: objective)
        }
        _ = try TrainingRun(
            Bigram(vocabulary: 257, maximumLength: 32), on: byteSplit(), tokenizer: ByteTokenizer(), options: options)
    }

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
            naming: "5 tokens", "--length 5", "expected at most 8"
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

    // MARK: Models that need a start token

    @Test("A model that needs a start token accepts no other objective")
    func aModelThatAnswersAfterItsStartTokenIsTrainedForThatOnly() throws {
        func begin(_ model: Reverser, _ kind: ObjectiveKind) throws {
            _ = try TrainingRun(
                model, on: byteSplit(), tokenizer: ByteTokenizer(),
                options: TrainingOptions(objective: kind, sequenceLength: 16))
        }
        for kind in [ObjectiveKind.nextToken, .masked] {
            let message =
                "the model answers what stands before its start token, which --objective \(kind.rawValue) does not have;"
                + " expected --objective reverse"
            expectError(message) { try begin(Reverser(), kind) }
            expectError(message) {
                try Reverser().evaluate(
                    text(someText()), sequenceLength: 4, objective: kind.objective(for: ByteTokenizer()))
            }
        }
        expectError(
            naming: "start token", "300", "expected 256"
        ) { try begin(Reverser(vocabularySize: 301, startToken: 300), .reverse) }
        expectError("the model answers after its start token 256; expected to generate with it, found none") {
            try Reverser().generate("abc", tokenizer: ByteTokenizer())
        }
        expectError("the start token 256 is outside the model's vocabulary; expected 0 to 255") {
            try Bigram().generate("abc", tokenizer: ByteTokenizer(), objective: objective)
        }
    }

    // MARK: Causality

    /// A model that knows why it is not causal.
    struct Leaking: LanguageModel {
        let model = Bigram(vocabulary: 257, isCausal: false)
        var vocabularySize: Int { 257 }
        var isCausal: Bool { false }
        var causalityProblem: String? { "\"causal\": \"leaky\" lets the future through; expected \"causal\": true" }
        func collect(into state: inout StateCollector) { model.collect(into: &state) }
        func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor { model(tokens, mode: mode) }
        func startDecoding() -> Bigram.State { model.startDecoding() }
        func decode(_ tokens: [[Int32]], states: inout [Bigram.State]) -> Tensor {
            model.decode(tokens, states: &states)
        }
    }

    @Test("The error repeats the model's reason for not being causal")
    func aModelSaysWhyItIsNotCausal() throws {
        let message =
            "the model's configuration is not causal: \"causal\": \"leaky\" lets the future through; expected \"causal\": true"
        for kind in [ObjectiveKind.nextToken, .reverse] {
            expectError(message) {
                try TrainingRun(
                    Leaking(), on: byteSplit(), tokenizer: ByteTokenizer(),
                    options: TrainingOptions(objective: kind, sequenceLength: 16))
            }
            expectError(message) {
                try Leaking().evaluate(
                    text(someText()), sequenceLength: 4, objective: kind.objective(for: ByteTokenizer()))
            }
        }
        expectError(message) { try Leaking().generate("abc", length: 1, tokenizer: ByteTokenizer()) }
        expectError(
            naming: "not causal", "expected", "\"causal\": true"
        ) { try Bigram(isCausal: false).generate("abc", length: 1, tokenizer: ByteTokenizer()) }
        _ = try TrainingRun(
            Leaking(), on: byteSplit(), tokenizer: ByteTokenizer(),
            options: TrainingOptions(objective: .masked, sequenceLength: 16))
    }
}
