import Benchmarking
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

    /// Tokens of a prompt that are read in one call: as many as make products fast, and no more, so that a long prompt takes
    /// no memory and can be stopped.
    private static var piece: Int { 4096 }
    /// Tokens that are timed at least, after one that is not.
    private static var timed: Int { 16 }
    /// The share of the text that is generated at most: so little that a state as long as the text stays what it was.
    private static var share: Int { 16 }

    /// The median time of a token after n others, and the memory of what has been read then. Where the model can decode no
    /// more than n, the tokens are the last of them.
    /// - Parameter time: tokens are timed as long as this, as far as the text has so many; where a text is so short that
    ///   it has not, the whole is repeated, and the fastest median counts.
    /// - Returns: nil where it was stopped.
    func generation(for time: Double, _ stop: () -> Bool) -> (seconds: Double, stateBytes: Int)? {
        let begin = now()
        var best: (seconds: Double, stateBytes: Int)?
        repeat {
            guard let run = generationRun(for: time, stop) else { return nil }
            if best.map({ run.seconds < $0.seconds }) ?? true { best = run }
        } while now() - begin < time
        return best
    }

    private func generationRun(for time: Double, _ stop: () -> Bool) -> (seconds: Double, stateBytes: Int)? {
        let n = batch.inputs.count
        let most = max(Self.timed, n / Self.share)
        let room = model.maximumDecodingLength.map { max(1, $0 - 1 - most) } ?? n
        let prompt = batch.inputs.prefix(min(n, room))
        let pool = MemoryPool.shared
        let held = pool.statistics.current
        var states = [model.startDecoding()]
        for start in stride(from: 0, to: prompt.count, by: Self.piece) {
            if stop() { return nil }
            _ = model.decode([Array(prompt[start..<min(start + Self.piece, prompt.count)])], states: &states)
        }
        let bytes = pool.statistics.current - held
        var seconds: [Double] = []
        let begin = now()
        for index in 0...most where index <= Self.timed || now() - begin < time {
            if stop() { return nil }
            let token = batch.targets[index % n]
            let start = now()
            _ = model.decode([[token]], states: &states)
            seconds.append(now() - start)
        }
        return (median(Array(seconds.dropFirst())), bytes)
    }
}
