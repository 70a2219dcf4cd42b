import NN
import Tensors

// Reading a text token by token with `causal: "segments"`: a layer remembers the keys and values of the window, those of the
// unfinished segment before norms and positions, and the slots of finished segments, with max_segments a bounded number.

/// A layer's memory of one sequence: a value, so a copy is a branch of the text.
struct SegmentMemory: Sendable {
    /// Tokens read so far.
    private(set) var position = 0
    /// Keys and values of the last w − 1 tokens.
    private var windowKeys = RowBuffer(), windowValues = RowBuffer()
    /// Keys and values of the unfinished segment, and the scores of its tokens for the slots of each.
    private var keys = RowBuffer(), values = RowBuffer()
    private var keyScores = RowBuffer(), valueScores = RowBuffer()
    /// Slots of the newest finished segments.
    private var slotKeys = RowBuffer(), slotValues = RowBuffer()

    /// Memory held.
    var bytes: Int {
        [windowKeys, windowValues, keys, values, keyScores, valueScores, slotKeys, slotValues].reduce(0) {
            $0 + $1.bytes
        }
    }

    /// The rows of one sequence that are appended, [1, n, h, d] each.
    struct Rows {
        /// Rows as the window compares them.
        let queries: Tensor, keys: Tensor, values: Tensor
        /// Rows before norms and positions, for the slots.
        let slotQueries: Tensor, segmentKeys: Tensor, segmentValues: Tensor
        /// [1, n, h, r]
        let scores: (keys: Tensor, values: Tensor)?
    }

    /// Appends rows and attends to them and all before. Returns [1, n, h, d].
    mutating func append(_ rows: Rows, _ heads: SegmentHeads) -> Tensor {
        let (n, before) = (rows.queries.shape[1], windowKeys.count)
        windowKeys.append(rows.keys)
        windowValues.append(rows.values)
        if heads.slots > 0 { appendToSegment(rows, heads) }
        var rules = heads.rules
        let finished = (position + n) / rules.segmentLength
        rules.firstKey = position - before
        rules.firstSegment = heads.slots == 0 ? 0 : finished - slotKeys.count / heads.slots
        let y = n == 1 ? attendOne(rows, rules) : attend(rows, rules, hasSlotQueries: heads.rotary != nil)
        position += n
        forget(rules, finished: finished)
        return y
    }

    private func attend(_ rows: Rows, _ rules: SegmentAttentionOptions, hasSlotQueries: Bool) -> Tensor {
        segmentAttention(
            rows.queries, windowKeys.rows, windowValues.rows, slotQueries: hasSlotQueries ? rows.slotQueries : nil,
            slotKeys: slotKeys.count == 0 ? nil : slotKeys.rows,
            slotValues: slotKeys.count == 0 ? nil : slotValues.rows, options: rules)
    }

    /// The same of one token, without an operation's checks and tiles, which take longer than its products.
    private func attendOne(_ rows: Rows, _ rules: SegmentAttentionOptions) -> Tensor {
        let seen = rules.slotsInReach(of: position, of: slotKeys.count)
        return SegmentStep(rules).attend(
            window: .init(
                rows.queries, windowKeys, windowValues, max(0, windowKeys.count - rules.window)..<windowKeys.count),
            slots: .init(rows.slotQueries, slotKeys, slotValues, seen),
            newestSlot: (rules.segmentsInReach(of: position) - rules.firstSegment) * rules.slots)
    }

    /// Adds rows to the unfinished segment, and projects those segments that they finish.
    private mutating func appendToSegment(_ rows: Rows, _ heads: SegmentHeads) {
        let l = heads.options.length
        keys.append(rows.segmentKeys)
        values.append(rows.segmentValues)
        if let scores = rows.scores {
            keyScores.append(scores.keys)
            valueScores.append(scores.values)
        }
        guard keys.count >= l else { return }
        let scores = rows.scores == nil ? nil : (keys: keyScores.rows, values: valueScores.rows)
        if let made = heads.slots(keys.rows, values.rows, scores: scores) {
            slotKeys.append(made.keys)
            slotValues.append(made.values)
        }
        let rest = keys.count % l
        keys.keepLast(rest, most: l)
        values.keepLast(rest, most: l)
        keyScores.keepLast(rest, most: l)
        valueScores.keepLast(rest, most: l)
    }

    /// Lets go of what no later token sees.
    private mutating func forget(_ rules: SegmentAttentionOptions, finished: Int) {
        windowKeys.keepLast(rules.window - 1, most: rules.window)
        windowValues.keepLast(rules.window - 1, most: rules.window)
        guard let most = rules.maxSegments, rules.slots > 0 else { return }
        let seen = finished - max(0, rules.segmentsInReach(of: position) - most)
        let ahead = rules.window / rules.segmentLength + 2  // Finished, but not in reach yet.
        slotKeys.keepLast(seen * rules.slots, most: (most + ahead) * rules.slots)
        slotValues.keepLast(seen * rules.slots, most: (most + ahead) * rules.slots)
    }
}

extension SegmentHeads {
    func startDecoding() -> SegmentMemory { SegmentMemory() }

    func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, projected: [Tensor], spans: [Range<Int>],
        to memories: inout [SegmentMemory]
    ) -> Tensor {
        let (q, k, v) = (q.unsqueezed(0), k.unsqueezed(0), v.unsqueezed(0))
        let window = window(q, k, v, table: rotary.map { table($0, spans, memories) })
        let scores = projections.scores(projected.map { $0.unsqueezed(0) })
        let outputs = spans.indices.map { index in
            func part(_ x: Tensor) -> Tensor { spans.count == 1 ? x : x.part(1, spans[index]) }
            let rows = SegmentMemory.Rows(
                queries: part(window.queries), keys: part(window.keys), values: part(window.values),
                slotQueries: part(q), segmentKeys: part(k), segmentValues: part(v),
                scores: scores.map { (part($0.keys), part($0.values)) })
            return memories[index].append(rows, self)
        }
        return (outputs.count == 1 ? outputs[0] : concatenate(outputs, axis: 1)).squeezed(0)
    }

    /// The rotation of the rows of sequences. That of a single token is part of a table of many positions, kept for the tokens
    /// that follow.
    private func table(_ rotary: Rotary, _ spans: [Range<Int>], _ memories: [SegmentMemory]) -> RotaryTable {
        let positions = zip(spans, memories).flatMap { span, memory in
            (0..<span.count).map { memory.position + $0 }
        }
        guard positions.count == 1, let position = positions.first else { return rotary.table(positions) }
        let together = 128
        let start = position / together * together
        let kept = rotary.table(Array(start..<start + together), isKept: true)
        return kept.rows(position - start..<position - start + 1)
    }
}
