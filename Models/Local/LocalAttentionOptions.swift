import NN

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
    /// shared_qk: queries are keys (Reformer, 2001.04451): keys are l2-normalised, and a token attends itself only where
    /// it sees nothing else.
    public var sharesQueriesAndKeys = false
    /// dim: the columns of a head, for rotary positions; without it there are none. `rel_pos_emb_config` says the same in
    /// its first number.
    public var dimension: Int?
    /// autopad: sequences need not fill their last window. Its empty places are seen by nobody.
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

    /// What a query sees with windows of this size.
    func pattern(window: Int) -> WindowPattern {
        WindowPattern(
            window: window, isCausal: isCausal, lookBackward: lookBackward, lookForward: lookForward, isExact: isExact)
    }
}
