import CKernels
import Tensors

// How attention with bounded memory is split: chunks of tokens are what tiles take, segments of chunks are what a thread
// takes. Sequences (batch × heads) are independent of each other; where they are too few for the threads, neighbouring
// segments of one sequence are worked on at the same time.

/// How n tokens of some sequences become work for threads. The same in forward and backward.
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

    /// What one thread takes at a time: one segment of one or more sequences.
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

/// E or F as a Linear weight has them, slots by tokens, for all heads or one for each: read where they lie.
struct SlotWeights: @unchecked Sendable {
    private let owner: Tensor
    private let base: UnsafePointer<Float>
    private let headStride: Int
    /// The step from one slot to the next.
    let stride: Int
    /// 1 where all heads share it.
    let heads: Int
    /// Whether it has an axis of heads.
    let isPerHead: Bool

    /// A tensor [k, n] or [h, k, n]; copied only where a row is not dense or rows overlap.
    init(_ tensor: Tensor) {
        let (slots, n) = (tensor.rank - 2, tensor.shape[tensor.rank - 1])
        let isReadable = (tensor.strides[slots + 1] == 1 || n == 1) && tensor.strides[slots] >= max(n, 1)
        let dense = isReadable ? tensor : tensor.contiguous()
        owner = dense
        base = dense.basePointer
        stride = max(dense.strides[slots], n)  // of a single slot it may be anything
        isPerHead = slots > 0
        heads = slots == 0 ? 1 : dense.shape[0]
        headStride = slots == 0 ? 0 : dense.strides[0]
    }

    /// What a token adds to slot 0; that to slot i lies i · stride behind it, that of the next token 1.
    func column(_ head: Int, _ token: Int) -> UnsafePointer<Float> { base + head * headStride + token }
}

/// K̄ and V̄, [k, d] each.
struct SlotPointers: @unchecked Sendable {
    let keys: UnsafeMutablePointer<Float>, values: UnsafeMutablePointer<Float>

    func advanced(_ count: Int) -> SlotPointers { SlotPointers(keys: keys + count, values: values + count) }

    func fill(_ value: Float, _ count: Int) {
        az_fill(count, value, keys)
        az_fill(count, value, values)
    }

    func copy(_ other: SlotPointers, _ count: Int) {
        az_scale(count, 1, other.keys, keys)
        az_scale(count, 1, other.values, values)
    }

    func add(_ other: SlotPointers, _ count: Int) {
        az_scale_add(count, 1, other.keys, 1, keys)
        az_scale_add(count, 1, other.values, 1, values)
    }
}

/// K̄ and V̄ of all sequences.
struct SlotTensors {
    let keys: Tensor, values: Tensor
    var pointers: SlotPointers { SlotPointers(keys: keys.mutablePointer, values: values.mutablePointer) }
}

/// K̄ and V̄ (or their gradients) at each chunk of some segments.
struct SegmentSlots: @unchecked Sendable {
    private let memory: Tensor
    private let base: UnsafeMutablePointer<Float>
    private let steps: Int, count: Int

    init(_ attention: BoundedMemoryAttention, count: Int, steps: Int) {
        (self.steps, self.count) = (steps, attention.slotCount)
        memory = Tensor(uninitialized: [count, steps, 2, attention.slotCount])
        base = memory.mutablePointer
    }

    subscript(_ index: Int, _ step: Int) -> SlotPointers {
        let place = base + (index * steps + step) * 2 * count
        return SlotPointers(keys: place, values: place + count)
    }
}
