import NN
import Tensors

// Block-recurrent transformers (Hutchins et al., https://arxiv.org/abs/2203.07852): a text is read in blocks; a token sees
// its block, the keys and values that the block before has left in every layer, and in some layers states that each block
// writes anew.
//
// b batch, n tokens, m width of the model

/// Attention, then the feed-forward layer. Keys: 0.*, 1.*
public struct BlockRecurrentLayer: Module {
    public let attention: AttentionBlock
    public let feedForward: RecurrentFeedForward

    init(_ configuration: BlockRecurrentConfiguration, layer: Int, key: RandomKey) {
        attention = AttentionBlock(configuration, layer: layer, key: key.child(0))
        let m = configuration.dimension
        feedForward = RecurrentFeedForward(m, hidden: configuration.hiddenDimension, m, key: key.child(1))
    }

    public func collect(into state: inout StateCollector) {
        state.add("0", attention)
        state.add("1", feedForward)
    }
}

/// A language model of blocks, memories and recurrent states.
///
/// Keys: token_emb.weight; layers.i.{0, 1}.*; mem_manager.layers.i.1.1.*; to_logits.0.{gamma, beta}; to_logits.1.weight.
public struct BlockRecurrentTransformer: Module {
    public internal(set) var configuration: BlockRecurrentConfiguration
    public let tokenEmbedding: Embedding
    public let layers: [BlockRecurrentLayer]
    public let memoryManager: MemoryManager
    public let finalNorm: BiaslessLayerNorm
    public let toLogits: Linear
    let positions: BlockPositions
    /// Of each layer, which states it reads (of the recurrent layers counted from the lowest) and what projects its queries.
    let reads: [[(chain: Int, queries: Linear)]]
    /// The recurrent layers, from the lowest.
    let writers: [Int]
    /// Layers that all blocks pass together, one by one, or that one block passes before the next, where states are read
    /// below the layer that writes them.
    let stages: [ClosedRange<Int>]

    /// - Parameters:
    ///   - configuration: a possible one; what the JSON form refuses stops the process here.
    ///   - key: what the initial parameters are drawn from.
    public init(_ configuration: BlockRecurrentConfiguration, key: RandomKey) {
        if let fault = configuration.fault {
            require(false, "BlockRecurrentTransformer: \(fault.key): \(fault.problem)")
        }
        let m = configuration.dimension
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
        let recurrences = configuration.recurrences
        writers = recurrences.map(\.write)
        reads = layers.enumerated().map { index, layer in
            let own = recurrences.enumerated().filter { $1.read == index }
            return own.map { ($0.offset, layers[$0.element.write].attention.stateContainer!.queriesToStates) }
                + layer.attention.feedback.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        }
        stages = Self.stages(recurrences, depth: configuration.depth, feedback: configuration.usesFeedback)
    }

    static func stages(
        _ recurrences: [BlockRecurrentConfiguration.Recurrence], depth: Int, feedback: Bool
    ) -> [ClosedRange<Int>] {
        var stages: [ClosedRange<Int>] = []
        for layer in 0..<depth {
            let tied = recurrences.contains { (feedback ? 0 : $0.read) < layer && layer <= $0.write }
            if tied, let last = stages.popLast() {
                stages.append(last.lowerBound...layer)
            } else {
                stages.append(layer...layer)
            }
        }
        return stages
    }

    /// Passes a segment through all layers. x: [b, n, m] → [b, n, m], and what is remembered then, without gradients.
    func segment(_ x: Tensor, _ memory: RecurrentMemory, mode: ForwardMode) -> (output: Tensor, memory: RecurrentMemory)
    {
        switch mode.implementation {
        case .plain: plainSegment(x, memory, mode: mode)
        case .fused: fusedSegment(x, memory, mode: mode)
        }
    }

    /// The recurrence over blocks: each passes all layers with what the one before has left. x: [b, n, m] → [b, n, m]
    private func plainSegment(
        _ x: Tensor, _ memory: RecurrentMemory, mode: ForwardMode
    ) -> (output: Tensor, memory: RecurrentMemory) {
        var (memory, outputs) = (memory, [Tensor]())
        var weights = SegmentWeights(mode.recorder, reads: reads.map(\.count))
        let spans = BlockSpan.spans(of: x.shape[1], offset: memory.offset, width: configuration.blockWidth)
        for span in spans {
            // Every layer reads the states with which the block begins.
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

    /// A block, or what a segment has of one, in a layer (figure 2): its tokens read the layer's memory and states; the
    /// last of them leave both anew. x: [b, n, m] → [b, n, m]
    private func block(
        _ x: Tensor, layer index: Int, states: [ReadyStates], memory: inout RecurrentMemory,
        weights: inout SegmentWeights?
    ) -> Tensor {
        let (layer, attention, own) = (layers[index], layers[index].attention, memory.layers[index])
        let x̂ = attention.norm(x)
        // One head of keys beside values [b, tokens, 2 d]: those of the block so far, and the memory before them.
        let block = concatenate([own.block, attention.toKeysAndValues(x̂)].compactMap { $0 }, axis: 1)
        let seen = concatenate([own.before, block].compactMap { $0 }, axis: 1)
        let q = attention.positioned(attention.split(attention.toQuery(x̂)), offset: own.offset, positions)  // [b, n, h, d]
        let k = attention.positioned(seen, end: block.shape[1], positions)  // [b, tokens, d]
        var read = [attention.attend(q, k, attention.values(seen), .plain)]
        weights?.add(tokens: attention.weights(q, k, .plain), layer: index)
        // Tokens read states.
        for (place, (chain, queries)) in reads[index].enumerated() {
            let (q, found) = (attention.split(queries(x̂)), states[chain])
            read.append(container(chain).read(q, found.readKeys, found.values, .plain))
            weights?.add(states: container(chain).weights(q, found.readKeys, .plain), layer: index, read: place)
        }
        // A block that is complete becomes the memory and is written to the states.
        if block.shape[1] < configuration.blockWidth {
            memory.layers[index].block = block
        } else {
            memory.layers[index] = LayerMemory(before: memoryManager.memory(index, after: block, own.before))
            if let chain = writers.firstIndex(of: index) {
                let last = seen.sliced(1, from: max(0, seen.shape[1] - configuration.writtenTokens)).split(count: 2)
                memory.states[chain] = container(chain).write(states[chain], keys: last[0], values: last[1], .plain)
            }
        }
        let y = x + attention.toOut(concatenate(read, axis: 2).reshaped([x.shape[0], x.shape[1], -1]))
        return y + layer.feedForward(y, .plain)
    }

    /// A recurrent layer's states, counted from the lowest.
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
