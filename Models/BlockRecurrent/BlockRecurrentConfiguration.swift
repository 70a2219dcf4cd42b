import NN

/// How a recurrent layer's new states come from the old ones (2203.07852, section 3.2).
public enum StateGateKind: String, Sendable, CaseIterable {
    /// A learned share of each column is replaced.
    case fixed
    /// Input and forget gates that depend on the states.
    case lstm
}

/// What lies between the attention of the states and the gate (2203.07852, section 3.3).
public enum StateUpdate: String, Sendable, CaseIterable {
    /// Nothing: attention, gate.
    case skip
    /// Attention, feed-forward, gate.
    case single
    /// Attention, gate, feed-forward, gate.
    case dual
}

/// The options of `BlockRecurrentTransformer`. In JSON those down to `compressedMemoryFactor` have the names and defaults
/// of block-recurrent-transformer-pytorch; the others are ours.
public struct BlockRecurrentConfiguration: Sendable {
    /// num_tokens: the vocabulary.
    public var tokens: Int
    /// dim: the width of the model, m.
    public var dimension: Int
    /// depth: the number of layers.
    public var depth: Int
    /// dim_head: columns of a head, d; even.
    public var headDimension = 64
    /// heads: h, which share one head of keys and values.
    public var heads = 8
    /// all_layers_qk_rmsnorm: queries and keys of all layers are normalised, not only those of recurrent layers.
    public var normalizesAllLayers = false
    /// ff_mult: the feed-forward's hidden width is ⌊2/3 · dim · mult⌋.
    public var feedForwardMultiple = 4.0
    /// max_seq_len: the longest segment, through which gradients pass; a multiple of the block width.
    public var maximumLength = 1024
    /// block_width: tokens of a block, w.
    public var blockWidth = 512
    /// recurrent_layers: the layers, from 1, that write states; nil for the one in the middle. None: memories alone, a
    /// Transformer-XL.
    public var recurrentLayers: [Int]?
    /// read_recurrent_layers: for each of them the layer, not above it, that reads its states; nil for itself.
    public var readRecurrentLayers: [Int]?
    /// num_state_vectors: states of a recurrent layer, s; nil for as many as the block has tokens.
    public var stateVectors: Int?
    /// ignore_index: targets of this value do not count in the loss.
    public var ignoreIndex: Int32 = -100
    /// use_compressed_mem: what leaves the memory is kept for half a block's width more, compressed by a convolution.
    public var compressesMemory = false
    /// compressed_mem_factor: tokens that become one.
    public var compressedMemoryFactor = 4

    /// qk_rmsnorm_scale: what scores of normalised queries and keys are multiplied by. Nil as in the peer, which has 8 as
    /// an option but uses dim_head^−½.
    public var normalizedScale: Double?
    /// gate: fixed or lstm.
    public var gate = StateGateKind.fixed
    /// state_update: skip, single or dual.
    public var stateUpdate = StateUpdate.skip
    /// feedback: every layer reads the states of every recurrent layer.
    public var usesFeedback = false
    /// attention_window: tokens that a token sees, itself included; nil as in the peer: its own block and the whole memory.
    public var attentionWindow: Int?
    /// state_window: the last tokens of a block (and of the memory before it) that states read; nil for those of the block.
    public var stateWindow: Int?
    /// xl_memories_dropout: the probability that a training segment begins without memories.
    public var memoriesDropout = 0.0
    /// state_dropout: the probability that a training segment begins with initial states.
    public var stateDropout = 0.0

    /// With the defaults of the peer.
    public init(tokens: Int, dimension: Int, depth: Int) {
        (self.tokens, self.dimension, self.depth) = (tokens, dimension, depth)
    }

    /// Hidden features of a feed-forward layer.
    public var hiddenDimension: Int { Int(Double(dimension) * feedForwardMultiple * 2 / 3) }

    /// A layer that writes states, and the layer that reads them; in the order in which they write. Layers count from 0.
    struct Recurrence: Sendable, Equatable {
        let write: Int, read: Int
    }

    var recurrences: [Recurrence] {
        let writes = recurrentLayers ?? [max(1, depth / 2)]
        return zip(writes, readRecurrentLayers ?? writes)
            .map { Recurrence(write: $0 - 1, read: $1 - 1) }
            .sorted { $0.write < $1.write }
    }

    /// s
    var states: Int { stateVectors ?? blockWidth }

    /// The last tokens of a block, and of the memory before it, that its states read.
    var writtenTokens: Int { stateWindow ?? blockWidth }

    /// Compressed tokens that are kept at most.
    var compressedLength: Int { compressesMemory ? blockWidth / 2 : 0 }
}
