import CKernels
import Tensors

// Plain pointers into tensors that somebody else holds. The loops over panels work on these alone: counting references
// to shared tensors there would make the threads wait for each other.

/// An array by rows.
struct RowPointer {
    let first: UnsafePointer<Float>
    /// From one row to the next; 0: the same for all.
    let row: Int

    init(_ first: UnsafePointer<Float>, row: Int) {
        self.first = first
        self.row = row
    }

    subscript(_ index: Int) -> UnsafePointer<Float> { first + index * row }
}

/// An array by rows, to be written.
struct MutableRowPointer {
    let first: UnsafeMutablePointer<Float>
    let row: Int

    init(_ first: UnsafeMutablePointer<Float>, row: Int) {
        self.first = first
        self.row = row
    }

    subscript(_ index: Int) -> UnsafeMutablePointer<Float> { first + index * row }
}

/// A few vectors for each row, as kernels take them.
struct RowVectors: ~Copyable {
    private let items: UnsafeMutablePointer<az_vectors>
    private(set) var count = 0
    private let capacity: Int

    init(capacity: Int) {
        self.capacity = capacity
        items = .allocate(capacity: capacity)
    }

    /// Of dense arrays [rows, any, d], from a row on.
    init(_ tensors: [Tensor], from row: Int) {
        self.init(capacity: tensors.reduce(0) { $0 + $1.shape[1] })
        for tensor in tensors { add(tensor.pointer, tensor.shape[1], tensor.shape[2], from: row) }
    }

    /// Of an array [rows, count, d], from a row on.
    init(_ first: UnsafePointer<Float>, _ count: Int, _ d: Int, from row: Int = 0) {
        self.init(capacity: count)
        add(first, count, d, from: row)
    }

    /// Vectors [count, d] that are the same in all rows.
    init(common first: UnsafePointer<Float>, _ count: Int, _ d: Int) {
        self.init(capacity: count)
        addCommon(first, count, d)
    }

    deinit { items.deallocate() }

    mutating func add(_ first: UnsafePointer<Float>, _ added: Int, _ d: Int, from row: Int = 0) {
        for index in 0..<added { append(first + (row * added + index) * d, added * d) }
    }

    mutating func addCommon(_ first: UnsafePointer<Float>, _ added: Int, _ d: Int) {
        for index in 0..<added { append(first + index * d, 0) }
    }

    private mutating func append(_ first: UnsafePointer<Float>, _ row: Int) {
        require(count < capacity, "RowVectors: more than \(capacity) vectors")
        (items + count).initialize(to: az_vectors(first: first, row: row))
        count += 1
    }

    /// All of them, or the first so many, go on by some rows.
    func advance(_ rows: Int, first part: Int? = nil) {
        for index in 0..<(part ?? count) { items[index].first += rows * items[index].row }
    }

    /// y[r, t, :] = base[r, t, :] + Σ_s weights[r, s, t] x_s[r, :] for n rows; the weights' strides are from row to row,
    /// source to source and output to output, and y and base (0 where nil) are [n, outputs, d].
    func mix(
        _ n: Int, _ d: Int, outputs: Int, _ weights: UnsafePointer<Float>,
        _ strides: (row: Int, source: Int, output: Int),
        onto base: UnsafePointer<Float>? = nil, _ y: UnsafeMutablePointer<Float>
    ) {
        az_mix_rows(n, d, count, outputs, items, weights, strides.row, strides.source, strides.output, base, y)
    }

    /// All of them as vectors of one row, or the first so many.
    func mix(
        first part: Int, _ d: Int, outputs: Int, _ weights: UnsafePointer<Float>, _ strides: (source: Int, output: Int),
        onto y: UnsafeMutablePointer<Float>
    ) {
        az_mix_rows(1, d, part, outputs, items, weights, 0, strides.source, strides.output, y, y)
    }

    /// y[r, i, j] = ⟨x_i[r, :], other_j[r, :]⟩ for n rows (and the first so many others); squares: ⟨x_i[r, :], x_i[r, :]⟩.
    func dots(
        _ n: Int, _ d: Int, _ other: borrowing RowVectors, first part: Int? = nil, _ y: UnsafeMutablePointer<Float>,
        squares: UnsafeMutablePointer<Float>? = nil
    ) {
        az_dot_rows(n, d, count, part ?? other.count, items, other.items, y, squares)
    }
}
