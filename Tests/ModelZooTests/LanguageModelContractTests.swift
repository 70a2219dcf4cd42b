import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

/// The promises of `LanguageModel`, checked for every entry of the zoo.
@Suite("The contract of language models") struct LanguageModelContractTests {
    /// The longest text that all of the small models read at once.
    let n = ContractModel.size.sequenceLength
    let vocabulary = ContractModel.size.vocabulary

    @Test("Every architecture of the zoo has configurations here")
    func everyArchitecture() { #expect(ContractModel.covered == Set(Zoo.identifiers)) }

    // MARK: What a position sees

    @Test("Later tokens do not change earlier logits, other rows do not change a row", arguments: ContractModel.causal)
    func causality(_ entry: ContractModel) throws {
        let model = try entry.make()
        #expect(model.isCausal)
        let tokens = entry.tokens(2, by: n)
        let before = withoutGradients { model(tokens, mode: .inference) }
        for t in [0, 1, 3, 4, 5, 11, 12, n - 1] {
            let after = withoutGradients { model(tokens.changed(at: n + t, vocabulary), mode: .inference) }
            #expect(after.at(0, 0).values == before.at(0, 0).values, "row 0 after token \(t) of row 1")
            #expect(after.at(0, 1).sliced(0, to: t).values == before.at(0, 1).sliced(0, to: t).values, "before \(t)")
            #expect(after.at(0, 1).at(0, t).values != before.at(0, 1).at(0, t).values, "position \(t) sees itself")
        }
    }

    @Test(
        "Models that are not causal see the next token, and no other row",
        arguments: ContractModel.all.filter { !$0.isCausal })
    func bothSides(_ entry: ContractModel) throws {
        let model = try entry.make()
        #expect(!model.isCausal)
        let tokens = entry.tokens(2, by: n)
        let before = withoutGradients { model(tokens, mode: .inference) }
        let after = withoutGradients { model(tokens.changed(at: n + 11, vocabulary), mode: .inference) }
        #expect(after.at(0, 0).values == before.at(0, 0).values)
        for t in 10...11 { #expect(after.at(0, 1).at(0, t).values != before.at(0, 1).at(0, t).values, "position \(t)") }
    }

    // MARK: Lengths

    @Test("One token, and the longest sequence", arguments: ContractModel.all)
    func lengths(_ entry: ContractModel) throws {
        let model = try entry.make()
        for length in [1, 2, model.maximumLength ?? 61] {
            let tokens = entry.tokens(2, by: length)
            let logits = withoutGradients { model(tokens, mode: .inference) }
            #expect(logits.shape == [2, length, vocabulary])
            #expect(logits.values.allSatisfy { $0.isFinite })
            guard entry.isCausal else { continue }
            let prefix = withoutGradients { model(tokens.columns(0..<1), mode: .inference) }
            expectClose(logits.sliced(1, to: 1), prefix, through: model, positions: length, "the first of \(length)")
        }
    }

    @Test(
        "Misuse stops with a message that names the model and what it was given",
        arguments: ContractModel.usual.indices, ContractMistake.allCases)
    func mistakes(_ index: Int, _ mistake: ContractMistake) async throws {
        let model = try ContractModel.usual[index].make()
        guard mistake.isOne(of: model) else { return }
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            [index, mistake] in
            let model = try ContractModel.usual[index].make()
            mistake.make(model)
        }
        let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        // The layers may speak for the model: Linformer for LinformerLM.
        for part in ["\(type(of: model))".replacing("LM", with: ""), mistake.rawValue] {
            #expect(said.contains(part), "\(said)")
        }
    }

    @Test("Empty batches and sequences have empty logits", arguments: ContractModel.all.indices)
    func emptyInputs(_ index: Int) async {
        // In a process of its own: a model that takes none ends it.
        await #expect(processExitsWith: .success) { [index] in
            let model = try ContractModel.all[index].make()
            for shape in ContractModel.all[index].emptyShapes {
                for form in Implementation.allCases {
                    let logits = model(TokenTensor([], shape: shape), mode: .inference.using(form))
                    require(logits.shape == shape + [model.vocabularySize], "\(shape): \(logits.shape)")
                }
            }
        }
    }

    // MARK: Masks

    @Test(
        "Padding on the right equals truncation, for rows of unequal length", arguments: ContractModel.padded,
        Implementation.allCases)
    func padding(_ entry: ContractModel, form: Implementation) throws {
        let model = try #require(entry.make() as? any MaskedModel)
        let (lengths, mode) = ([n, 1, 9, 14], ForwardMode.inference.using(form))
        let tokens = entry.tokens(lengths.count, by: n)
        let mask = ContractModel.mask(lengths: lengths, of: n)
        let together = withoutGradients { model.logits(tokens, mask: mask, mode: mode) }
        for (row, length) in lengths.enumerated() {
            let own = TokenTensor(Array(tokens.values[row * n..<row * n + length]), shape: [1, length])
            let alone = withoutGradients { model(own, mode: mode) }
            // Other tiles add in another order.
            expectClose(
                together.at(0, row).sliced(0, to: length), alone.at(0, 0), through: model, positions: n, "row \(row)")
        }
    }

    @Test("What is in masked places changes nothing elsewhere", arguments: ContractModel.holed)
    func holes(_ entry: ContractModel) throws {
        let model = try #require(entry.make() as? any MaskedModel)
        let holes = [0, 3, 9, 10, n - 1]
        let mask = Tensor((0..<n).map { holes.contains($0) ? 0 : 1 }, shape: [1, n])
        func logits(_ tokens: TokenTensor) -> Tensor {
            withoutGradients { model.logits(tokens, mask: mask, mode: .inference).at(0, 0) }
        }
        var tokens = entry.tokens(1, by: n)
        let before = logits(tokens)
        for place in holes { tokens = tokens.changed(at: place, vocabulary) }
        let after = logits(tokens)
        for place in 0..<n where !holes.contains(place) {
            #expect(after.at(0, place).values == before.at(0, place).values, "position \(place)")
        }
        guard !entry.seesItselfAlone else { return }
        let open = withoutGradients { model(tokens, mode: .inference).at(0, 0) }
        #expect(open.at(0, 4).values != after.at(0, 4).values, "a mask hides something")
    }

    @Test("Both forms read masks alike", arguments: ContractModel.masked)
    func maskedForms(_ entry: ContractModel) throws {
        let model = try #require(entry.make() as? any MaskedModel)
        let mask = Tensor((0..<2 * n).map { [0, 5, 6, 23, 24, 40].contains($0) ? 0 : 1 }, shape: [2, n])
        let tokens = entry.tokens(2, by: n)
        let forms = [Implementation.fused, .plain].map { form in
            withoutGradients { model.logits(tokens, mask: mask, mode: .inference.using(form)) }
        }
        expectClose(forms[0], forms[1], through: model, positions: n, "logits")
    }

    // MARK: Models as values

    @Test("A model survives its file", arguments: ContractModel.all)
    func saving(_ entry: ContractModel) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/weights.safetensors"
        let (model, other) = (try entry.make(seed: 1), try entry.make(seed: 2))
        let tokens = entry.tokens(2, by: n)
        func logits(_ model: any LanguageModel) -> [Float] {
            withoutGradients { model(tokens, mode: .inference).values }
        }
        #expect(logits(other) != logits(model))
        try model.save(to: path)
        try other.load(from: path)
        #expect(logits(other) == logits(model))
        for (saved, loaded) in zip(model.state, other.state) {
            #expect(saved.key == loaded.key && saved.parameter.value.values == loaded.parameter.value.values)
        }
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
            let logits = withoutGradients { model(batch, mode: .inference).values }
            return logits + model.trainable.flatMap { all[$0.parameter]?.values ?? [] }
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
        #expect(recorder.layers.isEmpty != entry.showsAttention)
        #expect(Set(recorder.layers.map(\.name)).count == recorder.layers.count)
        for layer in recorder.layers {
            #expect(layer.weights.rank == 4 && layer.weights.shape[0] == 2, "\(layer.name)")
            #expect(layer.weights.values.allSatisfy { $0.isFinite }, "\(layer.name)")
        }
    }
}

/// A programmer's mistake that every model refuses: what the message must contain, beside the model's name.
enum ContractMistake: String, CaseIterable, Codable, Sendable {
    case flatTokens = "tokens [5]"
    case tooLong = "25 tokens"
    case tooFewStates = "2 sequences for 1 states"
    case noTokensToAppend = "1 sequences for 1 states, each of at least one token"
    case tooFewCarries = "tokens [2, 5], 1 carries"

    /// Returns true if it can be made with a model.
    func isOne(of model: any LanguageModel) -> Bool {
        switch self {
        case .tooLong: model.maximumLength != nil
        case .tooFewCarries: model.carriesState
        default: true
        }
    }

    func make<Model: LanguageModel>(_ model: Model) {
        var states = [model.startDecoding()]
        switch self {
        case .flatTokens: _ = model(TokenTensor([1, 2, 3, 4, 5]), mode: .inference)
        case .tooLong: _ = model(TokenTensor(Array(repeating: 1, count: 25), shape: [1, 25]), mode: .inference)
        case .tooFewStates: _ = model.decode([[1], [2]], states: &states)
        case .noTokensToAppend: _ = model.decode([[]], states: &states)
        case .tooFewCarries:
            let tokens = TokenTensor(Array(repeating: 1, count: 10), shape: [2, 5])
            _ = model.logits(tokens, carries: [nil], mode: .inference)
        }
    }
}
