import NN
import Tensors

/// The results of `evaluateBatch` beside the file that it writes.
public struct BatchEvaluation: Hashable, Sendable {
    /// The mean cross-entropy in nats; nil where no target counts.
    public let loss: Double?
    /// The names of the input's tensors, of any type, that were not read.
    public let unread: [String]
}

extension LanguageModel {
    /// Checks weights from elsewhere against their origin: runs one batch of a safetensors file and writes what comes out,
    /// dropout off.
    ///
    /// Rows longer than the longest segment of a model with a carry are read in consecutive segments, their carries
    /// detached. The loss is then the mean over segments of each one's mean loss, as the peers train; a segment without
    /// a target that counts is left out.
    /// - Parameters:
    ///   - input: holds `tokens` [b, n] and `targets` [b, n], integers of any width.
    ///   - output: gets `logits` [b, n, vocabulary], `loss` [1], the mean cross-entropy in nats, and one
    ///     `gradients/<state-dict key>` for each trainable parameter if wanted (zeros where the loss does not depend on it).
    ///   - metadata: the output's `__metadata__`.
    ///   - implementation: the form of the model's operations.
    /// - Returns: the loss, and the names of the input's other tensors.
    /// - Throws: `InputError` that names file and entry when one is missing, of a wrong type or shape, or holds tokens
    ///   outside the vocabulary.
    @discardableResult
    public func evaluateBatch(
        _ input: String, output: String, gradients wantsGradients: Bool = false, metadata: [String: String] = [:],
        implementation: Implementation = .fused
    ) throws -> BatchEvaluation {
        let file = try SafetensorsFile(path: input)
        let batch = try readBatch(file)
        var writer = SafetensorsWriter(metadata: metadata)
        let mode = ForwardMode.inference.using(implementation)
        try writer.add("logits", withoutGradients { logits(ofWindow: batch, mode: mode) })
        let (loss, gradients) = meanOverSegments(batch, gradients: wantsGradients, mode: mode)
        try writer.add("loss", Tensor([Float(loss)]))
        if wantsGradients {
            for (key, parameter) in trainable {
                try writer.add("gradients/" + key, gradients[parameter] ?? .zeros(parameter.shape))
            }
        }
        try writer.write(to: output)
        return BatchEvaluation(
            loss: batch.targets.contains { !ignores($0) } ? loss : nil,
            unread: file.names.filter { $0 != "tokens" && $0 != "targets" }.sorted())
    }

    /// The mean loss over the segments that have targets, NaN where none has (as PyTorch's of such a batch), and its
    /// gradients if wanted. One segment's graph is alive at a time.
    private func meanOverSegments(
        _ batch: TokenBatch, gradients wantsGradients: Bool, mode: ForwardMode
    ) -> (loss: Double, gradients: Gradients) {
        let segments = segments(of: batch.shape[1])
        let hasTargets = segments.map { batch.columns($0).targets.values.contains { !ignores($0) } }
        let count = hasTargets.count { $0 }
        guard count > 0 else { return (.nan, Gradients()) }
        var (sum, gradients) = (0.0, Gradients())
        var carries = batch.rowsWithoutCarry() as [Carry?]
        for (segment, counts) in zip(segments, hasTargets) {
            let (inputs, targets) = batch.columns(segment)
            guard counts else {
                carries = withoutGradients { predictions(inputs, carries: carries, mode: mode).carries }
                continue
            }
            func measure() -> SegmentLoss<Carry> { loss(inputs, targets, carries: carries, mode: mode) }
            let part = wantsGradients ? measure() : withoutGradients(measure)
            if wantsGradients { gradients.add(of: part.loss, share: 1 / Double(count)) }
            sum += Double(part.loss.item)
            carries = part.carries
        }
        return (sum / Double(count), gradients)
    }

    private func ignores(_ target: Int32) -> Bool { target == ignoredTarget || target == ignoreIndex }

    private func readBatch(_ file: SafetensorsFile) throws -> TokenBatch {
        let expected = "expected \"tokens\" and \"targets\", integers of one shape [batch, length]"
        func read(_ name: String, _ shape: [Int]?) throws -> TokenTensor {
            guard let entry = file.entries[name] else {
                throw InputError("\(file.path): \(JSONValue.quoted(name)) is missing; \(expected)")
            }
            guard entry.shape.count == 2, entry.count > 0, shape == nil || shape == entry.shape else {
                let wanted = shape.map { "the shape \($0) of \"tokens\"" } ?? "a shape [batch, length]"
                throw InputError("\(file.path): \(JSONValue.quoted(name)): expected \(wanted), found \(entry.shape)")
            }
            let tokens = try file.tokens(name)
            let counted = name == "targets" ? TokenTensor(tokens.values.filter { !ignores($0) }) : tokens
            if let token = counted.firstOutside(vocabularySize) {
                throw InputError(
                    "\(file.path): \(JSONValue.quoted(name)): \(token) is outside the model's vocabulary;"
                        + " expected 0 to \(vocabularySize - 1)")
            }
            return tokens
        }
        let tokens = try read("tokens", nil)
        if !carriesState, let most = maximumLength, tokens.shape[1] > most {
            throw InputError(
                "\(file.path): \"tokens\": expected at most \(most) in a row, the longest the model's configuration allows,"
                    + " found \(tokens.shape[1])")
        }
        return TokenBatch(
            inputs: tokens.values, targets: try read("targets", tokens.shape).values, shape: tokens.shape,
            startsDocument: Array(repeating: true, count: tokens.shape[0]), textCount: tokens.count)
    }
}
