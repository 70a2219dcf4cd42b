import CKernels
import NN
import Tensors

/// What causal attention to k slots remembers of one sequence: K̄ and V̄ of the tokens so far, 2 · h · k · d floats whatever
/// the position. A value: a copy is a branch of the text.
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
        check(q, k, v, position, e, f)
        ensureUnique()
        return withoutGradients {
            let parts = [q, k, v].map { $0.unsqueezed(0) }
            let output = Tensor(uninitialized: parts[0].shape)
            if q.shape[0] == 1 {
                step(parts, position, SlotWeights(e), SlotWeights(f), scale, output)
            } else {
                func columns(_ x: Tensor) -> Tensor { x.sliced(-1, from: position, to: position + q.shape[0]) }
                let attention = BoundedMemoryAttention(
                    parts[0], parts[1], parts[2], columns(e), columns(f), keys, values, scale: scale, dropout: 0,
                    key: nil)
                attention.forward(HeadRows(output), pointers, nil)
            }
            return output.squeezed(0)
        }
    }

    private func check(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ position: Int, _ e: Tensor, _ f: Tensor) {
        let slots = keys.shape[1]
        let expected = [keys.shape[0], keys.shape[2]]
        func fits(_ weights: Tensor) -> Bool {
            let shape = Array(weights.shape.dropLast())
            return (shape == [slots] || shape == [expected[0], slots]) && weights.shape.last! >= position + q.shape[0]
        }
        require(
            q.rank == 3 && q.shape.suffix(2) == expected[...] && q.shape == k.shape && q.shape == v.shape,
            "BoundedMemory.append: q \(q.shape), k \(k.shape), v \(v.shape); expected [m, \(expected[0]), \(expected[1])]"
        )
        require(
            position >= 0 && fits(e) && fits(f),
            "BoundedMemory.append: columns \(position) ..< \(position + q.shape[0]) of e \(e.shape), f \(f.shape) for "
                + "slots \(keys.shape); expected [k, N] or [h, k, N] with these columns")
    }

    private var pointers: SlotPointers { SlotPointers(keys: keys.mutablePointer, values: values.mutablePointer) }

    /// Multiply-adds that are not worth waking another thread for.
    private static let smallest = 1 << 17

    /// One token: K̄ += e kᵀ and its scores in one pass, V̄ += f vᵀ and the output in another. parts: q, k, v, [1, 1, h, d]
    private func step(
        _ parts: [Tensor], _ position: Int, _ e: SlotWeights, _ f: SlotWeights, _ scale: Float, _ output: Tensor
    ) {
        let (h, slots, d) = (keys.shape[0], keys.shape[1], keys.shape[2])
        let rows = parts.map { HeadRows($0) }
        let (target, all) = (HeadRows(output), pointers)
        func run(_ head: Int) {
            let state = all.advanced(head * slots * d)
            withUnsafeTemporaryAllocation(of: Float.self, capacity: slots) { scratch in
                guard let weights = scratch.baseAddress else { return }
                az_outer_matrix_vector(
                    slots, d, e.column(head, position), e.stride, rows[1].row(0, head, 0), state.keys, d, scale,
                    rows[0].row(0, head, 0), weights)
                az_softmax_forward(1, slots, weights, weights)
                az_outer_vector_matrix(
                    slots, d, f.column(head, position), f.stride, rows[2].row(0, head, 0), state.values, d, weights,
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
    /// Of a tensor [b, n, h, d].
    init(_ tensor: Tensor) { self.init(tensor, headsFirst: false) }
}
