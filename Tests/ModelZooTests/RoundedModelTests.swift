import ModelZoo
import Testing

/// Models with rounded weights against the same models with the floats that these stand for.
@Suite struct RoundedModelTests {
    static let cases = Zoo.identifiers.flatMap { id in RoundedMatrix.Format.allCases.map { (id, $0) } }

    /// Widths that are no multiple of a group of weights or of a vector; two windows of 8 and more.
    private static let size = ModelSize(vocabulary: 37, width: 76, depth: 2, heads: 2, sequenceLength: 24, window: 8)

    private func make(_ id: String, seed: UInt64) throws -> any LanguageModel {
        try Zoo.architecture(id).makeModel(Self.size, key: RandomKey(seed: seed))
    }

    /// A rounded model and one of floats with the same weights.
    private func pair(_ id: String, _ format: RoundedMatrix.Format) throws -> (any LanguageModel, any LanguageModel) {
        let (rounded, floats) = (try make(id, seed: 1), try make(id, seed: 1))
        try rounded.roundWeights(to: format)
        for (source, target) in zip(rounded.state, floats.state) {
            guard source.parameter.roundedFormat != nil else { continue }
            target.parameter.assign(source.parameter.floats())
        }
        return (rounded, floats)
    }

    private func tokens(_ count: Int, seed: UInt64) -> [Int32] {
        RandomKey(seed: seed).integers(count).map { Int32($0 % UInt64(Self.size.vocabulary)) }
    }

    /// Logits of a few units, through a dozen products whose sums are taken in another order: rounding errors of some 1e-6,
    /// where another rounding of a single matrix moves them by 1e-3.
    private func expectSame(
        _ found: Tensor, _ expected: Tensor, _ label: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(found.shape == expected.shape, sourceLocation: sourceLocation)
        let difference = zip(found.values, expected.values).map { abs($0 - $1) }.max() ?? .nan
        #expect(difference <= 2e-5, "\(label)", sourceLocation: sourceLocation)
    }

    @Test("Forward passes agree", arguments: cases)
    func forward(_ id: String, _ format: RoundedMatrix.Format) throws {
        let (rounded, floats) = try pair(id, format)
        for (b, n) in [(1, 1), (1, 5), (3, 24)] {
            let input = TokenTensor(tokens(b * n, seed: 3), shape: [b, n])
            func run(_ model: any LanguageModel) -> Tensor { withoutGradients { model(input, mode: .inference) } }
            expectSame(run(rounded), run(floats), "\(b) × \(n)")
        }
    }

    @Test("One sequence, cut in every place", arguments: cases)
    func decodingInTwoCalls(_ id: String, _ format: RoundedMatrix.Format) throws {
        let (rounded, floats) = try pair(id, format)
        let text = tokens(20, seed: 4)
        func run<Model: LanguageModel>(_ model: Model, _ cut: Int) -> Tensor {
            var states = [model.startDecoding()]
            _ = model.decode([Array(text[..<cut])], states: &states)
            return model.decode([Array(text[cut...])], states: &states)
        }
        for cut in 1..<text.count { expectSame(run(rounded, cut), run(floats, cut), "cut at \(cut)") }
    }

    @Test("Eight and nine sequences of unequal lengths, then token by token", arguments: cases)
    func raggedBatches(_ id: String, _ format: RoundedMatrix.Format) throws {
        let (rounded, floats) = try pair(id, format)
        for count in [2, 8, 9] {
            let prompts = (0..<count).map { tokens(1 + $0 * 5 % 12, seed: UInt64(10 + $0)) }
            func run<Model: LanguageModel>(_ model: Model) -> [Tensor] {
                var states = prompts.map { _ in model.startDecoding() }
                var results = [model.decode(prompts, states: &states)]
                for step in 0..<10 {
                    let next = tokens(count, seed: UInt64(50 + step)).map { [$0] }
                    results.append(model.decode(next, states: &states))
                }
                return results
            }
            for (step, (a, b)) in zip(run(rounded), run(floats)).enumerated() {
                expectSame(a, b, "\(count) sequences, step \(step)")
            }
        }
    }

    @Test("What is left of the floats is little", arguments: cases)
    func memory(_ id: String, _ format: RoundedMatrix.Format) async {
        await #expect(processExitsWith: .success) { [id, format] in
            let pool = MemoryPool.shared
            let before = pool.statistics.current
            let size = ModelSize(width: 256, depth: 2, heads: 4, sequenceLength: 128, window: 32)
            let model = try Zoo.architecture(id).makeModel(size, key: RandomKey(seed: 1))
            let floats = pool.statistics.current - before
            pool.resetPeak()
            try model.roundWeights(to: format)
            // One matrix at a time: the largest twice, for a moment.
            require(pool.statistics.peak - before < floats + floats / 4, "peak \(pool.statistics.peak - before)")
            let kept = model.state.reduce(into: [ObjectIdentifier: Int]()) { sizes, entry in
                sizes[ObjectIdentifier(entry.parameter)] =
                    entry.parameter.roundedFormat == nil ? 4 * entry.parameter.count : 0
            }.values.reduce(0, +)
            let matrices = Double(floats - kept)
            let share = Double(pool.statistics.current - before - kept) / matrices
            // Rows are padded to 64 weights; buffers to an eighth.
            let expected = format == .bfloat16 ? 0.5 : 0.266
            require(share < expected * 1.13 && share > expected * 0.9, "\(id): \(share) of \(matrices), kept \(kept)")
            require(kept < floats / 5, "\(id): \(kept) bytes of \(floats) stay floats")

            // No pass makes the floats again.
            let token = Self.memoryOfAToken(model)
            require(token < floats / 4, "\(id): \(token) for a token")
        }
    }

    /// The most bytes that tensors take while a token is read.
    private static func memoryOfAToken(_ model: some LanguageModel) -> Int {
        var states = [model.startDecoding()]
        let begun = MemoryPool.shared.statistics.current
        MemoryPool.shared.resetPeak()
        _ = model.decode([[1]], states: &states)
        return MemoryPool.shared.statistics.peak - begun
    }

    @Test("Training a rounded model stops at once")
    func training() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let model = try Zoo.architecture("transformer").makeModel(preset: "tiny", key: RandomKey(seed: 1))
            try model.roundWeights(to: .bfloat16)
            _ = Optimizer(model.trainable)
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("Optimizer: token_emb.weight has rounded weights, which cannot be trained"))
    }
}
