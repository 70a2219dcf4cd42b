import ModelZoo
import Testing

@testable import AttentionZooExperiments

@Suite struct RecallAskingTests {
    private let key = RandomKey(seed: 2)

    private func model(_ id: String, _ task: any RecallTask, length: Int, moved: Bool = true) throws
        -> any LanguageModel
    {
        let size = ModelSize(
            vocabulary: task.vocabulary, width: 16, depth: 2, heads: 2, sequenceLength: length, window: 16)
        let model = try Zoo.architecture(id).makeModel(size, key: key)
        // Off the initial values, some of which are 0, so that all parts take part.
        for (index, entry) in model.trainable.enumerated() {
            let noise = Tensor.normal(entry.parameter.shape, standardDeviation: 0.2, key: key.child(index))
            entry.parameter.assign(entry.parameter.value + noise)
        }
        return model
    }

    @Test(
        "Answers are the likeliest tokens of the forward pass, for every architecture and task",
        arguments: Zoo.identifiers, RecallTaskTests.tasks.indices)
    func askingIsTheForwardsArgmax(_ id: String, _ index: Int) throws {
        let task = RecallTaskTests.tasks[index]
        let model = try model(id, task, length: 64)
        var sequences = (0..<5).map { task.testSequence(of: 64, depth: 0.4, key: key.child($0)) }
        // An untrained model answers next to nothing: half of the answers become what the model says.
        let predicted = forward(model, sequences)
        for (row, tokens) in predicted.enumerated() {
            for question in sequences[row].questions.indices where (row + question) % 2 == 0 {
                let places = sequences[row].questions[question].places
                sequences[row].questions[question].answer = Array(tokens[places])
            }
        }
        let expected = zip(sequences, predicted).map { sequence, tokens in
            sequence.questions.map { Array(tokens[$0.places]) == $0.answer }
        }
        #expect(model.answers(to: sequences) == expected)
        #expect(expected.joined().contains(true) && expected.joined().contains(false))
    }

    /// The likeliest token after each, of each sequence.
    private func forward(_ model: some LanguageModel, _ sequences: [RecallSequence]) -> [[Int32]] {
        sequences.map { sequence in
            let tokens = TokenTensor(sequence.tokens, shape: [1, sequence.tokens.count])
            return withoutGradients { model.logits(tokens, carries: [nil], mode: .inference).logits.argmax().values }
        }
    }

    @Test(
        "Long sequences read in pieces are answered as each is alone",
        arguments: ["local", "fast-weights", "transformer"])
    func piecesDoNotMatter(_ id: String) throws {
        let task = InductionHeads()
        let model = try model(id, task, length: 64)
        let sequences = (0..<12).map { task.testSequence(of: 1024, depth: nil, key: key.child($0)) }
        let alone = try sequences.map { try #require(model.answers(to: [$0])).first! }
        #expect(model.answers(to: sequences) == alone)
    }

    @Test("Stopping between pieces gives no answers")
    func stoppedInBetween() throws {
        let task = InductionHeads()
        let model = try model("local", task, length: 64)
        let sequences = (0..<12).map { task.testSequence(of: 1024, depth: nil, key: key.child($0)) }
        var asked = 0
        let answers = model.answers(
            to: sequences,
            stop: {
                asked += 1
                return asked == 2
            })
        #expect(answers == nil && asked == 2)
    }
}

@Suite struct RecallReachTests {
    private let key = RandomKey(seed: 3)

    /// This is the negative control: a change farther back does not reach the very last token, one within the reach does.
    @Test("A local model sees exactly as far as its reach", arguments: [1, 2, 3], [true, false])
    func localModelsSeeAsFarAsTheirReach(_ depth: Int, _ isExact: Bool) throws {
        var configuration = LocalConfiguration(
            tokens: 16, maximumLength: 96, dimension: 16, depth: depth, windowSize: 8)
        (configuration.attention.heads, configuration.attention.headDimension) = (2, 8)
        configuration.attention.attention.isExact = isExact
        configuration.usesDynamicBias = true
        let model = LocalTransformer(configuration, key: key)
        // Off the initial values: residual streams begin apart from each other.
        for (index, entry) in model.trainable.enumerated() {
            let noise = Tensor.normal(entry.parameter.shape, standardDeviation: 0.3, key: key.child(index))
            entry.parameter.assign(entry.parameter.value + noise)
        }
        let reach = try #require(model.reach)
        #expect(reach == (isExact ? depth * 8 : depth * 8 + 7))
        // The last token of the last window.
        let tokens = key.integers(96).map { Int32($0 % 16) }
        func last(_ tokens: [Int32]) -> [Float] {
            withoutGradients { Array(model(TokenTensor(tokens, shape: [1, 96])).at(1, 95).contiguous().values) }
        }
        let logits = last(tokens)
        var beyond = tokens
        for place in 0..<95 - reach { beyond[place] = (tokens[place] + 1) % 16 }
        #expect(last(beyond) == logits)
        for distance in [1, reach / 2, reach] {
            var within = tokens
            within[95 - distance] = (tokens[95 - distance] + 1) % 16
            #expect(last(within) != logits, "\(distance) back")
        }
    }

    @Test("Only local attention has a limited reach", arguments: Zoo.identifiers)
    func othersSeeEverything(_ id: String) throws {
        let size = ModelSize.recall(vocabulary: 16, length: 256)
        let model = try Zoo.architecture(id).recallModel(size, key: key)
        #expect(model.reach == (id == "local" ? 64 : nil))
    }

    @Test(
        "Every model has the baseline's parameters within 5 %, at every task's vocabulary",
        arguments: Zoo.identifiers, RecallTaskName.allCases)
    func parametersAreMatched(_ id: String, _ name: RecallTaskName) throws {
        let size = ModelSize.recall(
            vocabulary: name.task?.vocabulary ?? 256, length: name.task?.trainingLength ?? CorpusQuestions.length)
        let baseline = try Zoo.architecture("transformer").makeModel(size, key: key).parameterCount
        let count = try Zoo.architecture(id).recallModel(size, key: key).parameterCount
        #expect(abs(Double(count) / Double(baseline) - 1) <= 0.05, "\(count), the baseline \(baseline)")
    }
}
