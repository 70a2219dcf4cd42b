import CKernels
import Tensors

// S streams, P sources, c = S + 2 weights of a stream in a connection (see FusedStreams.swift), d features

/// A panel of rows in the backward pass of `StreamReading`: one thread's working memory. It moves along a range of rows.
struct StreamPanel: ~Copyable {
    private let s: Int, d: Int, c: Int
    /// P vectors a row.
    private let sources: RowVectors
    /// ∂input, the directions, and R: what ∂R gets through this connection is a sum of these.
    private let addends: RowVectors
    /// R: S vectors a row, and the same as vectors of one row.
    private let vectors: RowVectors
    private let allVectors: RowVectors
    /// ∂R: S vectors a row.
    private let gradients: RowVectors

    private let memory: Tensor
    private let streams: UnsafeMutablePointer<Float>
    private let gradient: UnsafeMutablePointer<Float>
    private let weights: UnsafeMutablePointer<Float>
    private let slopes: UnsafeMutablePointer<Float>
    private let parts: UnsafeMutablePointer<Float>
    private let products: UnsafeMutablePointer<Float>

    /// The arrays that a reading saved, and those of the gradients that come in and go out, by rows.
    struct Arrays {
        let mixing: RowPointer
        let weights: RowPointer
        let arguments: RowPointer
        let inverse: RowPointer
        let gain: UnsafePointer<Float>
        let streamGradient: RowPointer?
        let weightGradient: RowPointer?
        /// ∂R⁻, or ∂x at the start.
        let previous: MutableRowPointer
        /// The step that led to the place; nil at the start.
        let step: Step?

        struct Step {
            let mixing: RowPointer
            let weights: RowPointer
            let weightGradient: MutableRowPointer
            let branchGradient: MutableRowPointer
        }
    }

    init(_ reading: StreamReading, _ rows: Int, from row: Int, _ input: UnsafePointer<Float>) {
        let place = reading.place
        (s, d, c) = (place.streams, place.d, reading.connection.width)
        let counts = [s * d, s * d, s * c, s * c, (1 + c + s) * s, place.sourceCount * s].map { rows * $0 }
        memory = Tensor(uninitialized: [counts.reduce(0, +)])
        streams = memory.mutablePointer
        gradient = streams + counts[0]
        weights = gradient + counts[1]
        slopes = weights + counts[2]
        parts = slopes + counts[3]
        products = parts + counts[4]
        sources = RowVectors(place.sources, from: row)
        vectors = RowVectors(streams, s, d)
        allVectors = RowVectors(common: streams, rows * s, d)
        gradients = RowVectors(gradient, s, d)
        var addends = RowVectors(capacity: 1 + c + s)
        addends.add(input, 1, d, from: row)
        addends.addCommon(reading.tables.directions.pointer, c, d)
        addends.add(streams, s, d)
        self.addends = addends
    }

    func advance(_ rows: Int) {
        sources.advance(rows)
        addends.advance(rows, first: 1)
    }

    /// Completes ∂R of n rows, and adds to the gradients of the connection's tables.
    func throughConnection(_ arrays: Arrays, row: Int, count n: Int, share: UnsafeMutablePointer<Float>) {
        let mixing = arrays.mixing
        sources.mix(rows: n, d, outputs: s, by: mixing[row], strides: (mixing.row, s, 1), to: streams)
        // ∂w: from what came after, and of the sub-layer's input (the first of the addends).
        vectors.dots(rows: n, d, with: addends, first: 1, to: products)
        if let incoming = arrays.weightGradient {
            az_scale(n * s * c, 1, incoming[row], weights)
        } else {
            az_fill(n * s * c, 0, weights)
        }
        az_copy_2d(n * s, 1, products, 1, 1, weights, c, 1)
        // The addends' weights in ∂R.
        let width = (1 + c + s) * s
        az_cosine_weights_backward(
            n, s, c, arrays.arguments[row], arrays.inverse[row], arrays.gain, weights, slopes, parts + s, width,
            share + c * d, share + c * d + s * c)
        az_copy_2d(n, s, arrays.weights[row], s * c, c, parts, width, 1)
        addends.mix(
            rows: n, d, outputs: s, by: parts, strides: (width, s, 1), onto: arrays.streamGradient?[row], to: gradient)
        allVectors.mix(first: n * s, d, outputs: c, by: slopes, strides: (c, 1), onto: share)
    }

    /// Sends ∂R of n rows through the mixing to the gradients of what led there.
    func throughMixing(_ arrays: Arrays, row: Int, count n: Int) {
        guard let step = arrays.step else {
            // Every stream is a copy of x.
            var one: Float = 1
            return gradients.mix(rows: n, d, outputs: 1, by: &one, strides: (0, 0, 0), to: arrays.previous[row])
        }
        let p = sources.count
        sources.dots(rows: n, d, with: gradients, to: products)
        stepGradient(
            rows: n, streams: s, sources: p - 1, before: step.mixing[row], row: step.mixing.row, products: products,
            to: step.weightGradient[row])
        let w = step.weights[row]
        gradients.mix(rows: n, d, outputs: 1, by: w + s + 1, strides: (s * c, c, 0), to: step.branchGradient[row])
        gradients.mix(rows: n, d, outputs: s, by: w + 1, strides: (s * c, 1, c), to: arrays.previous[row])
    }
}

// MARK: Vectors by rows

// Plain pointers into tensors that the caller holds. The loops over panels work on these alone: counting references
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

    /// Lists the vectors of dense arrays [rows, any, d], from a row on.
    init(_ tensors: [Tensor], from row: Int) {
        self.init(capacity: tensors.reduce(0) { $0 + $1.shape[1] })
        for tensor in tensors { add(tensor.pointer, tensor.shape[1], tensor.shape[2], from: row) }
    }

    /// Lists the vectors of an array [rows, count, d], from a row on.
    init(_ first: UnsafePointer<Float>, _ count: Int, _ d: Int, from row: Int = 0) {
        self.init(capacity: count)
        add(first, count, d, from: row)
    }

    /// Lists vectors [count, d] that are the same in all rows.
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

    /// Moves all of them, or the first so many, by some rows.
    func advance(_ rows: Int, first part: Int? = nil) {
        for index in 0..<(part ?? count) { items[index].first += rows * items[index].row }
    }

    /// Computes y[r, t, :] = base[r, t, :] + Σ_s weights[r, s, t] x_s[r, :] for n rows; the weights' strides are from row to row,
    /// source to source and output to output, and y and base (0 where nil) are [n, outputs, d].
    func mix(
        rows n: Int, _ d: Int, outputs: Int, by weights: UnsafePointer<Float>,
        strides: (row: Int, source: Int, output: Int),
        onto base: UnsafePointer<Float>? = nil, to y: UnsafeMutablePointer<Float>
    ) {
        az_mix_rows(n, d, count, outputs, items, weights, strides.row, strides.source, strides.output, base, y)
    }

    /// Mixes all of them as vectors of one row, or the first so many.
    func mix(
        first part: Int, _ d: Int, outputs: Int, by weights: UnsafePointer<Float>, strides: (source: Int, output: Int),
        onto y: UnsafeMutablePointer<Float>
    ) {
        az_mix_rows(1, d, part, outputs, items, weights, 0, strides.source, strides.output, y, y)
    }

    /// Computes y[r, i, j] = ⟨x_i[r, :], other_j[r, :]⟩ for n rows (and the first so many others); squares: ⟨x_i[r, :], x_i[r, :]⟩.
    func dots(
        rows n: Int, _ d: Int, with other: borrowing RowVectors, first part: Int? = nil,
        to y: UnsafeMutablePointer<Float>,
        squares: UnsafeMutablePointer<Float>? = nil
    ) {
        az_dot_rows(n, d, count, part ?? other.count, items, other.items, y, squares)
    }
}
