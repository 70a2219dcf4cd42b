import Tensors

/// Rows [1, n, h, d] that are appended at the end and forgotten from the beginning: a value, written in place by its only
/// owner. Rows move to the front of the memory only where its end is reached.
struct RowBuffer: Sendable {
    /// [1, capacity, h, d]; empty before the first rows.
    private var memory = Tensor.zeros([0])
    private var filled = 0..<0

    /// The number of rows.
    var count: Int { filled.count }
    /// Memory held.
    var bytes: Int { memory.heldBytes }

    /// All rows, [1, n, h, d]: a view, which the next change may write over.
    var rows: Tensor { memory.sliced(1, from: filled.lowerBound, to: filled.upperBound) }

    /// The first row, and the step to the next; valid until the next change.
    var start: (row: UnsafePointer<Float>, stride: Int) {
        let stride = memory.shape[2] * memory.shape[3]
        return (memory.pointer + filled.lowerBound * stride, stride)
    }

    private var capacity: Int { memory.rank == 4 ? memory.shape[1] : 0 }

    /// Appends rows [1, n, h, d].
    mutating func append(_ x: Tensor) {
        let n = x.shape[1]
        if filled.upperBound + n > capacity {
            // Less than half full, the memory is large enough once the rows are at its front.
            let isLarge = 2 * (count + n) <= capacity
            move(to: isLarge ? capacity : max(2 * capacity, count + n), like: x)
        }
        memory.ensureUnique()
        let width = x.shape[2] * x.shape[3]
        let source = x.detached().contiguous()
        (memory.mutablePointer + filled.upperBound * width).update(from: source.pointer, count: n * width)
        filled = filled.lowerBound..<filled.upperBound + n
    }

    /// Forgets all but the last rows; from then on the memory is of one size.
    /// - Parameter most: rows that are ever kept, half of those there is memory for.
    mutating func keepLast(_ count: Int, most: Int) {
        guard count < filled.count else { return }
        filled = filled.upperBound - count..<filled.upperBound
        if capacity != 2 * most { move(to: 2 * most, like: memory) }
    }

    private mutating func move(to capacity: Int, like x: Tensor) {
        let (h, d, held) = (x.shape[2], x.shape[3], rowsIfAny)
        memory = Tensor(uninitialized: [1, capacity, h, d])
        if let held { memory.mutablePointer.update(from: held.contiguous().pointer, count: held.count) }
        filled = 0..<filled.count
    }

    private var rowsIfAny: Tensor? { count == 0 ? nil : rows }
}
