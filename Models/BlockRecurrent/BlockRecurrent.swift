import NN
import Tensors

// Block-recurrent transformers (Hutchins et al., https://arxiv.org/abs/2203.07852; as block-recurrent-transformer-pytorch).
// A text is read in blocks. A token sees its block and the keys and values that the block before has left in every layer,
// and in some layers recurrent states, which each block reads and writes anew. What layers hold is in Layers.swift.
//
// b batch, n tokens, w tokens of a block, m width of the model, h heads, g heads of keys and values (1 in the peer), d
// columns of a head, s states
// q k v queries, keys, values, S states, Ŝ normalized and told apart

/// A language model of blocks, memories and recurrent states.
///
/// Keys: token_emb.weight; layers.i.{0, 1}.*; mem_manager.layers.i.1.1.*; to_logits.0.{gamma, beta}; to_logits.1.weight.
public struct BlockRecurrentTransformer: Module {
    /// The configuration it was made with.
    public internal(set) var configuration: BlockRecurrentConfiguration
    /// The embeddings of tokens, [vocabulary, m].
    public let tokenEmbedding: Embedding
    /// The layers, from the lowest.
    public let layers: [BlockRecurrentLayer]
    /// The choice of what layers remember of a complete block.
    public let memoryManager: MemoryManager
    /// The norm before the logits.
    public let finalNorm: BiaslessLayerNorm
    /// The projection to logits, [vocabulary, m].
    public let toLogits: Linear
    let positions: BlockPositions
    /// The recurrent layers, from the lowest: those that write states.
    let writers: [Int]
    /// The states that each layer reads, as indices of `writers`, and the projections of its queries to them.
    let reads: [[(chain: Int, queries: Linear)]]

    /// - Parameters:
    ///   - configuration: a possible one; what the JSON form refuses stops the process here.
    ///   - key: what the initial parameters are drawn from.
    public init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        configuration.requirePossible("BlockRecurrentTransformer")
        let (m, recurrences) = (configuration.dimension, configuration.recurrences)
        self.configuration = configuration
        tokenEmbedding = Embedding(configuration.tokens, m, key: key.child(0))
        let layers = (0..<configuration.depth).map {
            BlockRecurrentLayer(configuration, layer: $0, key: key.child(1).child($0))
        }
        self.layers = layers
        memoryManager = MemoryManager(configuration, key: key.child(2))
        finalNorm = BiaslessLayerNorm(m)
        toLogits = Linear(m, configuration.tokens, bias: false, key: key.child(3))
        positions = BlockPositions(configuration)
        writers = recurrences.map(\.write)
        reads = layers.enumerated().map { index, layer in
            let own = recurrences.enumerated().filter { $1.read == index }
            return own.map { ($0.offset, layers[$0.element.write].attention.stateContainer!.queriesToStates) }
                + layer.attention.feedback.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        }
    }

    /// The states of a recurrent layer, by its index in `writers`.
    func container(_ chain: Int) -> StateContainer { layers[writers[chain]].attention.stateContainer! }

    /// [..., m] → [..., vocabulary]
    func logits(_ x: Tensor) -> Tensor { toLogits(x, after: finalNorm) }

    public func collect(into state: inout StateCollector) {
        state.add("token_emb", tokenEmbedding)
        state.add("layers", layers)
        state.add("mem_manager", memoryManager)
        state.add("to_logits.0", finalNorm)
        state.add("to_logits.1", toLogits)
    }
}

// MARK: The recurrence

extension BlockRecurrentTransformer {
    /// Passes a segment's embedded tokens through all layers. x: [b, n, m] → [b, n, m], and the memories and states after
    /// it, without gradients.
    func segment(
        _ x: Tensor, _ memory: RecurrentMemory, mode: ForwardMode
    ) -> (output: Tensor, memory: RecurrentMemory) {
        switch mode.implementation {
        case .plain: plainSegment(x, memory, mode: mode)
        case .fused: fusedSegment(x, memory, mode: mode)
        }
    }

    /// Passes one block after another through all layers, each with what the one before has left.
    private func plainSegment(
        _ x: Tensor, _ memory: RecurrentMemory, mode: ForwardMode
    ) -> (output: Tensor, memory: RecurrentMemory) {
        var (memory, outputs) = (memory, [Tensor]())
        var weights = SegmentWeights(mode.recorder, reads: reads.map(\.count))
        let spans = BlockSpan.spans(of: x.shape[1], offset: memory.offset, width: configuration.blockWidth)
        for span in spans {
            // All layers read the states from before the block, though some write them anew on the way.
            let states = memory.states.enumerated().map { container($0).found($1) }
            var x = x.sliced(1, from: span.tokens.lowerBound, to: span.tokens.upperBound)
            for layer in layers.indices {
                x = block(x, layer: layer, states: states, memory: &memory, weights: &weights)
            }
            outputs.append(x)
        }
        weights?.record(spans, isCompressed: configuration.compressesMemory)
        return (concatenate(outputs, axis: 1), memory.detached())
    }

    /// Passes a block, or what a segment has of one, through a layer (figure 2): its tokens read memory and states, and
    /// once it is complete both are written anew. x: [b, n, m] → [b, n, m]
    private func block(
        _ x: Tensor, layer index: Int, states: [FoundStates], memory: inout RecurrentMemory,
        weights: inout SegmentWeights?
    ) -> Tensor {
        let (attention, feedForward) = (layers[index].attention, layers[index].feedForward)
        let input = attention.norm(x)

        // Tokens attend to the memory and to the block up to themselves.
        let offset = memory.layers[index].offset
        let own = memory.layers[index].appending(attention.toKeysAndValues(input))
        let kv = own.all  // [b, memory and block, 2 g d]
        let heads = attention.heads(attention.toQuery(input))  // [b, n, h, d]
        let q = attention.positioned(heads, offset: offset, positions)
        let k = attention.positioned(kv, end: own.offset, positions)
        var parts = [attention.attend(q, k, attention.values(kv), implementation: .plain)]
        weights?.add(tokens: attention.weights(q, k, implementation: .plain), layer: index)

        // Tokens attend to states (the vertical direction).
        for (place, (chain, toQuery)) in reads[index].enumerated() {
            let (container, found, q) = (container(chain), states[chain], attention.heads(toQuery(input)))
            parts.append(container.read(q, found.readKeys, found.values, implementation: .plain))
            weights?.add(
                states: container.weights(q, found.readKeys, implementation: .plain), layer: index, read: place)
        }

        // A complete block becomes the memory, and states attend to it (the horizontal direction).
        if own.offset < configuration.blockWidth {
            memory.layers[index] = own
        } else {
            memory.layers[index] = memoryManager.memory(index, after: own)
            if let chain = writers.firstIndex(of: index) {
                memory.states[chain] = container(chain).write(
                    states[chain], tokens: own.last(configuration.writtenTokens), implementation: .plain)
            }
        }

        let y = x + attention.toOut(attention.joined(parts))
        return feedForward(y, residual: y, mode: .inference.using(.plain))
    }
}

// MARK: Attention

extension AttentionBlock {
    /// [..., h · d] → [..., h, d]
    func heads(_ x: Tensor) -> Tensor { x.reshaped(Array(x.shape.dropLast()) + [configuration.heads, -1]) }

    /// Puts the heads of all parts beside each other. parts: [b, n, h, d] each → [b, n, parts · h · d]
    func joined(_ parts: [Tensor]) -> Tensor {
        concatenate(parts.map { $0.reshaped(Array($0.shape.dropLast(2)) + [-1]) }, axis: 2)
    }

    /// Normalizes queries, of a block's tokens from `offset` on, and rotates them where no bias tells distances. x: [b, n, h,
    /// d]
    func positioned(_ x: Tensor, offset: Int, _ positions: BlockPositions) -> Tensor {
        let queries = scoreNorm?.queries(x) ?? x
        return relativeBias == nil ? positions.rotate(queries: queries, offset: offset) : queries
    }

    /// Does the same with the keys of [b, n, 2 g d], of which the last is token `end` − 1 of a block. → [b, n, g, d]
    func positioned(_ keysAndValues: Tensor, end: Int, _ positions: BlockPositions) -> Tensor {
        let heads = configuration.keysAndValues(keysAndValues).keys
        let keys = scoreNorm?.keys(heads) ?? heads
        return relativeBias == nil ? positions.rotate(keys: keys, end: end) : keys
    }

    /// Returns what is added to the scores of n keys by distance, the farthest first: [h, n]; nil with rotary positions. As
    /// the authors add it before the factor, it has the factor of the scores.
    func bias(_ n: Int) -> Tensor? {
        guard let bias = relativeBias?.byDistance(n) else { return nil }
        return (scoreNorm?.scaled(bias: bias) ?? bias) * scale
    }

    /// [b, n, 2 g d] → [b, n, g, d]
    func values(_ keysAndValues: Tensor) -> Tensor { configuration.keysAndValues(keysAndValues).values }

    /// Returns softmax(scale · q kᵀ + bias) v, where the last keys are the queries' own and a query sees none after its own.
    /// queries: [b, n, h, d]; keys, values: [b, …, g, d] → [b, n, h, d]
    func attend(
        _ queries: Tensor, _ keys: Tensor, _ values: Tensor, implementation: Implementation = .fused
    ) -> Tensor {
        groupedQueryAttention(
            queries, keys, values, scale: scale, isCausal: true, reach: configuration.attentionWindow,
            bias: bias(keys.shape[1]), implementation: implementation)
    }
}

// MARK: States

extension StateContainer {
    /// Returns Ŝ = norm(S) + I with its keys and values. states: S, [b or 1, s, m]; nil before anything was written.
    func found(_ states: Tensor?) -> FoundStates {
        let states = states ?? initialStates.value.unsqueezed(0)
        let x = norm(states) + identifiers.value
        let (keys, values) = configuration.keysAndValues(keysAndValues(x))
        return FoundStates(states: states, identified: x, keys: keys, readKeys: readNorm.keys(keys), values: values)
    }

    /// Returns what tokens find in the states. queries: [b, n, h, d]; readKeys, values: [b or 1, s, g, d] → [b, n, h, d]
    func read(
        _ queries: Tensor, _ readKeys: Tensor, _ values: Tensor, implementation: Implementation = .fused
    ) -> Tensor {
        attend(readNorm.queries(queries), readKeys, values, implementation: implementation)
    }

    /// Returns the states after a block: they attend to each other and to the block's tokens, beside each other, and what
    /// that gives goes through the gate.
    /// - Parameter tokens: keys beside values that the states read, without positions: [b, n, 2 g d].
    /// - Returns: [b, s, m].
    func write(_ found: FoundStates, tokens: Tensor, implementation: Implementation = .fused) -> Tensor {
        let mode = ForwardMode.inference.using(implementation)
        let (keys, values) = configuration.keysAndValues(tokens)
        let own = attend(
            selfNorm.queries(heads(selfQueries(found.identified))), selfNorm.keys(found.keys), found.values,
            implementation: implementation)
        let cross = attend(
            crossNorm.queries(heads(crossQueries(found.identified))), crossNorm.keys(keys), values,
            implementation: implementation)
        let b = tokens.shape[0]
        let attended = concatenate([own.expanded(to: [b] + own.shape.dropFirst()), cross], axis: 3)  // [b, s, h, 2 d]
        let h = attended.reshaped(Array(attended.shape.prefix(2)) + [-1])
        if let directGate { return directGate(found.states, new: toStateOut!(h), attended: h) }
        guard let toStateOut else { return gate!(found.states, feedForward!(h, mode: mode)) }
        let states = gate!(found.states, toStateOut(h))
        guard let feedForward, let feedForwardGate else { return states }
        return feedForwardGate(states, feedForward(states, mode: mode))
    }

    /// [b, s, h · d] → [b, s, h, d]
    private func heads(_ x: Tensor) -> Tensor { x.reshaped(Array(x.shape.prefix(2)) + [configuration.heads, -1]) }

    /// Returns softmax(scale · q kᵀ) v, repeating what all rows share where the others differ.
    private func attend(
        _ queries: Tensor, _ keys: Tensor, _ values: Tensor, implementation: Implementation
    ) -> Tensor {
        let b = max(queries.shape[0], keys.shape[0])
        func repeated(_ x: Tensor) -> Tensor { x.expanded(to: [b] + x.shape.dropFirst()) }
        return groupedQueryAttention(
            repeated(queries), repeated(keys), repeated(values), scale: scale, implementation: implementation)
    }
}

extension StateGate {
    /// Returns the states with some of z = W h + b in place of the old:
    ///
    ///     fixed: S' = β ⊙ z + (1 − β) ⊙ S,  β = σ(b_β)
    ///     lstm:  S' = σ(f + b_f) ⊙ S + σ(i − 1) ⊙ tanh(z),  b_f = 1
    ///
    /// (equations 4 to 8; the peer's β is the share of the new). states, h: [b, s, m] → [b, s, m]
    func callAsFunction(_ states: Tensor, _ h: Tensor) -> Tensor {
        guard let emaBeta else {
            let parts = toGate(h).split(count: 3)
            return states * sigmoid(parts[2] + forgetBias) + tanh(parts[0]) * sigmoid(parts[1] - 1)
        }
        let new = sigmoid(emaBeta.value)
        return toGate(h) * new + states * (1 - new)
    }
}

extension DirectStateGate {
    /// Returns the states with some of z in place of the old, h being what they attended:
    ///
    ///     fixed: S' = β ⊙ z + (1 − β) ⊙ S,  β = σ(b_β)
    ///     lstm:  S' = σ(f + b_f) ⊙ S + σ(i − 1) ⊙ z,  (i, f) = W h + b
    ///
    /// states, z: [b, s, m], h: [b, s, 2 h d] → [b, s, m]
    func callAsFunction(_ states: Tensor, new z: Tensor, attended h: Tensor) -> Tensor {
        guard let toGates else {
            let new = sigmoid(emaBeta!.value)
            return z * new + states * (1 - new)
        }
        let parts = toGates(h).split(count: 2)
        return states * sigmoid(parts[1] + forgetBias) + z * sigmoid(parts[0] - 1)
    }
}
