import CKernels
import NN
import Tensors

/// The memory of gated slots: K̄ and V̄ of one sequence's tokens so far, h · m · (d + dv) floats whatever the position. A
/// value: a copy is a branch of the text.
public struct GatedSlotMemory: Sendable {
    /// [h, m, d]
    private var keys: Tensor
    /// [h, m, dv]
    private var values: Tensor

    /// Makes slots that hold nothing yet.
    /// - Parameters:
    ///   - d, dv: columns of keys and values.
    public init(heads: Int, slots: Int, _ d: Int, _ dv: Int) {
        (keys, values) = (.zeros([heads, slots, d]), .zeros([heads, slots, dv]))
    }

    /// Memory held.
    public var bytes: Int { keys.heldBytes + values.heldBytes }

    /// Makes this the only owner of its memory, so that it may be written in place.
    public mutating func ensureUnique() {
        keys.ensureUnique()
        values.ensureUnique()
    }

    /// Appends n tokens of the sequence and attends.
    ///
    /// - Parameters:
    ///   - q, k: [n, h, d].
    ///   - v: [n, h, dv].
    ///   - logForget: ln α, [n, h, m].
    /// - Returns: [n, h, dv], what `gatedSlotAttention` gives for these tokens of the whole sequence.
    public mutating func append(_ q: Tensor, _ k: Tensor, _ v: Tensor, logForget: Tensor, scale: Float) -> Tensor {
        require(
            q.rank == 3 && q.shape == k.shape && v.rank == 3 && logForget.rank == 3
                && [k.shape[1], logForget.shape[2], k.shape[2]] == keys.shape
                && [v.shape[1], logForget.shape[2], v.shape[2]] == values.shape
                && v.shape[0] == q.shape[0] && logForget.shape.prefix(2) == q.shape.prefix(2),
            "GatedSlotMemory.append: q \(q.shape), k \(k.shape), v \(v.shape), logForget \(logForget.shape) for slots "
                + "\(keys.shape), \(values.shape); expected rows [n, h, …] of their columns")
        return withoutGradients {
            let all = [q, k, v, logForget].map { $0.unsqueezed(0) }
            if q.shape[0] == 1 { return step(all, scale: scale).squeezed(0) }
            let state = GatedSlots(keys: keys.unsqueezed(0), values: values.unsqueezed(0))
            let result = gatedSlotAttention(all[0], all[1], all[2], logForget: all[3], state: state, scale: scale)
            (keys, values) = (result.state.keys.squeezed(0), result.state.values.squeezed(0))
            return result.output.squeezed(0)
        }
    }

    /// Multiply-adds that are not worth waking another thread for.
    private static let smallest = 1 << 17

    /// Appends one token: K̄ and its scores in one pass, V̄ and the output in another.
    /// - Parameter all: q, k, v, logForget, [1, 1, h, …].
    private mutating func step(_ all: [Tensor], scale: Float) -> Tensor {
        ensureUnique()
        let (h, m, d, dv) = (keys.shape[0], keys.shape[1], keys.shape[2], values.shape[2])
        let output = Tensor(uninitialized: [1, 1, h, dv])
        let (rows, target) = (all.map { HeadRows($0) }, output.mutablePointer)
        let slots = SlotPointers(keys: keys.mutablePointer, values: values.mutablePointer)
        let shape = GatedSlotShape(b: 1, n: 1, h: h, d: d, dv: dv, m: m)
        let wide = (m + 15) / 16 * 16
        func run(_ head: Int) {
            let state = slots.advanced(head, in: shape)
            withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * wide + m) { memory in
                guard let kept = memory.baseAddress else { return }
                let (written, weights) = (kept + wide, kept + 2 * wide)
                func row(_ index: Int) -> UnsafePointer<Float> { rows[index].row(0, head, 0) }
                az_fading_factors(1, m, row(3), m, kept, written, wide)
                az_fading_rows_matrix_vector(m, d, kept, written, row(1), state.keys, scale, row(0), weights)
                az_softmax_forward(1, m, weights, weights)
                az_fading_rows_vector_matrix(m, dv, kept, written, row(2), state.values, weights, target + head * dv)
            }
        }
        if 3 * h * m * (d + dv) < Self.smallest {
            for head in 0..<h { run(head) }
        } else {
            parallelFor(h, run)
        }
        return output
    }
}
