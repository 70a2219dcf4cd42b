import CKernels
import NN
import Tensors

// Attention with bounded memory (Peng et al., 2110.02488): Linformer's projection of keys and values to k slots, made
// causal. A slot is a weighted sum of the tokens so far, so it grows token by token and nothing of the future is in it.
// With e_t, f_t row t of Eᵀ, Fᵀ:
//
//     K̄_t = K̄_{t−1} + e_t k_tᵀ      V̄_t = V̄_{t−1} + f_t v_tᵀ      p_t = softmax(σ q_t K̄_tᵀ)      o_t = dropout(p_t) V̄_t
//
// b batch, h heads, n tokens, d columns of a head, k slots, c tokens of a chunk
//
// A chunk is a few small products, between which its tiles stay in cache, and K̄, V̄ go on from chunk to chunk:
//
//     A = σ (tril(Q Kᵀ) E + Q K̄ᵀ)      P = softmax(A)      O = tril(P Fᵀ) V + P V̄      K̄ ← K̄ + Eᵀ K      V̄ ← V̄ + Fᵀ V
//
// Nothing by token and token or token and slot is stored. Backward computes it again from K̄, V̄ kept once a segment of
// several chunks (`BoundedMemoryPlan`).

/// The fused form of `boundedMemoryAttention`.
func fusedBoundedMemoryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, e: Tensor, f: Tensor?, initialKeys: Tensor, initialValues: Tensor,
    scale: Float, dropout: Double, key: RandomKey?
) -> Tensor {
    let attention = BoundedMemoryAttention(
        q, k, v, e: e, f: f ?? e, initialKeys: initialKeys, initialValues: initialValues, scale: scale,
        dropout: dropout, key: key)
    return attention.record([q, k, v, initialKeys, initialValues, e] + (f.map { [$0] } ?? []))
}

/// The fused form of `boundedMemoryWeights`.
func fusedBoundedMemoryWeights(_ q: Tensor, _ k: Tensor, e: Tensor, initialKeys: Tensor, scale: Float) -> Tensor {
    BoundedMemoryAttention(
        q, k, k, e: e, f: e, initialKeys: initialKeys, initialValues: initialKeys, scale: scale
    ).weights()
}

/// Attention with bounded memory: its inputs, and how the work is split.
struct BoundedMemoryAttention: Sendable {
    let queries: HeadRows, keys: HeadRows, values: HeadRows
    let e: SlotWeights, f: SlotWeights
    /// [k, d] or [h, k, d]
    let initialKeys: Tensor, initialValues: Tensor
    let b: Int, n: Int, h: Int, d: Int, slots: Int
    let scale: Float
    let dropout: Float
    /// The key dropout draws from; nil for none.
    let key: RandomKey?
    let plan: BoundedMemoryPlan

    init(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, e: Tensor, f: Tensor, initialKeys: Tensor, initialValues: Tensor,
        scale: Float, dropout: Double = 0, key: RandomKey? = nil
    ) {
        (b, n, h, d) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
        slots = e.rank > 1 ? e.shape[e.rank - 2] : 0
        let (shared, perHead) = ([slots, n], [h, slots, n])
        let (one, many) = ([slots, d], [h, slots, d])
        require(
            [shared, perHead].contains(e.shape) && [shared, perHead].contains(f.shape)
                && [one, many].contains(initialKeys.shape) && [one, many].contains(initialValues.shape),
            "boundedMemoryAttention: q \(q.shape), e \(e.shape), f \(f.shape), initialKeys \(initialKeys.shape), "
                + "initialValues \(initialValues.shape); expected e and f [k, n] or [h, k, n], the initial slots [k, d] "
                + "or [h, k, d]")
        require(
            dropout >= 0 && dropout < 1, "boundedMemoryAttention: dropout \(dropout); expected at least 0, less than 1")
        queries = HeadRows(q)
        keys = HeadRows(k)
        values = HeadRows(v)
        (self.e, self.f) = (SlotWeights(e), SlotWeights(f))
        (self.initialKeys, self.initialValues) = (initialKeys.contiguous(), initialValues.contiguous())
        (self.scale, self.dropout) = (scale, Float(dropout))
        self.key = dropout > 0 ? key : nil
        plan = BoundedMemoryPlan(sequences: b * h, tokens: n, slots: slots)
    }

    /// The floats of K̄ (or V̄) of one sequence and head.
    var slotCount: Int { slots * d }

    /// Neighboring tokens of one sequence and head (counted through, batch first), as tiles take them.
    func chunk(_ sequence: Int, _ tokens: Range<Int>) -> BoundedMemoryChunk {
        let (batch, head, first) = (sequence / h, sequence % h, tokens.lowerBound)
        return BoundedMemoryChunk(
            count: tokens.count, q: queries.row(batch, head, first), k: keys.row(batch, head, first),
            v: values.row(batch, head, first), e: e.column(head, first), f: f.column(head, first),
            draw: (UInt64(sequence) &* UInt64(n) &+ UInt64(first)) &* UInt64(slots))
    }

    // MARK: Forward

    /// The output, recorded. inputs: q, k, v, initialKeys, initialValues, e, and f where it is not e.
    func record(_ inputs: [Tensor]) -> Tensor {
        let output = Tensor(uninitialized: [b, n, h, d])
        let kept = Tensor.records(inputs) ? makeKept() : nil
        withoutGradients {
            let slots = startSlots()
            withExtendedLifetime(slots) { forward(into: HeadRows(output), running: slots.pointers, keeping: kept) }
        }
        return .record("boundedMemoryAttention", output, inputs: inputs) { gradient, slots in
            BoundedMemoryBackward(self, kept, HeadRows(gradient)).run(slots)
        }
    }

    /// K̄ and V̄ of every sequence and head before the first token.
    func startSlots() -> SlotTensors {
        let shape = [b, h, slots, d]
        return SlotTensors(keys: initialKeys.copied(to: shape), values: initialValues.copied(to: shape))
    }

    /// Room for K̄ and V̄ at the start of each segment but the first, which starts from the initial ones.
    private func makeKept() -> Tensor {
        Tensor(uninitialized: [max(plan.segments - 1, 0), b * h, 2, slots, d])
    }

    /// Fills `output`. `running` holds K̄ and V̄ of every sequence and head before the first token, and afterwards those
    /// after the last. `kept` gets them as they are at the start of segments.
    func forward(into output: HeadRows, running: SlotPointers, keeping kept: Tensor? = nil) {
        if plan.together > 1 {
            for window in plan.windows {
                forwardTogether(plan.lanes(window), into: output, running: running, keeping: kept)
            }
            return
        }
        parallelFor(b * h) { sequence in
            let tile = BoundedMemoryTile(self)
            let state = running.advanced(sequence * slotCount)
            for segment in 0..<plan.segments {
                keep(state, in: kept, segment: segment, sequence: sequence)
                for tokens in plan.chunks(segment) {
                    let chunk = chunk(sequence, tokens)
                    attend(chunk, state, tile, into: output, sequence: sequence, first: tokens.lowerBound)
                    tile.extend(state, by: chunk)
                }
            }
        }
    }

    private func attend(
        _ chunk: BoundedMemoryChunk, _ state: SlotPointers, _ tile: BoundedMemoryTile, into output: HeadRows,
        sequence: Int, first: Int
    ) {
        tile.weigh(chunk, state.keys)
        let target = output.target(sequence / h, sequence % h, first)
        tile.attend(chunk, state.values, into: target, stride: output.stride)
    }

    private func keep(_ state: SlotPointers, in kept: Tensor?, segment: Int, sequence: Int) {
        guard let kept, segment > 0 else { return }
        let place = kept.mutablePointer + ((segment - 1) * b * h + sequence) * 2 * slotCount
        az_scale(slotCount, 1, state.keys, place)
        az_scale(slotCount, 1, state.values, place + slotCount)
    }

    // MARK: Few sequences

    /// A few neighboring segments at the same time: first what the tokens before each chunk of a segment add to the
    /// slots, counted from the segment's start; then attention, from what the segments before add up to.
    private func forwardTogether(
        _ lanes: [BoundedMemoryPlan.Lane], into output: HeadRows, running: SlotPointers, keeping kept: Tensor?
    ) {
        let sums = SegmentSlots(self, count: lanes.count, steps: plan.chunksOfSegment + 1)
        parallelFor(lanes.count) { index in
            let (tile, lane) = (BoundedMemoryTile(self), lanes[index])
            let sequence = lane.sequences.lowerBound
            sums[index, 0].fill(0, slotCount)
            for (step, tokens) in plan.chunks(lane.segment).enumerated() {
                sums[index, step + 1].copy(sums[index, step], slotCount)
                tile.extend(sums[index, step + 1], by: chunk(sequence, tokens))
            }
        }
        // In place: the sums become the slots themselves.
        for (index, lane) in lanes.enumerated() {
            let state = running.advanced(lane.sequences.lowerBound * slotCount)
            keep(state, in: kept, segment: lane.segment, sequence: lane.sequences.lowerBound)
            sums[index, 0].copy(state, slotCount)
            state.add(sums[index, plan.chunks(lane.segment).count], slotCount)
        }
        parallelFor(lanes.count) { index in
            let (tile, lane) = (BoundedMemoryTile(self), lanes[index])
            for (step, tokens) in plan.chunks(lane.segment).enumerated() {
                if step > 0 { sums[index, step].add(sums[index, 0], slotCount) }
                let sequence = lane.sequences.lowerBound
                attend(
                    chunk(sequence, tokens), sums[index, step], tile, into: output, sequence: sequence,
                    first: tokens.lowerBound)
            }
        }
    }

    // MARK: Weights

    /// P of every token, [b, h, n, k].
    func weights() -> Tensor {
        let result = Tensor(uninitialized: [b, h, n, slots])
        let running = startSlots()
        let (target, states) = (result.mutablePointer, running.pointers)
        parallelFor(b * h) { sequence in
            let tile = BoundedMemoryTile(self)
            let state = states.advanced(sequence * slotCount)
            for segment in 0..<plan.segments {
                for tokens in plan.chunks(segment) {
                    let chunk = chunk(sequence, tokens)
                    tile.weigh(chunk, state.keys)
                    az_scale(
                        tokens.count * slots, 1, tile.weights, target + (sequence * n + tokens.lowerBound) * slots)
                    tile.extend(state, by: chunk)
                }
            }
        }
        withExtendedLifetime(running) {}
        return result
    }
}

extension Tensor {
    /// A dense copy of a tensor that stands for a larger shape, to be written in place.
    fileprivate func copied(to shape: [Int]) -> Tensor {
        var copy = detached().expanded(to: shape)
        copy.ensureUnique()
        return copy
    }
}

// MARK: The plan

// The division of attention with bounded memory: chunks of tokens are what tiles take, segments of chunks are what a thread
// takes. Sequences (batch × heads) are independent of each other; where they are too few for the threads, neighboring
// segments of one sequence are worked on at the same time.

/// The division of n tokens of some sequences into work for threads, the same in forward and backward.
struct BoundedMemoryPlan: Sendable {
    /// Tokens of a chunk. What a chunk takes beside the sums grows with it, and products become faster: forward and
    /// backward of 8 heads, n 1024, d 64, k 128 on one core take 48.6 ms in chunks of 16, 37.3 of 32, 44.7 of 64 (40.9 in
    /// blocks of 32 rows that leave out what is above the diagonal), 55 of 128 and 72 of 256 (in blocks of 64); with d
    /// from 16 to 128 and k from 32 to 256, 32 is the fastest too.
    static let chunk = 32

    /// Batch × heads.
    let sequences: Int
    let tokens: Int
    /// Tokens of a segment: whole chunks.
    let segment: Int
    /// Segments of a sequence that are worked on at the same time.
    let together: Int

    init(sequences: Int, tokens: Int, slots: Int) {
        (self.sequences, self.tokens) = (sequences, tokens)
        let (chunk, split) = (Self.chunk, Self.pieces(sequences))
        let all = (tokens + chunk - 1) / chunk
        // What is kept of a segment for backward, 2 k d floats, is at most half of what its queries take.
        let longest = max(16, (4 * slots + chunk - 1) / chunk)
        let perSegment = max(1, min(longest, (all + split - 1) / split))
        segment = perSegment * chunk
        together = min(split, (all + perSegment - 1) / perSegment)
    }

    /// The fewest segments at the same time with which no thread waits long for others.
    private static func pieces(_ sequences: Int) -> Int {
        let threads = Threads.count
        func isEven(_ pieces: Int) -> Bool {
            sequences * pieces % threads == 0 || sequences * pieces >= 4 * threads
        }
        return (1...threads).first { isEven($0) } ?? threads
    }

    var segments: Int { (tokens + segment - 1) / segment }
    var chunksOfSegment: Int { segment / Self.chunk }

    /// The chunks of a segment.
    func chunks(_ index: Int) -> [Range<Int>] {
        let end = min(tokens, (index + 1) * segment)
        return stride(from: index * segment, to: end, by: Self.chunk).map { $0..<min(end, $0 + Self.chunk) }
    }

    /// The tokens of a segment.
    func tokens(_ index: Int) -> Range<Int> { index * segment..<min(tokens, (index + 1) * segment) }

    /// The segments that are worked on at the same time.
    var windows: [Range<Int>] {
        stride(from: 0, to: segments, by: max(together, 1)).map { $0..<min(segments, $0 + together) }
    }

    /// The work that a thread takes at a time: one segment of one or more sequences.
    struct Lane: Sendable {
        let segment: Int
        let sequences: Range<Int>
    }

    /// The lanes of a window: one for each sequence and segment, in their order, where segments are worked on at the same
    /// time; else a few for each thread.
    func lanes(_ window: Range<Int>) -> [Lane] {
        let groups = together > 1 ? sequences : min(sequences, 2 * Threads.count)
        return window.flatMap { segment in
            (0..<groups).map { group in
                let bounds = [group, group + 1].map { sequences * $0 / groups }
                return Lane(segment: segment, sequences: bounds[0]..<bounds[1])
            }
        }
    }
}
