import CKernels
import NN
import Tensors

/// The memory of causal attention to k slots: K̄ and V̄ of one sequence's tokens so far, 2 · h · k · d floats whatever the
/// position. A value: a copy is a branch of the text.
public struct BoundedMemory: Sendable {
    /// [h, k, d]
    private var keys: Tensor, values: Tensor

    /// - Parameters:
    ///   - keys, values: the slots before the first token, [h, k, d].
    public init(keys: Tensor, values: Tensor) {
        require(
            keys.rank == 3 && keys.shape == values.shape,
            "BoundedMemory: keys \(keys.shape), values \(values.shape); expected equal shapes [h, k, d]")
        self.keys = keys.detached().contiguous()
        self.values = values.detached().contiguous()
    }

    /// Memory held.
    public var bytes: Int { keys.heldBytes + values.heldBytes }

    /// Makes this the only owner of its memory, so that it may be written in place.
    public mutating func ensureUnique() {
        keys.ensureUnique()
        values.ensureUnique()
    }

    /// Appends m tokens of the sequence and attends.
    ///
    /// - Parameters:
    ///   - q, k, v: [m, h, d].
    ///   - position: the column of e and f that the first of them has.
    ///   - e, f: as in `boundedMemoryAttention`, with a column for each of these tokens, maybe among others: [k, N] or
    ///     [h, k, N]. f is nil where it is e.
    /// - Returns: [m, h, d], what `boundedMemoryAttention` gives for these tokens of the whole sequence.
    public mutating func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, position: Int = 0, e: Tensor, f: Tensor? = nil, scale: Float
    ) -> Tensor {
        let f = f ?? e
        check(q, k, v, columns: position..<position + q.shape[0], e: e, f: f)
        ensureUnique()
        return withoutGradients {
            let parts = [q, k, v].map { $0.unsqueezed(0) }
            let output = Tensor(uninitialized: parts[0].shape)
            if q.shape[0] == 1 {
                step(
                    parts, column: position, e: SlotWeights(e), f: SlotWeights(f), scale: scale, into: HeadRows(output))
            } else {
                func columns(_ x: Tensor) -> Tensor { x.sliced(-1, from: position, to: position + q.shape[0]) }
                let attention = BoundedMemoryAttention(
                    parts[0], parts[1], parts[2], e: columns(e), f: columns(f), initialKeys: keys,
                    initialValues: values,
                    scale: scale)
                attention.forward(into: HeadRows(output), running: pointers)
            }
            return output.squeezed(0)
        }
    }

    private func check(_ q: Tensor, _ k: Tensor, _ v: Tensor, columns: Range<Int>, e: Tensor, f: Tensor) {
        let slots = keys.shape[1]
        let expected = [keys.shape[0], keys.shape[2]]
        func fits(_ weights: Tensor) -> Bool {
            let shape = Array(weights.shape.dropLast())
            return (shape == [slots] || shape == [expected[0], slots]) && weights.shape.last! >= columns.upperBound
        }
        require(
            q.rank == 3 && q.shape.suffix(2) == expected[...] && q.shape == k.shape && q.shape == v.shape,
            "BoundedMemory.append: q \(q.shape), k \(k.shape), v \(v.shape); expected [m, \(expected[0]), \(expected[1])]"
        )
        require(
            columns.lowerBound >= 0 && fits(e) && fits(f),
            "BoundedMemory.append: columns \(columns.lowerBound) ..< \(columns.upperBound) of e \(e.shape), f \(f.shape) for "
                + "slots \(keys.shape); expected [k, N] or [h, k, N] with these columns")
    }

    private var pointers: SlotPointers { SlotPointers(keys: keys.mutablePointer, values: values.mutablePointer) }

    /// Multiply-adds that are not worth waking another thread for.
    private static let smallest = 1 << 17

    /// Appends one token: K̄ += e kᵀ and its scores in one pass, V̄ += f vᵀ and the output in another.
    /// - Parameter parts: q, k, v, [1, 1, h, d].
    private func step(
        _ parts: [Tensor], column: Int, e: SlotWeights, f: SlotWeights, scale: Float, into target: HeadRows
    ) {
        let (h, slots, d) = (keys.shape[0], keys.shape[1], keys.shape[2])
        let rows = parts.map { HeadRows($0) }
        let all = pointers
        func run(_ head: Int) {
            let state = all.advanced(head * slots * d)
            withUnsafeTemporaryAllocation(of: Float.self, capacity: slots) { scratch in
                guard let weights = scratch.baseAddress else { return }
                az_outer_matrix_vector(
                    slots, d, e.column(head, column), e.stride, rows[1].row(0, head, 0), state.keys, d, scale,
                    rows[0].row(0, head, 0), weights)
                az_softmax_forward(1, slots, weights, weights)
                az_outer_vector_matrix(
                    slots, d, f.column(head, column), f.stride, rows[2].row(0, head, 0), state.values, d, weights,
                    target.target(0, head, 0))
            }
        }
        if 4 * h * slots * d < Self.smallest {
            for head in 0..<h { run(head) }
        } else {
            parallelFor(h, run)
        }
    }
}

extension HeadRows {
    /// Reads a tensor [b, n, h, d].
    init(_ tensor: Tensor) { self.init(tensor, headsFirst: false) }
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
    /// True where it has an axis of heads.
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

    /// Points to a token's weight in slot 0; its weight in slot i lies i · stride behind it, the next token's 1.
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
