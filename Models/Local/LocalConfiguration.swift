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

    /// What a query sees.
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
