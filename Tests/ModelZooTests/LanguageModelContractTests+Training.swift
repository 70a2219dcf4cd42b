import AttentionZooTestSupport
import ModelZoo
import Testing

// MARK: Training

extension LanguageModelContractTests {
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

    @Test("Gradients agree with central differences, dropout included", arguments: ContractModel.all)
    func gradients(_ entry: ContractModel) throws {
        let (tokens, targets) = (entry.tokens(2, by: 13), entry.tokens(2, by: 13, seed: 4))
        try expectGradientsByDifferences(entry.make(), tokens, targets, .inference)
        guard entry.hasDropout else { return }
        // One row, whose work is split over threads.
        try expectGradientsByDifferences(
            entry.make(dropout: 0.3), entry.tokens(1, by: 17), entry.tokens(1, by: 17, seed: 4),
            .training(RandomKey(seed: 5)))
    }

    private func expectGradientsByDifferences(
        _ model: any LanguageModel, _ tokens: TokenTensor, _ targets: TokenTensor, _ mode: ForwardMode,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let step: Float = 2e-3
        func loss() -> Float { withoutGradients { model.loss(tokens, targets, mode: mode).item } }
        let all = Tensors.gradients(of: model.loss(tokens, targets, mode: mode))
        let uncertainty = uncertainty(of: model, loss)
        var known = 0
        for (index, (key, parameter)) in model.trainable.enumerated() {
            let drawn = Tensor.normal(parameter.shape, key: RandomKey(seed: 6).child(index))
            let direction = drawn * (1 / drawn.values.map { $0 * $0 }.reduce(0, +).squareRoot())
            let start = parameter.value.detached() * 1
            func loss(_ shift: Float) -> Float {
                parameter.assign(start + direction * shift)
                defer { parameter.assign(start) }
                return withoutGradients { model.loss(tokens, targets, mode: mode).item }
            }
            let (below, here, above) = (loss(-step), loss(0), loss(step))
            let numeric = (above - below) / (2 * step)
            let analytic = ((all[parameter] ?? .zeros(parameter.shape)) * direction).sum().item
            // A quotient is off by what rounding does to the loss, and by curvature and kinks, which show in the difference of
            // both sides.
            let sides = abs((above - here) - (here - below)) / step
            let bound = uncertainty / step + sides + 0.01 * abs(analytic)
            #expect(
                abs(numeric - analytic) <= bound, "\(key): \(analytic), \(numeric) ± \(bound)",
                sourceLocation: sourceLocation)
            known += abs(analytic) > 3 * bound ? 1 : 0
        }
        // The bounds say something: most gradients are known to a third of themselves.
        #expect(
            2 * known > model.trainable.count, "\(known) of \(model.trainable.count)", sourceLocation: sourceLocation)
    }

    /// Returns the uncertainty of the loss by rounding: four times the largest change in four draws that round every
    /// weight once more, which is one of several roundings on the way.
    private func uncertainty(of model: any LanguageModel, _ loss: () -> Float) -> Float {
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
        targets.values = targets.values.map { $0 == model.ignoreIndex ? $0 + 1 : $0 }
        let all = crossEntropy(model(tokens, mode: .inference), targets, ignoreIndex: ignoredTarget)
        expectClose(model.loss(tokens, targets), all, through: model, positions: n, "all targets")
        for place in stride(from: 1, to: 2 * n, by: 3) { targets.values[place] = ignoredTarget }
        let some = crossEntropy(model(tokens, mode: .inference), targets, ignoreIndex: ignoredTarget)
        expectClose(model.loss(tokens, targets), some, through: model, positions: n, "some targets")
        for place in stride(from: 1, to: 2 * n, by: 6) { targets.values[place] = model.ignoreIndex }
        expectClose(model.loss(tokens, targets), some, through: model, positions: n, "by the model's own index")
        #expect(some.item != all.item)
    }

    @Test("A loss stores no logits of all tokens", arguments: Zoo.identifiers)
    func storedLogits(_ id: String) async {
        // In a process of its own: the memory of tensors is everybody's.
        await #expect(processExitsWith: .success) { [id] in
            for entry in ContractModel.all where entry.id == id { try entry.requireNoStoredLogits() }
        }
    }

    @Test(
        "Dropout repeats with its key and is off in inference",
        arguments: ContractModel.dropped)
    func dropout(_ entry: ContractModel) throws {
        // Those that drop in one place have it in their configuration.
        let model = try entry.make(dropout: entry.dropsInOnePlace ? nil : 0.5)
        let tokens = entry.tokens(2, by: n)
        func logits(_ mode: ForwardMode) -> [Float] { withoutGradients { model(tokens, mode: mode).values } }
        let key = RandomKey(seed: 9)
        #expect(logits(.training(key)) == logits(.training(key)))
        #expect(logits(.training(key)) != logits(.training(key.child(1))))
        #expect(logits(.training(key)) != logits(.inference))
        let without = try entry.dropsInOnePlace ? ContractModel(id: entry.id, changes: "").make() : entry.make()
        #expect(logits(.inference) == withoutGradients { without(tokens, mode: .inference).values })
    }

    @Test("The same seed gives the same weights and the same gradients", arguments: ContractModel.all)
    func seeds(_ entry: ContractModel) throws {
        let (tokens, targets) = (entry.tokens(3, by: 21), entry.tokens(3, by: 21, seed: 4))
        func step(_ seed: UInt64) throws -> (weights: [[Float]], gradients: [[Float]]) {
            let model = try entry.make(seed: seed, dropout: entry.hasDropout ? 0.2 : nil, moved: false)
            let all = Tensors.gradients(of: model.loss(tokens, targets, mode: .training(RandomKey(seed: seed))))
            return (model.state.map(\.parameter.value.values), model.trainable.map { all[$0.parameter]?.values ?? [] })
        }
        let (one, again, other) = (try step(1), try step(1), try step(2))
        #expect(one.weights == again.weights && one.gradients == again.gradients)
        #expect(one.weights != other.weights && one.gradients != other.gradients)
    }
}
