import NN

/// The gate between a recurrent layer's old and new states (2203.07852, section 3.2).
public enum StateGateKind: String, Sendable, CaseIterable {
    /// A learned share of each column is replaced.
    case fixed
    /// Input and forget gates that depend on the states.
    case lstm
}

/// The layers between the attention of the states and the gate (2203.07852, section 3.3).
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
public struct BlockRecurrentConfiguration: ModelConfiguration {
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
    /// all_layers_qk_rmsnorm: queries and keys of all layers are normalized, not only those of recurrent layers.
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

    /// qk_rmsnorm_scale: the factor of the scores of normalized queries and keys. Nil as in the peer, which has 8 as
    /// an option but uses dim_head^−½. With learned temperatures it is what these begin with; nil for 1.
    public var normalizedScale: Double?
    /// gate: fixed or lstm.
    public var gate = StateGateKind.fixed
    /// state_update: skip, single or dual.
    public var stateUpdate = StateUpdate.skip
    /// feedback: every layer reads the states of every recurrent layer.
    public var usesFeedback = false
    /// attention_window: tokens that a token sees, itself included, at most one more than a block's; nil as in the peer:
    /// its own block and the whole memory.
    public var attentionWindow: Int?
    /// state_window: the last tokens of a block (and of the memory before it) that states read; nil for those of the block.
    public var stateWindow: Int?
    /// xl_memories_dropout: the probability that a training segment begins without memories.
    public var memoriesDropout = 0.0
    /// state_dropout: the probability that a training segment begins with initial states.
    public var stateDropout = 0.0

    /// init_state_scale: the standard deviation of the states before anything was read, at initialization.
    public var initialStateScale = 0.1
    /// state_ids_scale: the standard deviation of the identifiers that tell states apart, at initialization.
    public var identifierScale = 1.0
    /// forget_bias: what the LSTM's gate adds to the forget gate's argument; nil for 1.
    public var forgetBias: Double?
    /// learned_temperatures: normalized queries and keys have a learned temperature for each head and use, as in the
    /// authors' code, instead of scales of their columns and a factor.
    public var learnsTemperatures = false
    /// kv_heads: the number of heads of keys and values, a divisor of `heads`; nil for one that all heads share.
    public var keyValueHeads: Int?
    /// direct_write: states are written by one linear layer of full scale, and the LSTM's gates read what the states
    /// attended, without a tanh, as in the authors' code.
    public var writesDirectly = false
    /// relative_position_bias: tokens know distances by T5's learned bias of each head instead of rotary positions, as in
    /// the authors' code.
    public var usesRelativeBias = false

    /// Takes the defaults of the peer.
    public init(tokens: Int, dimension: Int, depth: Int) {
        (self.tokens, self.dimension, self.depth) = (tokens, dimension, depth)
    }

    /// The columns of all heads, h · d.
    var innerDimension: Int { heads * headDimension }

    /// The heads of keys and values, g.
    var groups: Int { keyValueHeads ?? 1 }

    /// The columns of all keys, g · d.
    var keyDimension: Int { groups * headDimension }

    /// The factor of scores; 1 where learned temperatures are in its place.
    func scale(isNormalized: Bool) -> Float {
        if isNormalized && learnsTemperatures { return 1 }
        if isNormalized, let normalizedScale { return Float(normalizedScale) }
        return 1 / Float(headDimension).squareRoot()
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

// MARK: JSON

extension BlockRecurrentConfiguration {
    public static let schema = ConfigurationSchema(
        BlockRecurrentConfiguration(tokens: 0, dimension: 0, depth: 0),
        [
            .size("num_tokens", \.tokens, isRequired: true).role(.vocabulary),
            .size("dim", \.dimension, isRequired: true),
            .depth("depth", \.depth, isRequired: true),
            .size("dim_head", \.headDimension),
            .heads("heads", \.heads),
            .flag("all_layers_qk_rmsnorm", \.normalizesAllLayers),
            .number("ff_mult", \.feedForwardMultiple, in: 0...1024),
            .size("max_seq_len", \.maximumLength),
            .size("block_width", \.blockWidth),
            .integers("recurrent_layers", \.recurrentLayers),
            .integers("read_recurrent_layers", \.readRecurrentLayers),
            .size("num_state_vectors", \.stateVectors),
            .token("ignore_index", \.ignoreIndex),
            .flag("use_compressed_mem", \.compressesMemory),
            .size("compressed_mem_factor", \.compressedMemoryFactor),
            usesFlashAttention,
        ] + own)

    /// The peer's choice of a kernel, which is taken and changes nothing: fused attention never stores its weights.
    private static let usesFlashAttention = ConfigurationField<Self>(
        "use_flash_attn", read: { _ = try $1.bool("use_flash_attn", default: false) }, write: { _ in nil })

    private static let own: [ConfigurationField<Self>] = [
        .number("qk_rmsnorm_scale", \.normalizedScale, in: 1e-6...1e6),
        .option("gate", \.gate),
        .option("state_update", \.stateUpdate),
        .flag("feedback", \.usesFeedback),
        .size("attention_window", \.attentionWindow, atLeast: 2),
        .size("state_window", \.stateWindow),
        .number("xl_memories_dropout", \.memoriesDropout, in: 0...1),
        .number("state_dropout", \.stateDropout, in: 0...1),
        .number("init_state_scale", \.initialStateScale, in: 0...1e3),
        .number("state_ids_scale", \.identifierScale, in: 0...1e3),
        .number("forget_bias", \.forgetBias, in: -100...100),
        .flag("learned_temperatures", \.learnsTemperatures),
        .size("kv_heads", \.keyValueHeads),
        .flag("direct_write", \.writesDirectly),
        .flag("relative_position_bias", \.usesRelativeBias),
    ]
}
