import CKernels
import Tensors

// Axes: S streams, P sources, c = S + 2 weights of a stream in a connection (see HyperConnection.swift), d features.

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
        /// What led to the place; nil at the start.
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
    func throughConnection(_ arrays: Arrays, _ row: Int, _ n: Int, _ share: UnsafeMutablePointer<Float>) {
        let mixing = arrays.mixing
        sources.mix(n, d, outputs: s, mixing[row], (mixing.row, s, 1), streams)
        // ∂w: from what came after, and of the sub-layer's input (the first of the addends).
        vectors.dots(n, d, addends, first: 1, products)
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
        addends.mix(n, d, outputs: s, parts, (width, s, 1), onto: arrays.streamGradient?[row], gradient)
        allVectors.mix(first: n * s, d, outputs: c, slopes, (c, 1), onto: share)
    }

    /// From ∂R of n rows to the gradients of what led there.
    func throughMixing(_ arrays: Arrays, _ row: Int, _ n: Int) {
        guard let step = arrays.step else {
            // Every stream is a copy of x.
            var one: Float = 1
            return gradients.mix(n, d, outputs: 1, &one, (0, 0, 0), arrays.previous[row])
        }
        let p = sources.count
        sources.dots(n, d, gradients, products)
        stepGradient(
            n, s, p - 1, before: step.mixing[row], row: step.mixing.row, products: products, step.weightGradient[row])
        let w = step.weights[row]
        gradients.mix(n, d, outputs: 1, w + s + 1, (s * c, c, 0), step.branchGradient[row])
        gradients.mix(n, d, outputs: s, w + 1, (s * c, 1, c), arrays.previous[row])
    }
}
