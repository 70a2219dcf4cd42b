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

/// Causal attention to k slots that sum up the tokens so far (2110.02488, section 3). Views are read in place.
///
/// - Parameters:
///   - q, k, v: [b, n, h, d].
///   - e: what each token adds to each slot of the keys: columns 0 ..< n of a Linear weight, [k, n] for all heads or
///     [h, k, n].
///   - f: the same for the values; nil where it is `e` itself, whose gradient then is the sum of both.
///   - initialKeys, initialValues: the slots before the first token (the projections' biases), [k, d] or [h, k, d].
///   - scale: of the scores, σ.
///   - dropout: the probability with which a weight is dropped; takes a `key`.
/// - Returns: [b, n, h, d].
public func boundedMemoryAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, e: Tensor, f: Tensor? = nil, initialKeys: Tensor, initialValues: Tensor,
    scale: Float, dropout: Double = 0, key: RandomKey? = nil
) -> Tensor {
    require(
        q.rank == 4 && q.shape == k.shape && q.shape == v.shape,
        "boundedMemoryAttention: q \(q.shape), k \(k.shape), v \(v.shape); expected equal shapes [b, n, h, d]")
    let attention = BoundedMemoryAttention(
        q, k, v, e, f ?? e, initialKeys, initialValues, scale: scale, dropout: dropout, key: key)
    let inputs = [q, k, v, initialKeys, initialValues, e] + (f.map { [$0] } ?? [])
    return attention.record(inputs)
}

/// The weights P of `boundedMemoryAttention` before dropout, to look at: [b, h, n, k]. No gradient flows through them.
public func boundedMemoryWeights(_ q: Tensor, _ k: Tensor, _ e: Tensor, initialKeys: Tensor, scale: Float) -> Tensor {
    require(
        q.rank == 4 && q.shape == k.shape,
        "boundedMemoryWeights: q \(q.shape), k \(k.shape); expected equal shapes [b, n, h, d]")
    return BoundedMemoryAttention(q, k, k, e, e, initialKeys, initialKeys, scale: scale, dropout: 0, key: nil).weights()
}

/// What attention with bounded memory is computed from, and how the work is split.
struct BoundedMemoryAttention: Sendable {
    let queries: HeadRows, keys: HeadRows, values: HeadRows
    let e: SlotWeights, f: SlotWeights
    /// [k, d] or [h, k, d]
    let initialKeys: Tensor, initialValues: Tensor
    let b: Int, n: Int, h: Int, d: Int, slots: Int
    let scale: Float
    let dropout: Float
    /// What dropout draws from; nil for none.
    let key: RandomKey?
    let plan: BoundedMemoryPlan

    init(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ e: Tensor, _ f: Tensor, _ initialKeys: Tensor, _ initialValues: Tensor,
        scale: Float, dropout: Double, key: RandomKey?
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

    /// Floats of K̄ (or V̄) of one sequence and head.
    var slotCount: Int { slots * d }

    /// Neighbouring tokens of one sequence and head (counted through, batch first), as tiles take them.
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
            withExtendedLifetime(slots) { forward(HeadRows(output), slots.pointers, kept) }
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
    func forward(_ output: HeadRows, _ running: SlotPointers, _ kept: Tensor?) {
        if plan.together > 1 {
            for window in plan.windows { forwardTogether(window, output, running, kept) }
            return
        }
        parallelFor(b * h) { sequence in
            let tile = BoundedMemoryTile(self)
            let state = running.advanced(sequence * slotCount)
            for segment in 0..<plan.segments {
                keep(state, kept, segment, sequence)
                for tokens in plan.chunks(segment) {
                    let chunk = chunk(sequence, tokens)
                    attend(tile, chunk, state, output, sequence, tokens)
                    tile.extend(state, by: chunk)
                }
            }
        }
    }

    private func attend(
        _ tile: BoundedMemoryTile, _ chunk: BoundedMemoryChunk, _ state: SlotPointers, _ output: HeadRows,
        _ sequence: Int, _ tokens: Range<Int>
    ) {
        tile.weigh(chunk, state.keys)
        let target = output.target(sequence / h, sequence % h, tokens.lowerBound)
        tile.attend(chunk, state.values, into: target, stride: output.stride)
    }

    private func keep(_ state: SlotPointers, _ kept: Tensor?, _ segment: Int, _ sequence: Int) {
        guard let kept, segment > 0 else { return }
        let place = kept.mutablePointer + ((segment - 1) * b * h + sequence) * 2 * slotCount
        az_scale(slotCount, 1, state.keys, place)
        az_scale(slotCount, 1, state.values, place + slotCount)
    }

    // MARK: Few sequences

    /// A few neighbouring segments at the same time: first what the tokens before each chunk of a segment add to the
    /// slots, counted from the segment's start; then attention, from what the segments before add up to.
    private func forwardTogether(
        _ window: Range<Int>, _ output: HeadRows, _ running: SlotPointers, _ kept: Tensor?
    ) {
        let lanes = plan.lanes(window)
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
            keep(state, kept, lane.segment, lane.sequences.lowerBound)
            sums[index, 0].copy(state, slotCount)
            state.add(sums[index, plan.chunks(lane.segment).count], slotCount)
        }
        parallelFor(lanes.count) { index in
            let (tile, lane) = (BoundedMemoryTile(self), lanes[index])
            for (step, tokens) in plan.chunks(lane.segment).enumerated() {
                if step > 0 { sums[index, step].add(sums[index, 0], slotCount) }
                let sequence = lane.sequences.lowerBound
                attend(tile, chunk(sequence, tokens), sums[index, step], output, sequence, tokens)
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
