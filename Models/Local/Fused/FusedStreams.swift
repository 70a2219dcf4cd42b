import CKernels
import Tensors

// Residual streams in few passes over memory. The streams of a place are sums of what came before: of the embedding and
// the sub-layers' outputs, which backward needs anyway. So they are computed where they are read, a few tokens at a time
// in cache, and written to memory only where the sums have become long: once in S + 1 sub-layers.
//
// S streams, P sources, c = S + 2 weights of a stream in a connection: what the sub-layer reads of it, what each of S
// streams gets of it, what it gets of the sub-layer's output; d features

/// The fused form of `PlainStreams`.
enum FusedStreams: Sendable {
    /// Copies of x.
    case start(StreamPlace)
    /// Read by a sub-layer that has not answered yet; the weights of its connection.
    case read(StreamPlace, weights: Tensor)
    /// Answered.
    case between(StreamStep)

    init(_ x: Tensor, streams: Int) { self = .start(StreamPlace(start: x, streams: streams)) }

    func read(_ connection: HyperConnection, shape: [Int]) -> (input: Tensor, rest: FusedStreams) {
        let reading: StreamReading
        switch self {
        case .start(let place): reading = StreamReading(start: place, connection)
        case .between(let step): reading = StreamReading(after: step, connection)
        case .read: fatalError("FusedStreams.read: a sub-layer has not answered")
        }
        let (input, place, weights) = reading.record(shape)
        return (input, .read(place, weights: weights))
    }

    func adding(_ branch: Tensor) -> FusedStreams {
        guard case .read(let place, let weights) = self else { fatalError("FusedStreams.adding: nothing was read") }
        return .between(StreamStep(place, weights: weights, branch))
    }

    func reduced(shape: [Int]) -> Tensor {
        switch self {
        case .start(let place): return place.node * Float(place.streams)
        case .between(let step): return step.reduced(shape)
        case .read: fatalError("FusedStreams.reduced: a sub-layer has not answered")
        }
    }
}

/// The streams between two sub-layers, R_t = Σ_p weights[p, t] · source_p: not in memory themselves.
final class StreamPlace: Sendable {
    let streams: Int
    let rows: Int
    let d: Int
    /// R [rows, S, d] in the graph, where it carries the gradient; it has no values. At the start: x.
    let node: Tensor
    /// Each [rows, any, d]; P vectors a row in all.
    let sources: [Tensor]
    /// [rows, P, S], or [P, S], the same for all rows.
    let weights: Tensor
    /// The number of vectors that the streams are sums of: P.
    let sourceCount: Int

    init(streams: Int, node: Tensor, sources: [Tensor], weights: Tensor) {
        self.streams = streams
        self.node = node
        self.sources = sources
        self.weights = weights
        sourceCount = weights.shape[weights.rank - 2]
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

    /// The weights as kernels take them.
    var rowWeights: RowPointer { RowPointer(weights.pointer, row: weights.rank == 2 ? 0 : sourceCount * streams) }

    /// Rows whose streams stay in the innermost cache, together with the connection's directions: 16 KB.
    var panel: Int { min(64, max(1, (16 << 10) / (4 * streams * d))) }

    private var grain: Int { 16 * panel }

    /// The number of ranges that rows are divided into.
    var ranges: Int { (rows + grain - 1) / grain }

    /// Calls `body` in parallel with ranges of rows and their number; they depend on the shape alone.
    func parallel(_ body: (Range<Int>, Int) -> Void) {
        let grain = grain
        parallelRanges(rows, grain: grain) { body($0, $0.lowerBound / grain) }
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

    /// The weights as kernels take them.
    var rowWeights: RowPointer { RowPointer(weights.pointer, row: place.streams * (place.streams + 2)) }

    /// Makes the next place: its sources are this one's and the branch.
    func next() -> StreamPlace {
        let (s, c, p) = (place.streams, place.streams + 2, place.sourceCount)
        let next = Tensor(uninitialized: [place.rows, p + 1, s])
        let (target, before, connection) = (next.mutablePointer, place.rowWeights, rowWeights)
        place.parallel { range, _ in
            let (row, n) = (range.lowerBound, range.count)
            let (w, y) = (connection[row], target + row * (p + 1) * s)
            az_small_products(n, p, s, s, before[row], before.row, s, 1, w + 1, s * c, c, y, (p + 1) * s, s)
            az_copy_2d(n, s, w + s + 1, s * c, c, y + p * s, (p + 1) * s, 1)
        }
        let source = branch.detached().reshaped([place.rows, 1, place.d])
        return StreamPlace(streams: s, node: place.node, sources: place.sources + [source], weights: next)
    }
}

/// Adds up the gradient of a step's weights [n, S, c] from ∂R after it: `products` are ⟨source_p, ∂R_t⟩ for the P sources
/// before the step and its branch, [n, P + 1, S]. The first column, what the sub-layer reads, is left 0.
func stepGradient(
    rows n: Int, streams s: Int, sources p: Int, before: UnsafePointer<Float>, row: Int, products: UnsafePointer<Float>,
    to gradient: UnsafeMutablePointer<Float>
) {
    let c = s + 2
    az_fill(n * s * c, 0, gradient)
    az_small_products(n, s, p, s, before, row, 1, s, products, (p + 1) * s, s, gradient + 1, s * c, c)
    az_copy_2d(n, s, products + p * s, (p + 1) * s, 1, gradient + s + 1, s * c, c)
}

extension StreamStep {
    /// Adds up the next place's streams, to a shape [..., d]: the streams themselves are not needed for it.
    func reduced(_ shape: [Int]) -> Tensor {
        let next = next()
        let (d, p) = (next.d, next.sourceCount)
        let y = Tensor(uninitialized: shape)
        let sums = next.weights.sum(axes: [-1])
        let (w, target) = (sums.pointer, y.mutablePointer)
        next.parallel { range, _ in
            let row = range.lowerBound
            let sources = RowVectors(next.sources, from: row)
            sources.mix(rows: range.count, d, outputs: 1, by: w + row * p, strides: (p, 1, 1), to: target + row * d)
        }
        return withExtendedLifetime(sums) {
            .record("reducedStreams", y, inputs: [place.node, weights, branch]) { gradient, slots in
                self.reductionBackward(next, gradient.contiguous(), slots)
            }
        }
    }

    /// Computes gradients. Every stream's is the sum's, so that one product a source, and one weight a stream, do for all.
    private func reductionBackward(_ next: StreamPlace, _ gradient: Tensor, _ slots: [InputGradient]) {
        let (s, d, c, p, panel) = (next.streams, next.d, next.streams + 2, next.sourceCount, next.panel)
        let ofStreams = Tensor(uninitialized: [next.rows, s, d])
        let ofWeights = Tensor(uninitialized: [next.rows, s, c])
        let ofBranch = Tensor(uninitialized: branch.shape)
        // [rows, S] and [rows]
        let mixed = weights.detached().sliced(-1, from: 1, to: s + 1).sum(axes: [-1])
        let added = weights.detached().at(-1, s + 1).sum(axes: [-1])
        let (mixing, w, part) = (place.rowWeights, mixed.pointer, added.pointer)
        let streams = MutableRowPointer(ofStreams.mutablePointer, row: s * d)
        let steps = MutableRowPointer(ofWeights.mutablePointer, row: s * c)
        let branches = MutableRowPointer(ofBranch.mutablePointer, row: d)
        next.parallel { range, _ in
            let scratch = Tensor(uninitialized: [panel, p, 1 + s])
            let (products, repeated) = (scratch.mutablePointer, scratch.mutablePointer + panel * p)
            let sources = RowVectors(next.sources, from: range.lowerBound)
            let one = RowVectors(gradient.pointer, 1, d, from: range.lowerBound)
            for row in stride(from: range.lowerBound, to: range.upperBound, by: panel) {
                let n = min(panel, range.upperBound - row)
                sources.dots(rows: n, d, with: one, to: products)
                az_copy_2d(n * p, s, products, 1, 0, repeated, s, 1)
                stepGradient(
                    rows: n, streams: s, sources: p - 1, before: mixing[row], row: mixing.row, products: repeated,
                    to: steps[row])
                one.mix(rows: n, d, outputs: s, by: w + row * s, strides: (s, 0, 1), to: streams[row])
                one.mix(rows: n, d, outputs: 1, by: part + row, strides: (1, 0, 0), to: branches[row])
                sources.advance(n)
                one.advance(n)
            }
            withExtendedLifetime(scratch) {}
        }
        withExtendedLifetime((mixed, added)) {}
        slots[0].add(ofStreams)
        slots[1].add(ofWeights)
        slots[2].add(ofBranch)
    }
}
