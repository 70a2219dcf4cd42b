import ModelZoo
import Testing

/// Several models at work in one process share the memory pool, the threads and BLAS. The thread sanitizer looks on in
/// `Scripts/sanitize thread ModelZooTests.ConcurrencyTests`.
@Suite struct ConcurrencyTests {
    /// Rows of several panels, and so of several threads; windows and groups of 8.
    private static let size = ModelSize(width: 32, depth: 1, heads: 2, sequenceLength: 64, window: 8)
    private static let text = String(repeating: "The zoo is open; the river runs long. ", count: 40)

    private static func make(_ id: String) throws -> any LanguageModel {
        try Zoo.architecture(id).makeModel(size, key: RandomKey(seed: 3))
    }

    /// Returns the weights after a training of three steps with two validations.
    private static func train(_ id: String) async throws -> [[Float]] {
        let model = try make(id)
        let options = TrainingOptions(
            sequenceLength: size.sequenceLength, batchSize: 3, length: .steps(3), learningRate: 1e-3, clip: 1,
            validateEvery: 2, sampleEvery: 0, seed: 4)
        try await model.fit(TextSource(text, name: "a text"), options: options).run()
        return model.state.map(\.parameter.value.values)
    }

    /// The logits of two windows and a sampled text.
    private static func infer(_ model: any LanguageModel) throws -> (logits: [Float], text: String) {
        let tokens = ByteTokenizer().encode(text).prefix(2 * size.sequenceLength)
        let input = TokenTensor(Array(tokens), shape: [2, size.sequenceLength])
        let logits = withoutGradients { model(input, mode: .inference) }
        let sampled = try model.generate("The ", length: 20, tokenizer: ByteTokenizer(), sampling: .init(seed: 6))
        return (logits.values, sampled)
    }

    @Test("Trainings at once, two of each architecture, give the weights that each gives alone")
    func trainings() async throws {
        var alone: [String: [[Float]]] = [:]
        for id in Zoo.identifiers { alone[id] = try await Self.train(id) }
        try await withThrowingTaskGroup(of: (String, [[Float]]).self) { group in
            for id in Zoo.identifiers + Zoo.identifiers {
                group.addTask { (id, try await Self.train(id)) }
            }
            for try await (id, weights) in group {
                let expected = try #require(alone[id])
                #expect(weights == expected, "\(id)")
                #expect(weights.joined().allSatisfy { $0.isFinite }, "\(id)")
            }
        }
    }

    @Test(
        "Inferences with one model at once, beside a training, give what each gives alone",
        arguments: Zoo.identifiers)
    func inferences(_ id: String) async throws {
        let model = try Self.make(id)
        let (expected, weights) = (try Self.infer(model), try await Self.train(id))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                let found = try await Self.train(id)
                #expect(found == weights)
            }
            for _ in 0..<4 {
                group.addTask {
                    let found = try Self.infer(model)
                    #expect(found.logits == expected.logits && found.text == expected.text)
                }
            }
            try await group.waitForAll()
        }
    }
}
