import CKernels
import Tensors

// Axes: S streams, P sources, c = S + 2 weights of a stream in a connection (see HyperConnection.swift), d features.

/// The streams between two sub-layers, R_t = Σ_p weights[p, t] · source_p: not in memory themselves.
final class StreamPlace: Sendable {
    let streams: Int
    let rows: Int
    let d: Int
    /// Stands for R [rows, S, d] in the graph, where it carries the gradient; it has no values. At the start: x.
    let node: Tensor
    /// Each [rows, any, d]; P vectors a row in all.
    let sources: [Tensor]
    /// [rows, P, S], or [P, S], the same for all rows.
    let weights: Tensor

    /// The number of vectors that the streams are sums of.
    var sourceCount: Int { weights.shape[weights.rank - 2] }
    /// From one row's weights to the next one's.
    var weightStride: Int { weights.rank == 2 ? 0 : sourceCount * streams }

    init(streams: Int, node: Tensor, sources: [Tensor], weights: Tensor) {
        self.streams = streams
        self.node = node
        self.sources = sources
        self.weights = weights
        d = sources[0].shape[2]
        rows = sources[0].shape[0]
    }

    /// Copies of x: [..., d].
    convenience init(start x: Tensor, streams: Int) {
        let node = x.contiguous()
        let source = node.detached().reshaped([x.count / x.shape.last!, 1, x.shape.last!])
        self.init(streams: streams, node: node, sources: [source], weights: .ones([1, streams]))
    }

    /// Streams that are in memory, [rows, S, d].
    convenience init(stored: Tensor, node: Tensor) {
        let streams = stored.shape[1]
        let identity = Tensor.zeros([streams, streams])
        for stream in 0..<streams { identity.mutablePointer[stream * (streams + 1)] = 1 }
        self.init(streams: streams, node: node, sources: [stored], weights: identity)
    }

    /// Rows whose streams stay in the innermost cache, together with the connection's directions: 16 KB.
    var panel: Int { min(64, max(1, (16 << 10) / (4 * streams * d))) }

    /// Calls `body` in parallel with ranges of rows and their number; they depend on the shape alone.
    func parallel(_ body: (Range<Int>, Int) -> Void) {
        parallelRanges(rows, grain: grain) { body($0, $0.lowerBound / grain) }
    }
    var ranges: Int { (rows + grain - 1) / grain }
    private var grain: Int { 16 * panel }

    /// Calls `body` with the first row and the number of rows of each panel of a range.
    func panels(_ range: Range<Int>, _ body: (Int, Int) -> Void) {
        for row in stride(from: range.lowerBound, to: range.upperBound, by: panel) {
            body(row, min(panel, range.upperBound - row))
        }
    }
}

/// From one place to the next: the streams are mixed, and a sub-layer's output is added to each.
final class StreamStep: Sendable {
    let place: StreamPlace
    /// The connection's weights [rows, S, c]: columns 1 … S mix the streams, the last one is the output's part.
    let weights: Tensor
    /// [..., d]
    let branch: Tensor

    init(_ place: StreamPlace, weights: Tensor, _ branch: Tensor) {
        self.place = place
        self.weights = weights
        self.branch = branch.contiguous()
    }

    /// The next place: its sources are this one's and the branch.
    func next() -> StreamPlace {
        let (s, c, p) = (place.streams, place.streams + 2, place.sourceCount)
        let next = Tensor(uninitialized: [place.rows, p + 1, s])
        place.parallel { range, _ in
            let (row, n) = (range.lowerBound, range.count)
            let connection = weights.pointer + row * s * c
            let target = next.mutablePointer + row * (p + 1) * s
            let before = place.weights.pointer + row * place.weightStride
            az_small_products(
                n, p, s, s, before, place.weightStride, s, 1, connection + 1, s * c, c, target, (p + 1) * s, s)
            az_copy_2d(n, s, connection + s + 1, s * c, c, target + p * s, (p + 1) * s, 1)
        }
        let source = branch.detached().reshaped([place.rows, 1, place.d])
        return StreamPlace(streams: s, node: place.node, sources: place.sources + [source], weights: next)
    }

    /// From ∂R' to the gradients of the mixing weights. products: ⟨source_p, ∂R'_t⟩ for the P + 1 sources of the next
    /// place, [n, P + 1, S]; gradient: [n, S, c], whose first column (what the sub-layer reads) is left 0.
    func weightGradients(
        _ row: Int, _ n: Int, _ products: UnsafePointer<Float>, _ gradient: UnsafeMutablePointer<Float>
    ) {
        let (s, c, p) = (place.streams, place.streams + 2, place.sourceCount)
        let before = place.weights.pointer + row * place.weightStride
        az_fill(n * s * c, 0, gradient)
        az_small_products(
            n, s, p, s, before, place.weightStride, 1, s, products, (p + 1) * s, s, gradient + 1, s * c, c)
        az_copy_2d(n, s, products + p * s, (p + 1) * s, 1, gradient + s + 1, s * c, c)
    }
}

/// One vector for each row of several arrays, as kernels take them, from some row on.
struct RowVectors {
    private(set) var items: [az_vectors] = []
    var count: Int { items.count }

    /// Of dense arrays [rows, any, d], from a row on.
    init(_ tensors: [Tensor], from row: Int) {
        for tensor in tensors { add(tensor.pointer, tensor.shape[1], tensor.shape[2], from: row) }
    }

    /// Of an array [rows, count, d].
    init(_ first: UnsafePointer<Float>, _ count: Int, _ d: Int, from row: Int = 0) { add(first, count, d, from: row) }

    /// Vectors [count, d] that are the same in all rows.
    init(common first: UnsafePointer<Float>, _ count: Int, _ d: Int) { addCommon(first, count, d) }

    mutating func add(_ first: UnsafePointer<Float>, _ count: Int, _ d: Int, from row: Int = 0) {
        for index in 0..<count { items.append(az_vectors(first: first + (row * count + index) * d, row: count * d)) }
    }

    mutating func addCommon(_ first: UnsafePointer<Float>, _ count: Int, _ d: Int) {
        for index in 0..<count { items.append(az_vectors(first: first + index * d, row: 0)) }
    }

    /// Goes on by some rows.
    mutating func advance(_ rows: Int, only part: Range<Int>? = nil) {
        for index in part ?? items.indices { items[index].first += rows * items[index].row }
    }
}
