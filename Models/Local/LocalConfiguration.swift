import NN
import Tensors

/// The options of `LocalTransformer`. In JSON they have local-attention's names and defaults, those that it passes on to
/// its layers included; `true_positions` and `use_rotary_pos_emb` are ours.
public struct LocalConfiguration: ModelConfiguration {
    /// num_tokens: the vocabulary; nil for the stack of layers alone (`LocalTransformerStack`).
    public var tokens: Int?
    /// max_seq_len: positions that are learned, and the longest sequence of a forward pass.
    public var maximumLength: Int
    /// depth: the number of layers.
    public var depth: Int
    /// dim, causal (here true by default), dim_head, heads, local_attn_window_size, look_backward, look_forward,
    /// exact_windowsize, qk_rmsnorm, qk_scale, gate_values_per_head, shared_qk, use_xpos, xpos_scale_base, attn_dropout,
    /// use_rotary_pos_emb (no effect with the dynamic bias), true_positions. The norm before it is always there.
    public var attention: LocalMHAOptions
    /// ff_mult: the feed-forward's hidden width is ⌊2/3 · dim · mult⌋.
    public var feedForwardMultiple = 4.0
    /// ff_dropout: of the feed-forward's hidden features.
    public var feedForwardDropout = 0.0
    /// ignore_index: targets of this value do not count in the loss.
    public var ignoreIndex: Int32 = -1
    /// use_dynamic_pos_bias: a learned bias by distance instead of rotary positions (which use_xpos then changes nothing of).
    public var usesDynamicBias = false
    /// layers_insert_global_attn: the layers, from 1, that the caller's global layer comes before; nil for all.
    public var globalLayers: [Int]?
    /// num_residual_streams: 1 is the plain residual.
    public var residualStreams = 4

    /// Creates the configuration of a causal model of a size, all else as the peer's defaults.
    public init(tokens: Int?, maximumLength: Int, dimension: Int, depth: Int, windowSize: Int = 512) {
        (self.tokens, self.maximumLength, self.depth) = (tokens, maximumLength, depth)
        attention = LocalMHAOptions(dimension: dimension, windowSize: windowSize)
        attention.attention.isCausal = true
    }

    public static let schema = ConfigurationSchema(
        LocalConfiguration(tokens: nil, maximumLength: 0, dimension: 0, depth: 0),
        [
            vocabulary,
            .size("max_seq_len", \.maximumLength, isRequired: true).role(.rowLength),
            .size("dim", \.attention.dimension, isRequired: true),
            .depth("depth", \.depth, atLeast: 0, isRequired: true),
            .size("local_attn_window_size", \.attention.attention.windowSize),
            .flag("use_dynamic_pos_bias", \.usesDynamicBias),
            .flag("use_rotary_pos_emb", \.attention.attention.usesRotary),
            .number("attn_dropout", \.attention.attention.dropout, in: 0..<1).role(.dropout),
        ] + LocalMHAOptions.shared.map { $0.of(\.attention) } + [
            .number("ff_mult", \.feedForwardMultiple, in: 0...1024),
            .number("ff_dropout", \.feedForwardDropout, in: 0..<1).role(.dropout),
            .token("ignore_index", \.ignoreIndex),
            .integers("layers_insert_global_attn", \.globalLayers),
            .size("num_residual_streams", \.residualStreams, atMost: 256),
        ])

    /// The vocabulary: said to be null for the layers alone, and never left out.
    private static let vocabulary = ConfigurationField<Self>(
        "num_tokens", role: .vocabulary,
        read: { $0.tokens = $1.isNull("num_tokens") ? nil : try $1.size("num_tokens") },
        write: { $0.tokens.map { .integer($0) } ?? .null })

    public func check() throws {
        var layer = attention
        // Only rotary positions need heads of an even width.
        layer.attention.usesRotary = layer.attention.usesRotary && !usesDynamicBias
        try layer.check()
        if hiddenDimension < 1 {
            throw ConfigurationError(
                "ff_mult", "2/3 of \(feedForwardMultiple) times dim \(dimension) leaves no hidden feature")
        }
        if usesDynamicBias && dimension < 2 {
            throw ConfigurationError("dim", "\(dimension) leaves the dynamic bias no features; expected at least 2")
        }
        for layer in globalLayers ?? [] where layer < 1 || layer > depth {
            throw ConfigurationError("layers_insert_global_attn", "\(layer) is no layer; expected 1 to \(depth)")
        }
    }

    /// dim: the width of the model.
    public var dimension: Int { attention.dimension }

    /// Hidden features of a feed-forward layer.
    public var hiddenDimension: Int { Int(Double(dimension) * feedForwardMultiple * 2 / 3) }

    /// The keys that a query sees.
    var pattern: WindowPattern { attention.attention.pattern(window: attention.attention.windowSize) }
}

/// The options of `LocalMHA`. In JSON they have local-attention's names and defaults.
public struct LocalMHAOptions: ModelConfiguration {
    /// dim: the width of the model, m.
    public var dimension: Int
    /// dim_head: d.
    public var headDimension = 64
    /// heads: h.
    public var heads = 8
    /// prenorm: a layer norm before the projections.
    public var normalizesFirst = false
    /// qk_rmsnorm: queries and keys of length 1 times a learned scale by column; the scores' scale is then `qkScale`.
    public var normalizesQueriesAndKeys = false
    /// qk_scale
    public var qkScale = 8.0
    /// gate_values_per_head: each head's output times a sigmoid of the input.
    public var gatesHeads = false
    /// Windows, positions and dropout. `autopads`, `scale` and `dimension` are set by the layer, and exact_windowsize is
    /// true unless said otherwise.
    public var attention: LocalAttentionOptions

    /// Creates the options of a layer of a width, all else as the peer's defaults.
    public init(dimension: Int, windowSize: Int) {
        self.dimension = dimension
        attention = LocalAttentionOptions(windowSize: windowSize)
        attention.isExact = true
    }

    public static let schema = ConfigurationSchema(
        LocalMHAOptions(dimension: 0, windowSize: 0),
        [
            .size("dim", \.dimension, isRequired: true),
            .size("window_size", \.attention.windowSize, isRequired: true),
            .number("dropout", \.attention.dropout, in: 0..<1),
            .flag("use_rotary_pos_emb", \.attention.usesRotary),
            .flag("prenorm", \.normalizesFirst),
        ] + shared)

    /// The keys that the transformer passes through.
    static let shared: [ConfigurationField<Self>] =
        [
            .flag("causal", \.attention.isCausal),
            .size("dim_head", \.headDimension),
            .heads("heads", \.heads),
            .flag("qk_rmsnorm", \.normalizesQueriesAndKeys),
            .number("qk_scale", \.qkScale, in: -1e6...1e6),
            .flag("gate_values_per_head", \.gatesHeads),
            .flag("exact_windowsize", \.attention.isExact),
            columns,
        ] + LocalAttentionOptions.shared.map { $0.of(\.attention) }

    /// An old name of dim_head, which must say the same; read and not written.
    private static let columns = ConfigurationField<Self>(
        "rel_pos_emb_config",
        read: { options, reader in
            guard let old = try reader.optionalInts("rel_pos_emb_config", in: 1...) else { return }
            if old.first != options.headDimension {
                throw reader.error(
                    "rel_pos_emb_config", "\(old.first ?? 0) columns; expected dim_head, \(options.headDimension)")
            }
        }, write: { _ in nil })

    public func check() throws {
        try attention.checkShared()
        if attention.usesRotary && headDimension % 2 == 1 {
            throw ConfigurationError(
                "dim_head", "\(headDimension) is odd; rotary positions need an even number of columns")
        }
    }
}

/// The options of `LocalAttention`. In JSON they have local-attention's names and defaults; the last is ours.
public struct LocalAttentionOptions: ModelConfiguration {
    /// window_size: W.
    public var windowSize: Int
    /// causal: a token sees nothing after itself.
    public var isCausal = false
    /// look_backward: windows seen before one's own.
    public var lookBackward = 1
    /// look_forward: windows seen after one's own; by default 0 where causal, else 1.
    public var lookForward: Int?
    /// dropout: of the attention weights.
    public var dropout = 0.0
    /// shared_qk: queries are keys (Reformer, 2001.04451): keys are l2-normalized, and a token attends itself only where
    /// it sees nothing else.
    public var sharesQueriesAndKeys = false
    /// dim: the columns of a head, for rotary positions; without it there are none. `rel_pos_emb_config` says the same in
    /// its first number.
    public var dimension: Int?
    /// autopad: sequences need not fill their last window. No query sees its empty places.
    public var autopads = false
    /// exact_windowsize: W · look_backward tokens before oneself (and W · look_forward after) instead of whole windows.
    public var isExact = false
    /// scale: of the scores; by default d^−½.
    public var scale: Double?
    /// use_rotary_pos_emb: rotary positions (where dim is given).
    public var usesRotary = true
    /// use_xpos: rotary positions with decay by distance (2212.10554), which allow other windows later.
    public var usesXpos = false
    /// xpos_scale_base: every so many tokens scores are decayed once; by default half a window.
    public var xposScaleBase: Double?
    /// true_positions: without `causal`, rotary positions of a query are its own, not those of the last window it sees.
    public var usesTruePositions = false

    /// Creates the options of windows of some tokens, all else as the peer's defaults.
    public init(windowSize: Int) { self.windowSize = windowSize }

    public static let schema = ConfigurationSchema(
        LocalAttentionOptions(windowSize: 0),
        [
            .size("window_size", \.windowSize, isRequired: true),
            .flag("causal", \.isCausal),
            .number("dropout", \.dropout, in: 0..<1),
            .size("dim", \.dimension),
            columns,
            .flag("autopad", \.autopads),
            .flag("exact_windowsize", \.isExact),
            .number("scale", \.scale, in: -1e6...1e6),
            .flag("use_rotary_pos_emb", \.usesRotary),
        ] + shared)

    /// The keys that the layer and the transformer pass through.
    static let shared: [ConfigurationField<Self>] = [
        .size("look_backward", \.lookBackward, atLeast: 0),
        .size("look_forward", \.lookForward, atLeast: 0),
        .flag("shared_qk", \.sharesQueriesAndKeys),
        .flag("use_xpos", \.usesXpos),
        .number("xpos_scale_base", \.xposScaleBase, in: 0.001...),
        .flag("true_positions", \.usesTruePositions),
    ]

    /// An old name of dim, its first number; read and not written.
    private static let columns = ConfigurationField<Self>(
        "rel_pos_emb_config",
        read: { if let old = try $1.optionalInts("rel_pos_emb_config", in: 1...) { $0.dimension = old.first } },
        write: { _ in nil })

    public func check() throws {
        try checkShared()
        if let d = rotaryDimension, d % 2 == 1 {
            throw ConfigurationError("dim", "\(d) is odd; rotary positions need an even number of columns")
        }
    }

    func checkShared() throws {
        if isCausal, let lookForward, lookForward > 0 {
            throw ConfigurationError(
                "look_forward", "\(lookForward) with causal, which sees nothing ahead; expected 0 or null")
        }
    }

    /// Columns of a head that are rotated: all of them, or nil.
    var rotaryDimension: Int? { usesRotary ? dimension : nil }

    /// Tokens in which xpos decays once; of windows of one token the peer takes the half, 0.
    var scaleBase: Double { xposScaleBase ?? Double(max(windowSize / 2, 1)) }

    /// Returns the keys that a query sees with windows of this size.
    func pattern(window: Int) -> WindowPattern {
        WindowPattern(
            window: window, isCausal: isCausal, lookBackward: lookBackward, lookForward: lookForward, isExact: isExact)
    }
}
