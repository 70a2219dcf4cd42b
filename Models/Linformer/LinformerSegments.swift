import NN

/// The methods that make the slots of a finished segment of its keys and values.
public enum SegmentMethod: String, CaseIterable, Sendable {
    /// Weights that depend on the tokens: a softmax over the segment of W_p x (2107.02192, equation 5).
    case dynamic
    /// One matrix E [r, l] for all segments, as the Linformer's own (2006.04768, equation 7).
    case learnable
    /// A convolution over the tokens, each head's columns mixed, with l for kernel and stride.
    case convolution
    /// The means of l / r tokens each.
    case mean
}

/// The finished segments whose slots a token sees.
public enum SlotReach: String, CaseIterable, Sendable {
    /// Those that lie wholly before its window.
    case window
    /// All, also those that the window shows token by token.
    case all
}

/// The ways in which a token's place within its window enters its scores.
public enum WindowPositions: String, CaseIterable, Sendable {
    /// Queries and keys of the window are rotated (2104.09864).
    case rotary
    /// Each head learns a bias for each distance, which begins as ALiBi's (2108.12409).
    case relative
    /// Not at all.
    case none
}

/// The options of `causal: "segments"` (2107.02192): a window of tokens beside the slots of finished segments.
public struct LinformerSegments: Sendable, Hashable {
    /// window: the tokens up to its own that a token sees, w.
    public var window = 128
    /// segment_length: the tokens of a segment, l.
    public var length = 16
    /// segment_slots: the slots of a finished segment a head, r; with 0 the model is local attention.
    public var slots = 1
    /// segment_projection: dynamic, learnable, convolution or mean.
    public var projection = SegmentMethod.dynamic
    /// slot_reach: window or all.
    public var reach = SlotReach.window
    /// max_segments: the newest segments whose slots are kept; nil for all.
    public var maximum: Int?
    /// dual_norm: separate norms of the window's and of the slots' keys and values (2107.02192, section 3.3).
    public var usesDualNorm = true
    /// window_positions: rotary, relative or none.
    public var positions = WindowPositions.rotary
    /// slot_distances: the distances in segments that a learned bias of the slots tells apart, the last standing for all
    /// farther ones; 0 for no bias.
    public var distances = 0

    /// Creates the options with their defaults.
    public init() {}

    /// True where slots are made by parameters.
    var hasWeights: Bool { slots > 0 && projection != .mean }

    /// Slots of a segment in a layer (from 0), less with k_reduce_by_layer.
    func slots(layer: Int, reduction: Int) -> Int { slots == 0 ? 0 : max(1, slots - layer * reduction) }
}

extension LinformerSegments {
    /// The keys of the form by segments.
    static let keys: [ConfigurationField<Self>] = [
        .size("window", \.window),
        .size("segment_length", \.length),
        .size("segment_slots", \.slots, atLeast: 0),
        .option("segment_projection", \.projection),
        .option("slot_reach", \.reach),
        .size("max_segments", \.maximum),
        .flag("dual_norm", \.usesDualNorm),
        .option("window_positions", \.positions),
        .size("slot_distances", \.distances, atLeast: 0),
    ]
}
