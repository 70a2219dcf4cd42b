import CKernels
import Tensors

// Axes: S streams, P sources, c = S + 2 weights of a stream in a connection (see HyperConnection.swift), d features.

/// A sub-layer reads the streams (2409.19606, equations 2 and 10–13, appendix J algorithm 2): one operation that
/// finishes the previous sub-layer's mixing and, a few rows at a time, computes the connection's weights and the
/// sub-layer's input from it.
///
///     R = previous mixing              a_s,c = ⟨R_s / max(|R_s|, 1e-12), direction_c⟩
///     w = tanh(a) gain + shift         input = Σ_s w_s,0 R_s
///
/// Outputs for the graph: R (without values, see `StreamPlace`), w and the input. Backward computes R again.
final class StreamReading: Sendable {
    /// What leads here; nil at the start.
    let before: StreamStep?
    /// The streams as sums of sources.
    let place: StreamPlace
    let connection: HyperConnection
    let tables: ConnectionTables
    /// a: [rows, S, c]
    let arguments: Tensor
    /// 1 / max(|R_s|, 1e-12): [rows, S], negative in clamped rows.
    let inverse: Tensor
    /// w: [rows, S, c]
    let weights: Tensor

    /// Longer sums are written to memory. Reading a stored R costs S vectors a row, and writing it S (or twice that).
    private var isLong: Bool { place.sourceCount > 2 * place.streams }

    convenience init(start place: StreamPlace, _ connection: HyperConnection) { self.init(nil, place, connection) }

    convenience init(after step: StreamStep, _ connection: HyperConnection) { self.init(step, step.next(), connection) }

    private init(_ before: StreamStep?, _ place: StreamPlace, _ connection: HyperConnection) {
        require(
            connection.streams == place.streams && connection.dimension == place.d,
            "ResidualStreams.read: a connection of \(connection.streams) streams of \(connection.dimension) features "
                + "for \(place.streams) of \(place.d)")
        self.before = before
        self.place = place
        self.connection = connection
        tables = connection.tables()
        arguments = Tensor(uninitialized: [place.rows, place.streams, connection.width])
        inverse = Tensor(uninitialized: [place.rows, place.streams])
        weights = Tensor(uninitialized: [place.rows, place.streams, connection.width])
    }

    /// The sub-layer's input, of a shape given, and what `StreamStep` needs.
    func record(_ shape: [Int]) -> (input: Tensor, place: StreamPlace, weights: Tensor) {
        let (rows, s, d) = (place.rows, place.streams, place.d)
        let input = Tensor(uninitialized: shape)
        let stored = isLong ? Tensor(uninitialized: [rows, s, d]) : nil
        forward(input.mutablePointer, stored?.mutablePointer)
        func next(_ node: Tensor) -> StreamPlace {
            stored.map { StreamPlace(stored: $0, node: node) }
                ?? StreamPlace(streams: s, node: node, sources: place.sources, weights: place.weights)
        }
        // Listing all inputs takes a while when there is one row; where a trained tensor is not recorded, nothing is.
        guard Tensor.records([connection.staticAlpha.value]) else { return (input, next(place.node), weights) }
        let previous = before.map { [$0.place.node, $0.weights, $0.branch] } ?? [place.node]
        let node = Tensor(Float.nan).expanded(to: [rows, s, d])
        let outputs = Tensor.record(
            "hyperConnection", outputs: [node, weights, input], inputs: previous + connection.inputs
        ) {
            StreamReadingBackward(self, $0, $1).run()
        }
        return (outputs[2], next(outputs[0]), outputs[1])
    }

    private func forward(_ input: UnsafeMutablePointer<Float>, _ stored: UnsafeMutablePointer<Float>?) {
        let (s, d, c, panel) = (place.streams, place.d, connection.width, place.panel)
        let (mixing, directions) = (place.rowWeights, tables.directions.pointer)
        let (gain, shift) = (tables.gain.pointer, tables.shift.pointer)
        let arguments = MutableRowPointer(arguments.mutablePointer, row: s * c)
        let weights = MutableRowPointer(weights.mutablePointer, row: s * c)
        let inverse = MutableRowPointer(inverse.mutablePointer, row: s)
        place.parallel { range, _ in
            let height = min(panel, range.count)
            let scratch = Tensor(uninitialized: [height, stored == nil ? s * d + s : s])
            let squares = scratch.mutablePointer
            var streams = stored.map { $0 + range.lowerBound * s * d } ?? squares + height * s
            let sources = RowVectors(place.sources, from: range.lowerBound)
            let vectors = RowVectors(streams, s, d)
            let common = RowVectors(common: directions, c, d)
            for row in stride(from: range.lowerBound, to: range.upperBound, by: panel) {
                let n = min(panel, range.upperBound - row)
                sources.mix(n, d, outputs: s, mixing[row], (mixing.row, s, 1), streams)
                vectors.dots(n, d, common, arguments[row], squares: squares)
                az_cosine_weights_forward(
                    n, s, c, smallestLength, squares, gain, shift, arguments[row], inverse[row], weights[row])
                vectors.mix(n, d, outputs: 1, weights[row], (s * c, c, 1), input + row * d)
                sources.advance(n)
                if stored != nil {
                    streams += n * s * d
                    vectors.advance(n)
                }
            }
            withExtendedLifetime(scratch) {}
        }
    }
}

/// Shorter vectors are not made longer by the norm.
private let smallestLength: Float = 1e-12
