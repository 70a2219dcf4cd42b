import NN
import Tensors

/// A transformer that reads long windows as consecutive segments, as block-recurrent-transformer-pytorch's class of this
/// name does. (The trainer does the same with any model that has a longest segment.)
public struct RecurrentTrainerWrapper: Module {
    /// The model that reads the segments.
    public let transformer: BlockRecurrentTransformer

    /// - Parameters:
    ///   - xlMemoriesDropout, stateDropout: the probabilities that a training segment begins without memories, and with
    ///     initial states; nil for the transformer's own.
    public init(
        _ transformer: BlockRecurrentTransformer, xlMemoriesDropout: Double? = nil, stateDropout: Double? = nil
    ) {
        var transformer = transformer
        if let xlMemoriesDropout { transformer.configuration.memoriesDropout = xlMemoriesDropout }
        if let stateDropout { transformer.configuration.stateDropout = stateDropout }
        self.transformer = transformer
    }

    /// Returns the mean loss of the segments of max_seq_len tokens, in nats a token, each given the memories and states of
    /// the one before.
    ///
    /// The result has the gradients' graphs of all segments; `segmentLosses` has one at a time.
    /// - Parameter tokens: [b, n + 1], of which the last are targets only; n any number of at least 1 (the last segment may
    ///   be shorter, and counts as much as the others).
    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode = .inference) -> Tensor {
        var losses: [Tensor] = []
        segmentLosses(tokens, mode: mode) { losses.append($0) }
        return losses.dropFirst().reduce(losses[0], +) / Float(losses.count)
    }

    /// Calls `body` with the loss of each segment, in order, and returns what each row remembers after the last.
    @discardableResult
    public func segmentLosses(
        _ tokens: TokenTensor, mode: ForwardMode = .inference, _ body: (_ loss: Tensor) throws -> Void
    ) rethrows -> [RecurrentMemory?] {
        require(
            tokens.shape.count == 2 && tokens.shape[1] >= 2,
            "RecurrentTrainerWrapper: tokens \(tokens.shape), expected [b, n + 1]")
        let (b, n) = (tokens.shape[0], tokens.shape[1] - 1)
        var carries = [RecurrentMemory?](repeating: nil, count: b)
        let step = transformer.configuration.maximumLength
        for (index, start) in stride(from: 0, to: n, by: step).enumerated() {
            let end = min(start + step, n)
            let segment = transformer.loss(
                tokens.columns(start..<end), tokens.columns(start + 1..<end + 1), carries: carries,
                mode: mode.child(index))
            carries = segment.carries
            try body(segment.loss)
        }
        return carries
    }

    /// Continues texts, token by token, at a cost that does not grow with the length.
    ///
    /// - Parameters:
    ///   - prompts: any number of tokens each, at least one.
    ///   - length: the number of tokens wanted of each.
    ///   - choose: takes logits, [sequences, vocabulary], and returns a token of each; by default the likeliest.
    /// - Returns: what follows each prompt.
    public func generate(
        _ prompts: [[Int32]], length: Int, choose: (_ logits: Tensor) -> [Int32] = { $0.argmax().values }
    ) -> [[Int32]] {
        var states = prompts.map { _ in transformer.startDecoding() }
        var results = prompts.map { _ in [Int32]() }
        var next = prompts
        for _ in 0..<length {
            let tokens = choose(transformer.decode(next, states: &states))
            next = tokens.map { [$0] }
            for (index, token) in tokens.enumerated() { results[index].append(token) }
        }
        return results
    }

    /// The transformer's own keys; those of the peer's wrapper have `transformer.` before them.
    public func collect(into state: inout StateCollector) { transformer.collect(into: &state) }
}
