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
