import CKernels
import NN
import Tensors

/// What causal attention to k slots remembers of one sequence: K̄ and V̄ of the tokens so far, 2 · h · k · d floats whatever
/// the position. A value: a copy is a branch of the text.
public struct BoundedMemory: Sendable {
    /// [h, k, d]
    private var keys: Tensor, values: Tensor

    /// Before the first token.
    /// - Parameters:
    ///   - initialKeys, initialValues: as `boundedMemoryAttention` takes them, [k, d] or [h, k, d].
    ///   - heads: h.
    public init(initialKeys: Tensor, initialValues: Tensor, heads h: Int) {
        let shape = [h] + initialKeys.shape.suffix(2)
        require(
            initialKeys.rank >= 2 && [shape, Array(shape.dropFirst())].contains(initialKeys.shape)
                && [shape, Array(shape.dropFirst())].contains(initialValues.shape),
            "BoundedMemory: initialKeys \(initialKeys.shape), initialValues \(initialValues.shape) for \(h) heads; "
                + "expected [k, d] or [h, k, d]")
        keys = initialKeys.detached().expanded(to: shape).contiguous()
        values = initialValues.detached().expanded(to: shape).contiguous()
    }

    /// Memory held.
    public var bytes: Int { keys.heldBytes + values.heldBytes }

    /// Makes this the only owner of its memory, so that it may be written in place.
    public mutating func ensureUnique() {
        keys.ensureUnique()
        values.ensureUnique()
    }

    /// Moves the memory out, so that it has one owner; what is left holds nothing.
    public mutating func taken() -> BoundedMemory {
        let memory = self
        (keys, values) = (.zeros([0]), .zeros([0]))
        return memory
    }

    /// Appends m tokens of the sequence and attends.
    ///
    /// - Parameters:
    ///   - q, k, v: [m, h, d].
    ///   - position: of the first of them in the sequence.
    ///   - e, f: as in `boundedMemoryAttention`, the columns of all positions: [k, N] or [h, k, N]. f is nil where it is e.
    /// - Returns: [m, h, d], what `boundedMemoryAttention` gives at these positions of the whole sequence.
    public mutating func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, position: Int, e: Tensor, f: Tensor? = nil, scale: Float
    ) -> Tensor {
        var memories = [taken()]
        defer { self = memories[0] }
        return Self.append(
            q, k, v, [0..<q.shape[0]], positions: [position], &memories, e: e, f: f, scale: scale)
    }

    /// Appends tokens of several sequences, each to its memory, and attends.
    ///
    /// - Parameters:
    ///   - q, k, v: [rows, h, d], the rows of sequence i in spans[i], which cover them.
    ///   - positions: of the first row of each span in its sequence.
    /// - Returns: [rows, h, d].
    public static func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ spans: [Range<Int>], positions: [Int],
        _ memories: inout [BoundedMemory], e: Tensor, f: Tensor? = nil, scale: Float
    ) -> Tensor {
        require(
            q.rank == 3 && q.shape == k.shape && q.shape == v.shape && spans.count == memories.count
                && positions.count == spans.count,
            "BoundedMemory.append: q \(q.shape), k \(k.shape), v \(v.shape), \(spans.count) spans, "
                + "\(memories.count) memories")
        return withoutGradients {
            let writer = BoundedMemoryWriter(q, k, v, e, f ?? e, scale)
            for (index, span) in spans.enumerated() {
                writer.check(memories[index].keys, span, positions[index])
                memories[index].ensureUnique()
            }
            let states = memories.map {
                SlotPointers(keys: $0.keys.mutablePointer, values: $0.values.mutablePointer)
            }
            writer.step(spans.indices.filter { spans[$0].count == 1 }, spans, positions, states)
            for index in spans.indices where spans[index].count > 1 {
                let (keys, values) = (memories[index].keys, memories[index].values)
                writer.extend(spans[index], positions[index], keys, values, states[index])
            }
            return writer.output.squeezed(0)
        }
    }
}

/// Appends rows of sequences to their slots and writes what their queries read there.
private struct BoundedMemoryWriter {
    let q: Tensor, k: Tensor, v: Tensor
    let e: Tensor, f: Tensor
    let scale: Float
    let h: Int, d: Int
    /// [1, rows, h, d]
    let output: Tensor

    init(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ e: Tensor, _ f: Tensor, _ scale: Float) {
        (self.q, self.k, self.v) = (q.unsqueezed(0), k.unsqueezed(0), v.unsqueezed(0))
        (self.e, self.f, self.scale) = (e, f, scale)
        (h, d) = (q.shape[1], q.shape[2])
        output = Tensor(uninitialized: [1] + q.shape)
    }

    func check(_ keys: Tensor, _ span: Range<Int>, _ position: Int) {
        let slots = keys.shape[1]
        let end = position + span.count
        func fits(_ weights: Tensor) -> Bool {
            let shape = Array(weights.shape.dropLast())
            return (shape == [slots] || shape == [h, slots]) && weights.shape.last! >= end
        }
        require(
            position >= 0 && keys.shape == [h, slots, d] && fits(e) && fits(f),
            "BoundedMemory.append: positions \(position) ..< \(end), slots \(keys.shape), q \(q.squeezed(0).shape), e "
                + "\(e.shape), f \(f.shape); expected e and f [k, N] or [h, k, N] with a column for each position")
    }

    /// Multiply-adds that are not worth waking another thread for.
    private static let smallest = 1 << 17

    /// One token of each of these sequences.
    func step(_ sequences: [Int], _ spans: [Range<Int>], _ positions: [Int], _ states: [SlotPointers]) {
        if sequences.isEmpty { return }
        let slots = e.shape[e.rank - 2]
        let (queries, keys, values) = (HeadRows(q), HeadRows(k), HeadRows(v))
        let (e, f, target) = (SlotWeights(e), SlotWeights(f), HeadRows(output))
        func run(_ index: Int) {
            let (sequence, head) = (sequences[index / h], index % h)
            let (row, position) = (spans[sequence].lowerBound, positions[sequence])
            let state = states[sequence].advanced(head * slots * d)
            withUnsafeTemporaryAllocation(of: Float.self, capacity: slots) { scratch in
                let weights = scratch.baseAddress!
                az_outer_matrix_vector(
                    slots, d, e.column(head, position), e.stride, keys.row(0, head, row), state.keys, d, scale,
                    queries.row(0, head, row), weights)
                az_softmax_forward(1, slots, weights, weights)
                az_outer_vector_matrix(
                    slots, d, f.column(head, position), f.stride, values.row(0, head, row), state.values, d, weights,
                    target.target(0, head, row))
            }
        }
        let count = sequences.count * h
        if 4 * count * slots * d < Self.smallest {
            for index in 0..<count { run(index) }
        } else {
            parallelFor(count, run)
        }
    }

    /// Several tokens of one sequence, in chunks. keys, values: [h, k, d], where `state` points.
    func extend(_ span: Range<Int>, _ position: Int, _ keys: Tensor, _ values: Tensor, _ state: SlotPointers) {
        func rows(_ x: Tensor) -> Tensor { x.sliced(1, from: span.lowerBound, to: span.upperBound) }
        func columns(_ x: Tensor) -> Tensor { x.sliced(-1, from: position, to: position + span.count) }
        let attention = BoundedMemoryAttention(
            rows(q), rows(k), rows(v), columns(e), columns(f), keys, values, scale: scale, dropout: 0, key: nil)
        attention.forward(HeadRows(rows(output)), state, nil)
    }
}

extension HeadRows {
    /// Of a tensor [b, n, h, d].
    init(_ tensor: Tensor) { self.init(tensor, headsFirst: false) }
}
