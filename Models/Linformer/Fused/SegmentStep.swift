import CKernels
import Tensors

/// Attention of one token by segments, as `segmentAttention` of one query computes it, on the memory of decoding.
struct SegmentStep {
    private let options: SegmentAttentionOptions

    init(_ options: SegmentAttentionOptions) { self.options = options }

    /// The rows of the window or of slots that the token sees, and its queries for them.
    struct Part {
        /// [1, 1, h, d]
        let queries: Tensor
        let keys: RowBuffer, values: RowBuffer
        /// Rows of the buffers.
        let seen: Range<Int>

        init(_ queries: Tensor, _ keys: RowBuffer, _ values: RowBuffer, _ seen: Range<Int>) {
            (self.queries, self.keys, self.values, self.seen) = (queries.contiguous(), keys, values, seen)
        }
    }

    /// - Parameter newestSlot: the row after the newest slot in reach, from which the slots' distances count.
    /// - Returns: [1, 1, h, e].
    func attend(window: Part, slots: Part, newestSlot: Int) -> Tensor {
        let values = window.values.rows.shape
        let (h, e) = (values[2], values[3])
        let y = Tensor(uninitialized: [1, 1, h, e])
        let count = window.seen.count + slots.seen.count
        withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { scratch in
            guard let scores = scratch.baseAddress else { return }
            let ofSlots = scores + window.seen.count
            for head in 0..<h {
                score(window, head, of: h, into: scores)
                score(slots, head, of: h, into: ofSlots)
                addBiases(window, slots, head, newestSlot: newestSlot, to: scores)
                az_softmax_forward(1, count, scores, scores)
                let target = y.mutablePointer + head * e
                weigh(window, head, scores, width: e, adds: false, into: target)
                weigh(slots, head, ofSlots, width: e, adds: true, into: target)
            }
        }
        return y
    }

    private func score(_ part: Part, _ head: Int, of heads: Int, into scores: UnsafeMutablePointer<Float>) {
        if part.seen.isEmpty { return }
        let (d, keys) = (part.queries.shape[3], part.keys.start)
        az_matrix_vector(
            part.seen.count, d, options.scale, keys.row + part.seen.lowerBound * keys.stride + head * d, keys.stride,
            part.queries.pointer + head * d, 0, scores)
    }

    /// Adds the biases by the distance of a key, and by that of a slot in segments.
    private func addBiases(
        _ window: Part, _ slots: Part, _ head: Int, newestSlot: Int, to scores: UnsafeMutablePointer<Float>
    ) {
        if let bias = options.windowBias?.contiguous() {
            let table = bias.pointer + head % bias.shape[0] * bias.shape[1]
            for (place, key) in window.seen.enumerated() { scores[place] += table[window.seen.upperBound - 1 - key] }
        }
        if let bias = options.slotBias?.contiguous() {
            let table = bias.pointer + head % bias.shape[0] * bias.shape[1]
            for (place, slot) in slots.seen.enumerated() {
                let distance = (newestSlot - 1 - slot) / options.slots
                scores[window.seen.count + place] += table[min(distance, bias.shape[1] - 1)]
            }
        }
    }

    private func weigh(
        _ part: Part, _ head: Int, _ weights: UnsafePointer<Float>, width e: Int, adds: Bool,
        into target: UnsafeMutablePointer<Float>
    ) {
        if part.seen.isEmpty { return }
        let values = part.values.start
        var (first, last) = (Int32(0), Int32(part.seen.count))
        az_band_apply(
            1, e, &first, &last, 1, weights, part.seen.count,
            values.row + part.seen.lowerBound * values.stride + head * e, values.stride, adds ? 1 : 0, target, e)
    }
}
