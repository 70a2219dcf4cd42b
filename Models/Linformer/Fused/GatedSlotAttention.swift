import CKernels
import NN
import Tensors

// The fused form of `gatedSlotAttention` (2409.07146) in chunks of tokens: two gated linear attentions with a softmax over
// the slots between them.
//
// b batch, h heads, n tokens, d and dv columns of keys and values, m slots, c tokens of a chunk
//
// With a_t = α_t and w_t = 1 − α_t by slot, a token's slots are K̄_t = diag(a_t) K̄_{t−1} + w_t k_tᵀ. For a chunk, K̄ and V̄ at
// its start, the score of slot j at token t is what `az_fading_sums_forward` computes of X = σ Q K̄ᵀ and S = σ Q Kᵀ:
//
//     A_tj = (Π_{s ≤ t} a_sj) X_tj + Σ_{i ≤ t} S_ti (Π_{i < s ≤ t} a_sj) w_ij         P = softmax(A)
//
// and the output the transpose of that, R and Z of `az_fading_sums_transpose`:
//
//     R_ti = Σ_j P_tj (Π_{i < s ≤ t} a_sj) w_ij      Z_tj = P_tj Π_{s ≤ t} a_sj        O = R V + Z V̄
//     K̄ ← diag(g) K̄ + Lᵀ K      V̄ ← diag(g) V̄ + Lᵀ V       with g and L what the chunk leaves and writes
//
// All but S and R, c² m / 2 multiply-adds each, are products of matrices. Nothing by token and token or token and slot is
// stored: backward computes it again from K̄, V̄ kept at the start of segments of several chunks.

/// The fused form of `gatedSlotAttention`.
func fusedGatedSlotAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, logForget: Tensor, state: GatedSlots?, scale: Float, dropout: Double,
    key: RandomKey?
) -> (output: Tensor, state: GatedSlots) {
    let attention = GatedSlotAttention(
        q, k, v, logForget: logForget, state: state, scale: scale, dropout: dropout, key: key)
    return attention.record([q, k, v, logForget] + (state.map { [$0.keys, $0.values] } ?? []))
}

/// Gated slot attention: its inputs, and how the work is split.
struct GatedSlotAttention: Sendable {
    let queries: HeadRows, keys: HeadRows, values: HeadRows, logForget: HeadRows
    /// The slots before the first token, dense; nil for zeros.
    let initial: SlotTensors?
    let shape: GatedSlotShape
    let scale: Float
    let dropout: Float
    /// The key dropout draws from; nil for none.
    let key: RandomKey?

    /// Tokens of a chunk.
    static let chunk = 32

    init(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, logForget: Tensor, state: GatedSlots?, scale: Float, dropout: Double = 0,
        key: RandomKey? = nil
    ) {
        shape = GatedSlotShape(q, k, v, logForget: logForget, state: state)
        require(
            dropout >= 0 && dropout < 1, "gatedSlotAttention: dropout \(dropout); expected at least 0, less than 1")
        (queries, keys, values, self.logForget) = (HeadRows(q), HeadRows(k), HeadRows(v), HeadRows(logForget))
        initial = state.map {
            SlotTensors(keys: $0.keys.detached().contiguous(), values: $0.values.detached().contiguous())
        }
        (self.scale, self.dropout) = (scale, Float(dropout))
        self.key = dropout > 0 ? key : nil
    }

    /// Tokens of a segment: what is kept of it for backward, m (d + dv) floats, is at most half of what its queries take.
    var segment: Int { Self.chunk * max(16, (4 * shape.m + Self.chunk - 1) / Self.chunk) }
    var segments: Int { (shape.n + segment - 1) / segment }

    /// The chunks of a segment, as ranges of tokens.
    func chunks(_ index: Int) -> [Range<Int>] {
        let end = min(shape.n, (index + 1) * segment)
        return stride(from: index * segment, to: end, by: Self.chunk).map { $0..<min(end, $0 + Self.chunk) }
    }

    /// Finds neighboring tokens of one sequence and head (counted through, batch first) for a tile.
    func chunk(_ sequence: Int, _ tokens: Range<Int>) -> GatedSlotChunk {
        let (batch, head, first) = (sequence / shape.h, sequence % shape.h, tokens.lowerBound)
        return GatedSlotChunk(
            count: tokens.count, q: queries.row(batch, head, first), k: keys.row(batch, head, first),
            v: values.row(batch, head, first), logForget: logForget.row(batch, head, first),
            draw: (UInt64(sequence) &* UInt64(shape.n) &+ UInt64(first)) &* UInt64(shape.m))
    }

    // MARK: Forward

    /// Computes output and state, and records them. inputs: q, k, v, logForget, then the state's keys and values if any.
    func record(_ inputs: [Tensor]) -> (output: Tensor, state: GatedSlots) {
        let output = Tensor(uninitialized: shape.output)
        let kept = Tensor.records(inputs) ? SlotHistory(shape, segments: segments) : nil
        let slots = withoutGradients { () -> SlotTensors in
            let slots = startSlots()
            forward(into: HeadRows(output), running: slots, keeping: kept)
            return slots
        }
        let outputs = Tensor.record(
            "gatedSlotAttention", outputs: [output, slots.keys, slots.values], inputs: inputs
        ) { gradients, slots in
            GatedSlotBackward(self, kept, output: gradients[0], keys: gradients[1], values: gradients[2]).run(slots)
        }
        return (outputs[0], GatedSlots(keys: outputs[1], values: outputs[2]))
    }

    /// A copy of the slots before the first token, to be written in place.
    func startSlots() -> SlotTensors {
        let slots = SlotTensors(keys: Tensor(uninitialized: shape.keys), values: Tensor(uninitialized: shape.values))
        for (target, source) in [(slots.keys, initial?.keys), (slots.values, initial?.values)] {
            if let source {
                az_scale(source.count, 1, source.pointer, target.mutablePointer)
            } else {
                az_fill(target.count, 0, target.mutablePointer)
            }
        }
        return slots
    }

    /// Fills `output`. `running` holds the slots before the first token, and afterwards those after the last.
    private func forward(into output: HeadRows, running: SlotTensors, keeping kept: SlotHistory?) {
        let all = running.pointers
        parallelFor(shape.b * shape.h) { sequence in
            let tile = GatedSlotTile(self)
            let state = all.advanced(sequence, in: shape)
            for segment in 0..<segments {
                kept?.keep(state, sequence: sequence, segment: segment)
                for tokens in chunks(segment) {
                    let chunk = chunk(sequence, tokens)
                    tile.load(chunk)
                    tile.weigh(chunk, state.keys)
                    tile.attend(
                        chunk, state.values, stride: output.stride,
                        into: output.target(sequence / shape.h, sequence % shape.h, tokens.lowerBound))
                    tile.extend(chunk, state)
                }
            }
        }
        withExtendedLifetime(running) {}
    }

    /// P of every token before dropout, [b, h, n, m]. start: K̄ before the first token.
    func weights(from start: Tensor?) -> Tensor {
        let (result, m) = (Tensor(uninitialized: shape.weights), shape.m)
        let slots = startSlots()
        if let start = start?.detached().contiguous() {
            az_scale(start.count, 1, start.pointer, slots.keys.mutablePointer)
        }
        let (target, all) = (result.mutablePointer, slots.pointers)
        parallelFor(shape.b * shape.h) { sequence in
            let tile = GatedSlotTile(self)
            let state = all.advanced(sequence, in: shape)
            for tokens in (0..<segments).flatMap(chunks) {
                let chunk = chunk(sequence, tokens)
                tile.load(chunk)
                tile.weigh(chunk, state.keys)
                az_scale(tokens.count * m, 1, tile.weights, target + (sequence * shape.n + tokens.lowerBound) * m)
                tile.extend(chunk, state)
            }
        }
        withExtendedLifetime(slots) {}
        return result
    }
}

extension SlotPointers {
    /// The slots of a sequence and head, counted through.
    func advanced(_ sequence: Int, in shape: GatedSlotShape) -> SlotPointers {
        SlotPointers(keys: keys + sequence * shape.m * shape.d, values: values + sequence * shape.m * shape.dv)
    }

    /// Copies other slots here.
    func copy(_ other: SlotPointers, _ shape: GatedSlotShape) {
        az_scale(shape.m * shape.d, 1, other.keys, keys)
        az_scale(shape.m * shape.dv, 1, other.values, values)
    }
}

/// The slots at the start of each segment, for backward.
final class SlotHistory: Sendable {
    private let shape: GatedSlotShape
    private let slots: SlotTensors

    init(_ shape: GatedSlotShape, segments: Int) {
        self.shape = shape
        slots = SlotTensors(
            keys: Tensor(uninitialized: [segments] + shape.keys),
            values: Tensor(uninitialized: [segments] + shape.values))
    }

    /// The slots of a sequence and head at the start of a segment.
    subscript(sequence: Int, segment: Int) -> SlotPointers {
        slots.pointers.advanced(segment * shape.b * shape.h + sequence, in: shape)
    }

    func keep(_ state: SlotPointers, sequence: Int, segment: Int) { self[sequence, segment].copy(state, shape) }
}
