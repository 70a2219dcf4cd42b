import FixtureSupport
import Foundation
import ModelZoo
import Testing

/// What `LanguageModel` promises, for every entry of the zoo.
@Suite("The contract of language models") struct LanguageModelContractTests {
    /// The longest text the small models are given, which is the longest that all of them read at once.
    private let n = ContractModel.size.sequenceLength
    private let vocabulary = ContractModel.size.vocabulary

    @Test("Every architecture of the zoo has configurations here")
    func everyArchitecture() { #expect(ContractModel.covered == Set(ModelZoo.identifiers)) }

    // MARK: What a position sees

    @Test("Later tokens do not change earlier logits, other rows do not change a row", arguments: ContractModel.all)
    func causality(_ entry: ContractModel) throws {
        let model = try entry.make()
        #expect(model.isCausal)
        let tokens = entry.tokens(2, by: n)
        let before = withoutGradients { model(tokens, mode: .inference) }
        for t in [0, 3, 4, 11, n - 1] {
            let after = withoutGradients { model(tokens.changed(at: n + t, vocabulary), mode: .inference) }
            #expect(after.at(0, 0).values == before.at(0, 0).values, "row 0 after token \(t) of row 1")
            #expect(after.at(0, 1).sliced(0, to: t).values == before.at(0, 1).sliced(0, to: t).values, "before \(t)")
            #expect(after.at(0, 1).at(0, t).values != before.at(0, 1).at(0, t).values, "position \(t) sees itself")
        }
    }

    @Test("One token, and the longest sequence", arguments: ContractModel.all)
    func lengths(_ entry: ContractModel) throws {
        let model = try entry.make()
        for length in [1, 2, model.maximumLength ?? 61] {
            let tokens = entry.tokens(2, by: length)
            let logits = withoutGradients { model(tokens, mode: .inference) }
            #expect(logits.shape == [2, length, vocabulary])
            #expect(logits.values.allSatisfy { $0.isFinite })
            let prefix = withoutGradients { model(tokens.columns(0..<1), mode: .inference) }
            expectClose(logits.sliced(1, to: 1), prefix, through: model, positions: length, "the first of \(length)")
        }
    }

    // MARK: Decoding

    /// Reads a text in calls that end at `cuts`, and expects the logits of the forward pass after each.
    private func expectDecodes<Model: LanguageModel>(_ model: Model, _ text: [Int32], cuts: [Int]) {
        let all = withoutGradients {
            model(TokenTensor(text, shape: [1, text.count]), mode: .inference).at(0, 0)
        }
        var states = [model.startDecoding()]
        var start = 0
        for cut in cuts + [text.count] where cut > start {
            let logits = model.decode([Array(text[start..<cut])], states: &states)
            expectClose(
                logits, all.sliced(0, from: cut - 1, to: cut), through: model, positions: text.count,
                "position \(cut - 1) of calls that end at \(cuts)")
            start = cut
        }
    }

    @Test("Decoding equals the forward pass, wherever the calls end", arguments: ContractModel.all)
    func decoding(_ entry: ContractModel) throws {
        let model = try entry.make()
        let text = entry.tokens(n)
        expectDecodes(model, text, cuts: Array(1..<n))
        expectDecodes(model, text, cuts: [])
        for cut in 1..<n { expectDecodes(model, text, cuts: [cut]) }
        expectDecodes(model, text, cuts: [3, 4, 9, 17])
    }

    @Test("Sequences of a ragged batch decode as alone", arguments: ContractModel.all)
    func raggedBatches(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            let texts = [(9, 5), (1, 1), (12, 12), (4, 2)].enumerated().map { row, counts in
                (entry.tokens(counts.0, seed: UInt64(row + 10)), entry.tokens(counts.1, seed: UInt64(row + 20)))
            }
            var states = texts.map { _ in model.startDecoding() }
            let first = model.decode(texts.map(\.0), states: &states)
            let second = model.decode(texts.map(\.1), states: &states)
            for (row, (begin, end)) in texts.enumerated() {
                var alone = [model.startDecoding()]
                for (text, together) in [(begin, first), (end, second)] {
                    let logits = model.decode([text], states: &alone)
                    expectClose(
                        together.sliced(0, from: row, to: row + 1), logits, through: model, positions: n, "row \(row)")
                }
            }
        }
    }

    @Test("A copied state is a branch", arguments: ContractModel.all)
    func branches(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            for length in [3, 7, 10] {
                var states = [model.startDecoding()]
                _ = model.decode([entry.tokens(length)], states: &states)
                var branch = states
                let trunk = model.decode([[1, 2, 3]], states: &states)
                let other = model.decode([[4, 5, 6]], states: &branch)
                var again = [model.startDecoding()]
                _ = model.decode([entry.tokens(length)], states: &again)
                #expect(model.decode([[4, 5, 6]], states: &again).values == other.values)
                #expect(trunk.values != other.values)
            }
        }
    }

    @Test("The state does not grow with the text, full attention excepted", arguments: ContractModel.all.indices)
    func stateSize(_ index: Int) async {
        // In a process of its own: the memory of tensors is everybody's.
        await #expect(processExitsWith: .success) { [index] in
            try ContractModel.all[index].requireBoundedState()
        }
    }

    // MARK: Segments

    @Test(
        "Segments that pass a carry read as one text, rows that begin beside rows that go on",
        arguments: ContractModel.all)
    func segments(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            guard model.carriesState else { return }
            let text = entry.tokens(2 * n)
            var states = [model.startDecoding()]
            let (first, second) = (Array(text[..<n]), Array(text[n...]))
            let none = [Model.Carry?.none]
            let (_, carries) = model.logits(TokenTensor(first, shape: [1, n]), carries: none, mode: .inference)
            let (alone, _) = model.logits(TokenTensor(second, shape: [1, n]), carries: carries, mode: .inference)
            for end in 1...n {
                let next = end == 1 ? first + second.prefix(1) : [second[end - 1]]
                let logits = model.decode([next], states: &states)
                expectClose(
                    logits, alone.at(0, 0).sliced(0, from: end - 1, to: end), through: model, positions: 2 * n,
                    "token \(n + end)")
            }
            let (together, _) = model.logits(
                TokenTensor(second + first, shape: [2, n]), carries: carries + none, mode: .inference)
            let (fresh, _) = model.logits(TokenTensor(first, shape: [1, n]), carries: none, mode: .inference)
            expectClose(together.sliced(0, to: 1), alone, through: model, positions: 2 * n, "the row that goes on")
            expectClose(together.sliced(0, from: 1), fresh, through: model, positions: 2 * n, "the row that begins")
        }
    }

    @Test("A carry survives its tensors", arguments: ContractModel.all)
    func carries(_ entry: ContractModel) throws {
        try check(entry.make(), entry)
        func check<Model: LanguageModel>(_ model: Model, _ entry: ContractModel) throws {
            guard model.carriesState else { return }
            let text = entry.tokens(2, by: n)
            let (_, carries) = model.logits(text, carries: [nil, nil], mode: .inference)
            let restored = try carries.map { try $0.map { try Model.Carry(tensors: $0.tensors) } }
            func next(_ carries: [Model.Carry?]) -> [Float] {
                model.logits(text, carries: carries, mode: .inference).logits.values
            }
            #expect(next(carries) == next(restored))
            #expect(next(carries) != next([nil, nil]))
        }
    }

    // MARK: Training

    @Test("Plain and fused operations agree, values and gradients", arguments: ContractModel.all)
    func forms(_ entry: ContractModel) throws {
        let model = try entry.make()
        for (b, length, seed) in [(2, n, 5), (3, 7, 6), (1, 1, 7)] as [(Int, Int, UInt64)] {
            expectFormsAgree(
                of: model, entry.tokens(b, by: length, seed: seed), entry.tokens(b, by: length, seed: seed + 10),
                segments: length < n ? 1 : 2, "\(b) × \(length)")
        }
        guard entry.hasDropout else { return }
        expectFormsAgree(
            of: try entry.make(dropout: 0.3), entry.tokens(2, by: n), entry.tokens(2, by: n, seed: 4),
            dropout: RandomKey(seed: 8), "with dropout")
    }

    @Test("Gradients agree with central differences", arguments: ContractModel.all)
    func gradients(_ entry: ContractModel) throws {
        let model = try entry.make()
        let (tokens, targets) = (entry.tokens(2, by: 13), entry.tokens(2, by: 13, seed: 4))
        func loss() -> Float { withoutGradients { model.loss(tokens, targets).item } }
        let all = Tensors.gradients(of: model.loss(tokens, targets))
        let uncertainty = Self.uncertainty(of: model, loss)
        var known = 0
        for (index, (key, parameter)) in model.trainable.enumerated() {
            let drawn = Tensor.normal(parameter.shape, key: RandomKey(seed: 6).child(index))
            let direction = drawn * (1 / drawn.values.map { $0 * $0 }.reduce(0, +).squareRoot())
            let start = parameter.value.detached() * 1
            func loss(_ shift: Float) -> Float {
                parameter.assign(start + direction * shift)
                defer { parameter.assign(start) }
                return withoutGradients { model.loss(tokens, targets).item }
            }
            let (below, here, above) = (loss(-Self.step), loss(0), loss(Self.step))
            let numeric = (above - below) / (2 * Self.step)
            let analytic = ((all[parameter] ?? .zeros(parameter.shape)) * direction).sum().item
            // A quotient is off by what rounding does to the loss, and by curvature and kinks, which show in the difference of
            // both sides.
            let sides = abs((above - here) - (here - below)) / Self.step
            let bound = uncertainty / Self.step + sides + 0.01 * abs(analytic)
            #expect(abs(numeric - analytic) <= bound, "\(key): \(analytic), \(numeric) ± \(bound)")
            known += abs(analytic) > 3 * bound ? 1 : 0
        }
        // The bounds say something: most gradients are known to a third of themselves.
        #expect(2 * known > model.trainable.count, "\(known) of \(model.trainable.count)")
    }

    private static let step: Float = 2e-3

    /// How far rounding may put the loss off: four times the largest change, of four draws, where every weight is rounded once
    /// more, which is one of several roundings on the way.
    private static func uncertainty(of model: any LanguageModel, _ loss: () -> Float) -> Float {
        let changes = roundingResponse(of: model) { ["loss": Tensor([loss()])] }
        return max(4 * Float(changes["loss"] ?? 0), loss().ulp)
    }

    @Test(
        "The loss is the mean cross-entropy of the logits, and ignored targets do not count",
        arguments: ContractModel.all)
    func loss(_ entry: ContractModel) throws {
        let model = try entry.make()
        let tokens = entry.tokens(2, by: n)
        var targets = entry.tokens(2, by: n, seed: 4)
        let all = crossEntropy(model(tokens, mode: .inference), targets, ignoreIndex: ignoredTarget)
        expectClose(model.loss(tokens, targets), all, through: model, positions: n, "all targets")
        for place in stride(from: 1, to: 2 * n, by: 3) { targets.values[place] = ignoredTarget }
        let some = crossEntropy(model(tokens, mode: .inference), targets, ignoreIndex: ignoredTarget)
        expectClose(model.loss(tokens, targets), some, through: model, positions: n, "some targets")
        for place in stride(from: 1, to: 2 * n, by: 6) { targets.values[place] = model.ignoreIndex }
        expectClose(model.loss(tokens, targets), some, through: model, positions: n, "by the model's own index")
    }

    @Test("Dropout repeats with its key and is off in inference", arguments: ContractModel.all.filter(\.hasDropout))
    func dropout(_ entry: ContractModel) throws {
        let model = try entry.make(dropout: 0.5)
        let tokens = entry.tokens(2, by: n)
        func logits(_ mode: ForwardMode) -> [Float] { withoutGradients { model(tokens, mode: mode).values } }
        let key = RandomKey(seed: 9)
        #expect(logits(.training(key)) == logits(.training(key)))
        #expect(logits(.training(key)) != logits(.training(key.child(1))))
        #expect(logits(.training(key)) != logits(.inference))
        let without = try entry.make()
        #expect(logits(.inference) == withoutGradients { without(tokens, mode: .inference).values })
    }

    // MARK: The rest

    @Test("A model survives its file", arguments: ContractModel.all)
    func saving(_ entry: ContractModel) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/weights.safetensors"
        let (model, other) = (try entry.make(seed: 1), try entry.make(seed: 2))
        try model.save(to: path)
        try other.load(from: path)
        let tokens = entry.tokens(2, by: n)
        func logits(_ model: any LanguageModel) -> [Float] {
            withoutGradients { model(tokens, mode: .inference).values }
        }
        #expect(logits(other) == logits(model))
        #expect(logits(try entry.make(seed: 2)) != logits(model))
    }

    @Test("The seed decides the weights", arguments: ContractModel.usual)
    func seeds(_ entry: ContractModel) throws {
        func weights(_ seed: UInt64) throws -> [[Float]] {
            try entry.make(seed: seed).state.map(\.parameter.value.values)
        }
        #expect(try weights(1) == weights(1))
        #expect(try weights(1) != weights(2))
    }

    @Test("No two matrices begin alike: each is drawn from a key of its own", arguments: ContractModel.all)
    func keys(_ entry: ContractModel) throws {
        let drawn = try entry.make(moved: false).trainable.filter { Set($0.parameter.value.values).count >= 8 }
        for (index, one) in drawn.enumerated() {
            for other in drawn[..<index] where likeness(one.parameter.value, other.parameter.value) > 0.999 {
                Issue.record("\(one.key) and \(other.key) are drawn from one key")
            }
        }
    }

    /// The cosine of what two tensors have in common in length; 0 where one does not vary.
    private func likeness(_ a: Tensor, _ b: Tensor) -> Float {
        let pairs = Array(zip(a.values, b.values))
        guard let first = pairs.first, pairs.contains(where: { $0.0 != first.0 }),
            pairs.contains(where: { $0.1 != first.1 })
        else { return 0 }
        func sum(_ term: ((Float, Float)) -> Float) -> Float { pairs.map(term).reduce(0, +) }
        return sum { $0 * $1 } / (sum { $0.0 * $0.0 } * sum { $0.1 * $0.1 }).squareRoot()
    }

    @Test("Several threads run one model", arguments: ContractModel.all)
    func threads(_ entry: ContractModel) async throws {
        let model = try entry.make()
        let batches = (0..<6).map { entry.tokens(2, by: n, seed: UInt64($0)) }
        @Sendable func run(_ batch: TokenTensor) -> [Float] {
            let all = Tensors.gradients(of: model.loss(batch, batch))
            return model.trainable.flatMap { all[$0.parameter]?.values ?? [] }
        }
        let alone = batches.map(run)
        await withTaskGroup(of: (Int, [Float]).self) { group in
            for (index, batch) in batches.enumerated() { group.addTask { (index, run(batch)) } }
            for await (index, values) in group { #expect(values == alone[index], "batch \(index)") }
        }
    }

    @Test("Recording changes nothing, and shows what may be seen", arguments: ContractModel.all)
    func recording(_ entry: ContractModel) throws {
        let model = try entry.make()
        let tokens = entry.tokens(2, by: n)
        let recorder = AttentionRecorder()
        let recorded = withoutGradients { model(tokens, mode: .recording(recorder)).values }
        #expect(recorded == withoutGradients { model(tokens, mode: .inference).values })
        // The fast weights of a rule that corrects are no weights of attention.
        #expect(recorder.layers.isEmpty == (entry.id == "fast-weights"))
        #expect(Set(recorder.layers.map(\.name)).count == recorder.layers.count)
        for layer in recorder.layers {
            #expect(layer.weights.rank == 4 && layer.weights.shape[0] == 2, "\(layer.name)")
            #expect(layer.weights.values.allSatisfy { $0.isFinite }, "\(layer.name)")
        }
    }
}
