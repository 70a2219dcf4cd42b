import NN
import Tensors

/// The options of `LocalTransformer`. In JSON they have local-attention's names and defaults, those that it passes on to
/// its layers included; `true_positions` and `use_rotary_pos_emb` are ours.
public struct LocalConfiguration: Sendable {
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

    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        // Said to be null, not left out.
        let hasNoTokens = json.objectValue?["num_tokens"] == .null
        self.init(
            tokens: hasNoTokens
                ? try reader.optionalSize("num_tokens") : try reader.size("num_tokens"),
            maximumLength: try reader.size("max_seq_len"), dimension: try reader.size("dim"),
            depth: try reader.depth("depth", atLeast: 0),
            windowSize: try reader.size("local_attn_window_size", default: 512))
        usesDynamicBias = try reader.bool("use_dynamic_pos_bias", default: false)
        let rotates = try reader.bool("use_rotary_pos_emb", default: true)
        attention.attention.usesRotary = rotates && !usesDynamicBias  // then heads must have an even width
        attention.attention.dropout = try reader.double("attn_dropout", default: 0, in: 0..<1)
        try attention.readShared(&reader)
        attention.attention.usesRotary = rotates
        feedForwardMultiple = try reader.double("ff_mult", default: feedForwardMultiple, in: 0...1024)
        feedForwardDropout = try reader.double("ff_dropout", default: 0, in: 0..<1)
        ignoreIndex = Int32(try reader.int("ignore_index", default: -1, in: Int(Int32.min)...Int(Int32.max)))
        globalLayers = try reader.optionalInts("layers_insert_global_attn")
        residualStreams = try reader.size("num_residual_streams", default: residualStreams, atMost: 256)
        try reader.finish()
        try check(reader)
    }

    private func check(_ reader: ConfigurationReader) throws {
        if hiddenDimension < 1 {
            throw reader.error(
                "ff_mult", "2/3 of \(feedForwardMultiple) times dim \(dimension) leaves no hidden feature")
        }
        if usesDynamicBias && dimension < 2 {
            throw reader.error("dim", "\(dimension) leaves the dynamic bias no features; expected at least 2")
        }
        for layer in globalLayers ?? [] where layer < 1 || layer > depth {
            throw reader.error("layers_insert_global_attn", "\(layer) is no layer; expected 1 to \(depth)")
        }
    }

    /// dim: the width of the model.
    public var dimension: Int { attention.dimension }

    /// Hidden features of a feed-forward layer.
    public var hiddenDimension: Int { Int(Double(dimension) * feedForwardMultiple * 2 / 3) }

    /// The keys that a query sees.
    var pattern: WindowPattern { attention.attention.pattern(window: attention.attention.windowSize) }

    /// The JSON form, every option written out.
    public var json: JSONValue {
        let own: [String: JSONValue] = [
            "num_tokens": tokens.map { .integer($0) } ?? .null, "max_seq_len": .integer(maximumLength),
            "dim": .integer(dimension), "depth": .integer(depth),
            "local_attn_window_size": .integer(attention.attention.windowSize),
            "use_dynamic_pos_bias": .bool(usesDynamicBias),
            "use_rotary_pos_emb": .bool(attention.attention.usesRotary),
            "attn_dropout": .number(attention.attention.dropout),
            "ff_mult": .number(feedForwardMultiple), "ff_dropout": .number(feedForwardDropout),
            "ignore_index": .integer(Int(ignoreIndex)),
            "layers_insert_global_attn": globalLayers.map { .array($0.map { .integer($0) }) } ?? .null,
            "num_residual_streams": .integer(residualStreams),
        ]
        return .object(own.merging(attention.sharedJSON) { $1 })
    }
}

/// The options of `LocalMHA`. In JSON they have local-attention's names and defaults.
public struct LocalMHAOptions: Sendable {
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

    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        self.init(
            dimension: try reader.size("dim"), windowSize: try reader.size("window_size"))
        attention.dropout = try reader.double("dropout", default: 0, in: 0..<1)
        attention.usesRotary = try reader.bool("use_rotary_pos_emb", default: true)
        normalizesFirst = try reader.bool("prenorm", default: false)
        try readShared(&reader)
        try reader.finish()
    }

    /// The keys that the transformer passes through.
    mutating func readShared(_ reader: inout ConfigurationReader) throws {
        attention.isCausal = try reader.bool("causal", default: attention.isCausal)
        headDimension = try reader.size("dim_head", default: headDimension)
        heads = try reader.heads("heads", default: heads)
        normalizesQueriesAndKeys = try reader.bool("qk_rmsnorm", default: false)
        qkScale = try reader.double("qk_scale", default: qkScale, in: -1e6...1e6)
        gatesHeads = try reader.bool("gate_values_per_head", default: false)
        attention.isExact = try reader.optionalBool("exact_windowsize") ?? true
        if let old = try reader.optionalInts("rel_pos_emb_config", in: 1...), old.first != headDimension {
            throw reader.error("rel_pos_emb_config", "\(old.first ?? 0) columns; expected dim_head, \(headDimension)")
        }
        try attention.readShared(&reader)
        if attention.usesRotary && headDimension % 2 == 1 {
            throw reader.error("dim_head", "\(headDimension) is odd; rotary positions need an even number of columns")
        }
    }

    var sharedJSON: [String: JSONValue] {
        attention.sharedJSON.merging([
            "causal": .bool(attention.isCausal), "dim_head": .integer(headDimension), "heads": .integer(heads),
            "qk_rmsnorm": .bool(normalizesQueriesAndKeys), "qk_scale": .number(qkScale),
            "gate_values_per_head": .bool(gatesHeads), "exact_windowsize": .bool(attention.isExact),
        ]) { $1 }
    }
}

/// The options of `LocalAttention`. In JSON they have local-attention's names and defaults; the last is ours.
public struct LocalAttentionOptions: Sendable {
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

    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        self.init(windowSize: try reader.size("window_size"))
        isCausal = try reader.bool("causal", default: false)
        dropout = try reader.double("dropout", default: 0, in: 0..<1)
        dimension = try reader.optionalSize("dim")
        if let old = try reader.optionalInts("rel_pos_emb_config", in: 1...) { dimension = old.first }
        autopads = try reader.bool("autopad", default: false)
        isExact = try reader.bool("exact_windowsize", default: false)
        scale = try reader.optionalDouble("scale", in: -1e6...1e6)
        usesRotary = try reader.bool("use_rotary_pos_emb", default: true)
        try readShared(&reader)
        try reader.finish()
        if let d = rotaryDimension, d % 2 == 1 {
            throw reader.error("dim", "\(d) is odd; rotary positions need an even number of columns")
        }
    }

    /// The keys that the layer and the transformer pass through.
    mutating func readShared(_ reader: inout ConfigurationReader) throws {
        lookBackward = try reader.size("look_backward", default: lookBackward, atLeast: 0)
        lookForward = try reader.optionalSize("look_forward", atLeast: 0)
        sharesQueriesAndKeys = try reader.bool("shared_qk", default: false)
        usesXpos = try reader.bool("use_xpos", default: false)
        xposScaleBase = try reader.optionalDouble("xpos_scale_base", in: 0.001...)
        usesTruePositions = try reader.bool("true_positions", default: false)
        if isCausal && (lookForward ?? 0) > 0 {
            throw reader.error(
                "look_forward", "\(lookForward!) with causal, which sees nothing ahead; expected 0 or null")
        }
    }

    var sharedJSON: [String: JSONValue] {
        [
            "look_backward": .integer(lookBackward), "look_forward": lookForward.map { .integer($0) } ?? .null,
            "shared_qk": .bool(sharesQueriesAndKeys), "use_xpos": .bool(usesXpos),
            "xpos_scale_base": xposScaleBase.map { .number($0) } ?? .null, "true_positions": .bool(usesTruePositions),
        ]
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
