import ModelZoo

/// The passes of a model over one sequence of random tokens that are timed.
struct ScalePasses<Model: LanguageModel> {
    private let model: Model
    private let batch: TokenBatch
    private let key: RandomKey

    init(_ model: Model, length n: Int, key: RandomKey) {
        let tokens = key.child(0).integers(n + 1).map { Int32($0 % UInt64(model.vocabularySize)) }
        (self.model, self.key) = (model, key)
        batch = TokenBatch(
            inputs: Array(tokens.dropLast()), targets: Array(tokens.dropFirst()), shape: [1, n], startsDocument: [true],
            textCount: n)
    }

    /// All logits, without gradients.
    func forward() { withoutGradients { _ = model.logits(ofWindow: batch) } }

    /// The gradients of the loss over all tokens, as a step of training makes them: in segments where the model has a
    /// longest one. Returns the seconds of its forward passes.
    func training() -> Double {
        var carries: [Model.Carry?] = []
        return model.stepGradients(of: [batch], carries: &carries, key: key.child(1)).forwardSeconds
    }

    /// The token after all others without a cache: of the baseline only, which is the one that has a naive form.
    func next() {
        let transformer = model as? Transformer
        require(transformer != nil, "ScalePasses.next: \(Model.self), expected a Transformer")
        _ = transformer?.logits(after: TokenTensor(batch.inputs, shape: batch.shape))
    }

    /// The share of the text that is generated at most: so little that a state as long as the text stays what it was.
    private static var share: Int { 16 }

    /// The time of a token after n others, and the memory of what has been read then. Where the model can decode no more than
    /// n, the tokens are the last of them.
    /// - Parameter time: see `generation(after:tokens:for:stop:)`.
    /// - Returns: nil where it was stopped.
    func generation(for time: Double, _ stop: () -> Bool) -> GenerationTime? {
        let n = batch.inputs.count
        let most = max(2, n / Self.share)
        let room = model.maximumDecodingLength.map { max(1, $0 - most) } ?? n
        return model.generation(
            after: batch.inputs.prefix(min(n, room)), tokens: batch.targets.suffix(most), for: time, stop: stop)
    }
}
