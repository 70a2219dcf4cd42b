import CKernels
import NN
import Tensors

/// Keys or slots that a few queries look at together, and the queries that look at them.
struct SegmentChunk {
    let part: SegmentPart
    /// Among the keys or slots given.
    let columns: Range<Int>
    let keys: SegmentRows, values: SegmentRows
    /// Rows of the queries that these keys or slots are compared with.
    let queries: SegmentRows
}

/// Rows where they lie, the first of them and the step to the next.
struct SegmentRows {
    let first: UnsafePointer<Float>
    let stride: Int
}

/// The keys (or values) that a unit's queries see, transposed: scores are then sums of whole vectors.
struct SegmentColumns {
    private let memory: Tensor
    private let first: Int
    /// From a row of columns to the next: an odd number of cache lines, so that rows do not meet in few sets of the cache.
    let stride: Int

    /// - Parameter width: d, the elements of a key.
    init(_ rows: HeadRows, _ unit: SegmentAttention.Unit, _ columns: Range<Int>, width d: Int) {
        first = columns.lowerBound
        stride = (columns.count + 15) / 16 * 16 | 16
        memory = Tensor(uninitialized: [d * stride + 16])
        az_copy_2d(
            d, columns.count, rows.row(unit.batch, unit.head, first), 1, rows.stride, memory.mutablePointer, stride, 1)
    }

    func pointer(_ column: Int) -> UnsafePointer<Float> { memory.pointer + (column - first) }
}
