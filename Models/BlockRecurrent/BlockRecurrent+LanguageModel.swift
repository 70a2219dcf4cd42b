import NN
import Tensors

// The model as the trainer, evaluation and generation see it: one segment after another, each row with memories and states
// of its own.

extension BlockRecurrentTransformer {
    /// The memory before anything was read.
    var nothing: RecurrentMemory {
        RecurrentMemory(
            layers: layers.map { _ in LayerMemory() }, states: [Tensor?](repeating: nil, count: writers.count))
    }

    /// Reads a segment as block-recurrent-transformer-pytorch's model does.
    ///
    /// - Parameters:
    ///   - tokens: [b, n], n up to max_seq_len.
    ///   - xlMemories: of every layer, [2, b, n, g · d]; empty for none.
    ///   - states: of every recurrent layer, from the lowest, [b, s, m] or the same for all rows, [s, m]; empty for the
    ///     initial ones.
    /// - Returns: logits [b, n, vocabulary], and memories and states after the last block that is complete, without gradients.
    public func callAsFunction(
        _ tokens: TokenTensor, xlMemories: [Tensor], states: [Tensor], mode: ForwardMode = .inference
    ) -> (logits: Tensor, xlMemories: [Tensor], states: [Tensor]) {
        let (x, memory) = read(tokens, memory(xlMemories, states, rows: tokens.shape.first ?? 0), mode: mode)
        return (logits(x), memory.xlMemories, memory.recurrentStates)
    }

    private func memory(_ memories: [Tensor], _ states: [Tensor], rows b: Int) -> RecurrentMemory {
        let (d, s, m) = (configuration.keyDimension, configuration.states, configuration.dimension)
        let longest = configuration.blockWidth + configuration.compressedLength
        require(
            (memories.isEmpty || memories.count == layers.count)
                && memories.allSatisfy {
                    $0.rank == 4 && $0.shape == [2, b, $0.shape[2], d]
                        && (1...longest).contains($0.shape[2])
                },
            "BlockRecurrentTransformer: memories \(memories.map(\.shape)), expected none or \(layers.count) of [2, \(b), "
                + "1…\(longest), \(d)]")
        require(
            (states.isEmpty || states.count == writers.count)
                && states.allSatisfy { $0.shape == [b, s, m] || $0.shape == [s, m] },
            "BlockRecurrentTransformer: states \(states.map(\.shape)), expected none or \(writers.count) of [\(b), \(s), "
                + "\(m)] or [\(s), \(m)]")
        var memory = nothing
        for (index, tensor) in memories.enumerated() { memory.layers[index].before = packed(tensor) }
        for (index, tensor) in states.enumerated() { memory.states[index] = tensor.expanded(to: [b, s, m]) }
        return memory
    }

    /// Passes a segment of rows that have read equally much through all layers. tokens: [b, n] → [b, n, m]
    private func read(
        _ tokens: TokenTensor, _ memory: RecurrentMemory?, mode: ForwardMode
    ) -> (output: Tensor, memory: RecurrentMemory) {
        require(
            tokens.shape.count == 2 && tokens.count > 0,
            "BlockRecurrentTransformer: tokens \(tokens.shape), expected [b, n], both at least 1")
        require(
            tokens.shape[1] <= configuration.maximumLength,
            "BlockRecurrentTransformer: \(tokens.shape[1]) tokens, but max_seq_len is \(configuration.maximumLength)")
        return segment(tokenEmbedding(tokens), memory ?? nothing, mode: mode)
    }
}

extension BlockRecurrentTransformer: LanguageModel {
    public typealias Carry = RecurrentMemory

    public var vocabularySize: Int { configuration.tokens }
    public var isCausal: Bool { true }
    /// Each layer keeps what it reads.
    public var leastActivations: Int { configuration.depth.timesClamped(configuration.dimension) }
    public var maximumLength: Int? { configuration.maximumLength }
    public var ignoreIndex: Int32 { configuration.ignoreIndex }

    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        predictions(tokens, mode: mode).logits
    }

    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        Predictions(read(tokens, nil, mode: mode).output, after: finalNorm, projection: toLogits)
    }

    public func logits(
        _ tokens: TokenTensor, carries: [RecurrentMemory?], mode: ForwardMode
    ) -> (logits: Tensor, carries: [RecurrentMemory?]) {
        let (predictions, next) = predictions(tokens, carries: carries, mode: mode)
        return (predictions.logits, next)
    }

    public func predictions(
        _ tokens: TokenTensor, carries: [RecurrentMemory?], mode: ForwardMode
    ) -> (predictions: Predictions, carries: [RecurrentMemory?]) {
        let (x, next) = read(tokens, carries: carries, mode: mode)
        return (Predictions(x, after: finalNorm, projection: toLogits), next)
    }

    /// Reads rows that have read unequally much, such as one that begins beside one that resumes, in groups.
    private func read(
        _ tokens: TokenTensor, carries: [RecurrentMemory?], mode: ForwardMode
    ) -> (output: Tensor, carries: [RecurrentMemory?]) {
        require(
            tokens.shape.count == 2 && tokens.count > 0 && carries.count == tokens.shape[0],
            "BlockRecurrentTransformer: tokens \(tokens.shape), \(carries.count) carries; expected [b, n], b carries")
        let given = forgetful(carries.map { $0 ?? nothing }, mode)
        let groups = Dictionary(grouping: given.indices) { given[$0].form }.values.sorted { $0[0] < $1[0] }
        var (outputs, next) = ([Tensor](), carries)
        for rows in groups {
            let (output, memory) = read(
                tokens.rows(rows), RecurrentMemory(joining: rows.map { given[$0] }), mode: mode)
            outputs.append(output)
            for (place, row) in rows.enumerated() { next[row] = memory.row(place) }
        }
        if groups.count == 1 { return (outputs[0], next) }
        let places = groups.joined().enumerated().sorted { $0.element < $1.element }.map { Int32($0.offset) }
        return (concatenate(outputs).taking(TokenTensor(places)), next)
    }

    /// Drops, in training, the memories or the states of a whole batch with their probabilities, as in the peer's
    /// `RecurrentTrainerWrapper`. The keys and values of a block that is not complete stay.
    private func forgetful(_ rows: [RecurrentMemory], _ mode: ForwardMode) -> [RecurrentMemory] {
        guard let key = mode.key else { return rows }
        func drops(_ probability: Double, _ index: Int) -> Bool {
            probability > 0 && Double(Tensor.uniform([1], key: key.child(index)).item) < probability
        }
        var parts: Set<String> = []
        if drops(configuration.memoriesDropout, 0) { parts.insert("memories") }
        if drops(configuration.stateDropout, 1) { parts.insert("states") }
        return parts.isEmpty ? rows : rows.map { $0.forgetting(parts) ?? nothing }
    }
}

extension TokenTensor {
    /// Takes some rows of [b, n].
    fileprivate func rows(_ rows: [Int]) -> TokenTensor {
        let n = shape[1]
        return TokenTensor(rows.flatMap { values[$0 * n..<($0 + 1) * n] }, shape: [rows.count, n])
    }
}
