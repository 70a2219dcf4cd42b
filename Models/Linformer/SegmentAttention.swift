import NN
import Tensors

// Attention to a window and to the projections of finished segments, under one softmax: Linformer's causal form by
// segments (Long-Short Transformer, Zhu et al., https://arxiv.org/abs/2107.02192, section 3.2 and equation 6).
//
// b batch, h heads, n queries, m keys, d columns of queries and keys, e columns of values, w tokens of the window,
// l tokens of a segment, c segments given, r slots of a segment

/// The finished segments whose slots a token sees.
public enum SegmentReach: String, CaseIterable, Sendable {
    /// Those that end before its window begins: each earlier token is seen once.
    case beforeWindow = "before_window"
    /// All that end at or before the token itself, so also those inside its window, as in Long-Short Transformer's code.
    case allFinished = "all_finished"
}

/// The options of `segmentAttention`.
public struct SegmentAttentionOptions: Sendable {
    /// Tokens of the window, the query's own included, w.
    public var window: Int
    /// Tokens of a segment, l.
    public var segmentLength: Int
    /// Slots of a segment, r; 0 for the window alone.
    public var slots: Int
    /// The factor of all scores, σ.
    public var scale: Float
    /// The segments whose slots are in reach.
    public var reach = SegmentReach.beforeWindow
    /// The newest segments in reach that are seen; nil for all.
    public var maxSegments: Int?
    /// Added to the scores of the window, by distance from 0 to w − 1: [h, w], or [1, w] for all heads.
    public var windowBias: Tensor?
    /// Added to the scores of slots, by the number of segments between theirs and the newest in reach; the last entry also
    /// counts for all older ones: [h, any], or [1, any] for all heads.
    public var slotBias: Tensor?
    /// 1 for keys that take part, else 0: [b, m].
    public var mask: Tensor?
    /// 1 for segments that take part, else 0: [b, c], as `segmentMask` makes it.
    public var slotMask: Tensor?
    /// The probability with which a weight is dropped, where there is a `key`.
    public var dropout: Float = 0
    /// The key that dropout draws from; nil for no dropout.
    public var key: RandomKey?
    /// The position of the first key in the sequence, above 0 where tokens before it were read earlier.
    public var firstKey = 0
    /// The number of the first segment given.
    public var firstSegment = 0

    /// Creates options without biases, masks and dropout, for a text read from its beginning.
    public init(window: Int, segmentLength: Int, slots: Int, scale: Float) {
        (self.window, self.segmentLength, self.slots, self.scale) = (window, segmentLength, slots, scale)
    }

    /// Counts the segments in reach of a position, from the sequence's first. A segment is finished once its last token
    /// has been read, the query's own included: a slot then holds nothing after the query, and token by token, where a token
    /// is appended before it attends, the same slots are there.
    public func segmentsInReach(of position: Int) -> Int {
        max(0, position + 1 - (reach == .beforeWindow ? window : 0)) / segmentLength
    }

    /// The slots that a token sees, of the first `count` of the segments given.
    func slotsInReach(of position: Int, of count: Int) -> Range<Int> {
        let end = segmentsInReach(of: position)
        let first = end - min(end, maxSegments ?? end)
        return ((first - firstSegment) * slots..<(end - firstSegment) * slots).clamped(to: 0..<count)
    }
}

/// Attends to the last w tokens and to the slots of earlier segments, under one softmax (2107.02192, equation 6):
///
///     o_t = dropout(softmax([σ q_t·k_j + bias(t − j) : t − w < j ≤ t] ⊕ [σ q̃_t·K̃_s + bias(s) : s in reach of t])) [v ; Ṽ]
///
/// - Parameters:
///   - q: [b, n, h, d], the queries of the last n of the m keys' tokens.
///   - k: [b, m, h, d]; v: [b, m, h, e]. The fused form reads views in place.
///   - slotQueries: the queries of slots, q̃, [b, n, h, d], where they are not q (which may be rotated).
///   - slotKeys, slotValues: K̃ [b, c · r, h, d] and Ṽ [b, c · r, h, e], the slots of c segments in order; nil for none.
///     Segments that are not finished are not seen.
///   - options: see there.
/// - Returns: [b, n, h, e]. A query that sees nothing, all being masked, gets zeros.
public func segmentAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, slotQueries: Tensor? = nil, slotKeys: Tensor? = nil,
    slotValues: Tensor? = nil, options: SegmentAttentionOptions, implementation: Implementation = .fused
) -> Tensor {
    let inputs = SegmentAttentionInputs(
        q, k, v, slotQueries: slotQueries, slotKeys: slotKeys, slotValues: slotValues, options: options)
    return implementation == .fused ? fusedSegmentAttention(inputs) : plainSegmentAttention(inputs)
}

/// Computes the weights of `segmentAttention` before dropout, to be looked at, in plain operations and without gradients.
///
/// - Returns: [b, h, n, m + c · r], those of the keys first.
public func segmentAttentionWeights(
    _ q: Tensor, _ k: Tensor, slotQueries: Tensor? = nil, slotKeys: Tensor? = nil, options: SegmentAttentionOptions
) -> Tensor {
    withoutGradients {
        SegmentAttentionInputs(
            q, k, k, slotQueries: slotQueries, slotKeys: slotKeys, slotValues: slotKeys, options: options
        )
        .weights()
    }
}

/// The checked inputs of `segmentAttention`.
struct SegmentAttentionInputs: Sendable {
    let q: Tensor, k: Tensor, v: Tensor
    let slotQueries: Tensor?
    /// K̃ and Ṽ, [b, c · r, h, d] and [b, c · r, h, e].
    let slotKeys: Tensor, slotValues: Tensor
    let options: SegmentAttentionOptions
    let b: Int, n: Int, m: Int, h: Int, d: Int, e: Int, segments: Int

    init(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, slotQueries: Tensor?, slotKeys: Tensor?, slotValues: Tensor?,
        options: SegmentAttentionOptions
    ) {
        require(
            q.rank == 4 && k.rank == 4 && v.rank == 4 && k.shape.dropLast() == v.shape.dropLast()
                && q.shape[0] == k.shape[0] && q.shape[2...] == k.shape[2...] && q.shape[1] <= k.shape[1],
            "segmentAttention: q \(q.shape), k \(k.shape), v \(v.shape); expected [b, n, h, d], [b, m, h, d] and "
                + "[b, m, h, e] with n at most m")
        require(
            options.window >= 1 && options.segmentLength >= 1 && options.slots >= 0 && options.maxSegments ?? 1 >= 1
                && options.firstKey >= 0 && options.firstSegment >= 0,
            "segmentAttention: window \(options.window), segment length \(options.segmentLength), slots "
                + "\(options.slots), at most \(options.maxSegments.map(String.init) ?? "all") segments, first key "
                + "\(options.firstKey), first segment \(options.firstSegment)")
        require(
            options.dropout >= 0 && options.dropout < 1,
            "segmentAttention: dropout \(options.dropout); expected at least 0, less than 1")
        require(
            slotQueries == nil || slotQueries!.shape == q.shape,
            "segmentAttention: slot queries \(slotQueries?.shape ?? []); expected those of q, \(q.shape)")
        (b, n, h, d) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
        (m, e) = (k.shape[1], v.shape[3])
        self.slotKeys = slotKeys ?? .zeros([b, 0, h, d])
        self.slotValues = slotValues ?? .zeros([b, 0, h, e])
        let rows = self.slotKeys.rank == 4 ? self.slotKeys.shape[1] : -1
        require(
            self.slotKeys.shape == [b, rows, h, d] && self.slotValues.shape == [b, rows, h, e]
                && (options.slots == 0 ? rows == 0 : rows % options.slots == 0),
            "segmentAttention: slot keys \(self.slotKeys.shape), slot values \(self.slotValues.shape); expected "
                + "[\(b), any multiple of \(options.slots), \(h), \(d)] and the same of \(e) columns")
        segments = options.slots == 0 ? 0 : rows / options.slots
        (self.q, self.k, self.v, self.slotQueries) = (q, k, v, slotQueries)
        self.options = options
        checkBiases()
        checkMasks()
    }

    private func checkBiases() {
        if let bias = options.windowBias {
            require(
                bias.shape == [h, options.window] || bias.shape == [1, options.window],
                "segmentAttention: window bias \(bias.shape); expected [\(h), \(options.window)] or 1 for \(h)")
        }
        if let bias = options.slotBias {
            require(
                bias.rank == 2 && [1, h].contains(bias.shape[0]) && bias.shape[1] > 0,
                "segmentAttention: slot bias \(bias.shape); expected [\(h), distances] or 1 for \(h)")
        }
    }

    private func checkMasks() {
        for (name, mask, count) in [("mask", options.mask, m), ("slot mask", options.slotMask, segments)] {
            require(
                mask == nil || mask!.shape == [b, count],
                "segmentAttention: \(name) \(mask?.shape ?? []); expected [\(b), \(count)]")
        }
    }

    /// The position of the first query.
    var firstQuery: Int { options.firstKey + m - n }
    /// c · r
    var slotRows: Int { slotKeys.shape[1] }
}
