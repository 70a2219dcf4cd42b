import CKernels
import Tensors

// S streams, P sources, c = S + 2 weights of a stream in a connection (see FusedStreams.swift), d features

/// The reading of the streams by a sub-layer (2409.19606, equations 2 and 10–13, appendix J algorithm 2): one operation that
/// finishes the previous sub-layer's mixing and, a few rows at a time, computes the connection's weights and the
/// sub-layer's input from it.
///
///     R = previous mixing              a_s,c = ⟨R_s / max(|R_s|, 1e-12), direction_c⟩
///     w = tanh(a) gain + shift         input = Σ_s w_s,0 R_s
///
/// Outputs for the graph: R (without values, see `StreamPlace`), w and the input. Backward computes R again.
final class StreamReading: Sendable {
    /// The step that leads here; nil at the start.
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
        self.before = before
        self.place = place
        self.connection = connection
        tables = connection.tables()
        arguments = Tensor(uninitialized: [place.rows, place.streams, connection.width])
        inverse = Tensor(uninitialized: [place.rows, place.streams])
        weights = Tensor(uninitialized: [place.rows, place.streams, connection.width])
    }

    /// Computes the sub-layer's input, of a shape given, and what `StreamStep` needs.
    func record(_ shape: [Int]) -> (input: Tensor, place: StreamPlace, weights: Tensor) {
        let (rows, s, d) = (place.rows, place.streams, place.d)
        let input = Tensor(uninitialized: shape)
        let stored = isLong ? Tensor(uninitialized: [rows, s, d]) : nil
        forward(input.mutablePointer, stored?.mutablePointer)
        func next(_ node: Tensor) -> StreamPlace {
            stored.map { StreamPlace(stored: $0, node: node) }
                ?? StreamPlace(streams: s, node: node, sources: place.sources, weights: place.weights)
        }
        // Listing all inputs takes a while when there is one row.
        guard Tensor.isRecording else { return (input, next(place.node), weights) }
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
                sources.mix(rows: n, d, outputs: s, by: mixing[row], strides: (mixing.row, s, 1), to: streams)
                vectors.dots(rows: n, d, with: common, to: arguments[row], squares: squares)
                az_cosine_weights_forward(
                    n, s, c, smallestLength, squares, gain, shift, arguments[row], inverse[row], weights[row])
                vectors.mix(rows: n, d, outputs: 1, by: weights[row], strides: (s * c, c, 1), to: input + row * d)
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

/// The gradient of `StreamReading`, a few rows at a time. R is computed again from its sources; the incoming ∂R is then
/// completed by what went through this connection, and sent through the previous sub-layer's mixing:
///
///     ∂w_s,0 += ⟨R_s, ∂input⟩      ∂a = ∂w gain (1 − tanh² a)
///     ∂R_s += w_s,0 ∂input + Σ_c ∂a_s,c (direction_c − a_s,c R_s/|R_s|) / |R_s|      ∂direction_c = Σ ∂a_s,c R_s/|R_s|
///     ∂R⁻_s = Σ_t w⁻_s,t+1 ∂R_t    ∂branch = Σ_t w⁻_t,S+1 ∂R_t    ∂w⁻ from ⟨source_p, ∂R_t⟩
struct StreamReadingBackward {
    private let reading: StreamReading
    private let slots: [InputGradient]
    /// ∂R from the next sub-layer: [rows, S, d]. Nothing else holds it (only a `StreamReading` or the last sum adds to
    /// this gradient), so ∂R⁻ is written over it.
    private let streams: Tensor?
    /// ∂w from the next sub-layer: [rows, S, c].
    private let weights: Tensor?
    /// ∂input: [..., d]
    private let input: Tensor
    /// ∂R⁻: [rows, S, d]; at the start ∂x.
    private let previous: Tensor
    /// ∂w⁻: [rows, S, c]
    private let previousWeights: Tensor?
    private let branch: Tensor?
    /// ∂direction, ∂gain and ∂shift: for each range of rows [c · d + 2 · S · c].
    private let shares: Tensor

    init(_ reading: StreamReading, _ gradients: [Tensor?], _ slots: [InputGradient]) {
        let place = reading.place
        let (s, d, c) = (place.streams, place.d, reading.connection.width)
        self.reading = reading
        self.slots = slots
        streams = gradients[0]?.contiguous()
        weights = gradients[1]?.contiguous()
        input = gradients[2]?.contiguous() ?? .zeros([place.rows, d])
        if let before = reading.before {
            previous = streams ?? Tensor(uninitialized: [place.rows, s, d])
            previousWeights = Tensor(uninitialized: [place.rows, s, c])
            branch = Tensor(uninitialized: before.branch.shape)
        } else {
            previous = Tensor(uninitialized: place.node.shape)
            (previousWeights, branch) = (nil, nil)
        }
        shares = .zeros([place.ranges, c * d + 2 * s * c])
    }

    func run() {
        let (place, c) = (reading.place, reading.connection.width)
        let (s, d, panel) = (place.streams, place.d, place.panel)
        let (arrays, share, width) = (arrays, shares.mutablePointer, shares.shape[1])
        place.parallel { range, index in
            let work = StreamPanel(reading, min(panel, range.count), from: range.lowerBound, input.pointer)
            for row in stride(from: range.lowerBound, to: range.upperBound, by: panel) {
                let n = min(panel, range.upperBound - row)
                work.throughConnection(arrays, row: row, count: n, share: share + index * width)
                work.throughMixing(arrays, row: row, count: n)
                work.advance(n)
            }
        }
        slots[0].add(previous)
        if let previousWeights, let branch {
            slots[1].add(previousWeights)
            slots[2].add(branch)
        }
        // Ranges are added in their order: the same bits for any timing of the threads.
        let total = shares.sum(axes: [0])
        let tables = ConnectionTables(
            directions: total.sliced(0, to: c * d).reshaped([c, d]),
            gain: total.sliced(0, from: c * d, to: c * d + s * c).reshaped([s, c]),
            shift: total.sliced(0, from: c * d + s * c).reshaped([s, c]))
        reading.connection.addGradients(tables, to: Array(slots.suffix(reading.connection.inputs.count)))
    }

    /// Everything by rows.
    private var arrays: StreamPanel.Arrays {
        let place = reading.place
        let (s, d, c) = (place.streams, place.d, reading.connection.width)
        var step: StreamPanel.Arrays.Step?
        if let before = reading.before, let previousWeights, let branch {
            step = .init(
                mixing: before.place.rowWeights, weights: before.rowWeights,
                weightGradient: MutableRowPointer(previousWeights.mutablePointer, row: s * c),
                branchGradient: MutableRowPointer(branch.mutablePointer, row: d))
        }
        return StreamPanel.Arrays(
            mixing: place.rowWeights, weights: RowPointer(reading.weights.pointer, row: s * c),
            arguments: RowPointer(reading.arguments.pointer, row: s * c),
            inverse: RowPointer(reading.inverse.pointer, row: s), gain: reading.tables.gain.pointer,
            streamGradient: streams.map { RowPointer($0.pointer, row: s * d) },
            weightGradient: weights.map { RowPointer($0.pointer, row: s * c) },
            previous: MutableRowPointer(previous.mutablePointer, row: step == nil ? d : s * d), step: step)
    }
}

// MARK: The connection as kernels take it

/// A connection's parameters, in the layout of the weights [S, c].
struct ConnectionTables: Sendable {
    /// √d (gamma + 1) ⊙ F with a row for each weight, [c, d]: the weights are tanh(⟨R/|R|, direction⟩) · gain + shift.
    let directions: Tensor
    /// [S, c]
    let gain: Tensor
    /// [S, c]
    let shift: Tensor
}

extension HyperConnection {
    /// The number of weights of a stream.
    var width: Int { streams + 2 }

    func tables() -> ConnectionTables {
        let (s, d, c) = (streams, dimension, width)
        let directions = Tensor(uninitialized: [c, d])
        let place = directions.mutablePointer
        az_copy_2d(s + 1, d, dynamicAlpha.value.pointer, 1, s + 1, place, d, 1)
        az_copy_2d(1, d, dynamicBeta.value.pointer, 0, 1, place + (s + 1) * d, d, 1)
        let scale = normScale()
        az_multiply(c, d, place, d, 1, scale.pointer, 0, 1, place)
        let gain = Tensor(repeating: dynamicAlphaScale.value.item, shape: [s, c])
        az_copy_2d(s, 1, dynamicBetaScale.value.pointer, 0, 0, gain.mutablePointer + s + 1, c, 1)
        let shift = Tensor(uninitialized: [s, c])
        az_copy_2d(s, s + 1, staticAlpha.value.pointer, s + 1, 1, shift.mutablePointer, c, 1)
        az_copy_2d(s, 1, staticBeta.value.pointer, 1, 1, shift.mutablePointer + s + 1, c, 1)
        return ConnectionTables(directions: directions, gain: gain, shift: shift)
    }

    /// √d (gamma + 1), [d].
    private func normScale() -> Tensor {
        let scale = Tensor(uninitialized: [dimension])
        az_add_scalar(dimension, 1, gamma.value.pointer, scale.mutablePointer)
        az_scale(dimension, Float(dimension).squareRoot(), scale.pointer, scale.mutablePointer)
        return scale
    }

    /// The trained tensors, in the order of `addGradients`.
    var inputs: [Tensor] {
        [staticAlpha, dynamicAlpha, dynamicAlphaScale, staticBeta, dynamicBeta, dynamicBetaScale, gamma].map(\.value)
    }

    /// Adds the gradient of the tables to that of the parameters: `slots` are those of `inputs`.
    func addGradients(_ tables: ConnectionTables, to slots: [InputGradient]) {
        withoutGradients {
            let s = streams
            let directions = tables.directions * normScale()
            let (alpha, beta) = (directions.sliced(0, to: s + 1), directions.at(0, s + 1))
            slots[0].add(tables.shift.sliced(1, to: s + 1).contiguous())
            slots[1].add(alpha.transposed().contiguous())
            slots[2].add(tables.gain.sliced(1, to: s + 1).sum())
            slots[3].add(tables.shift.at(1, s + 1).contiguous())
            slots[4].add(beta.contiguous())
            slots[5].add(tables.gain.at(1, s + 1).sum())
            let ofAlpha = (tables.directions.sliced(0, to: s + 1) * dynamicAlpha.value.transposed()).sum(axes: [0])
            let ofBeta = tables.directions.at(0, s + 1) * dynamicBeta.value
            slots[6].add((ofAlpha + ofBeta) * Float(dimension).squareRoot())
        }
    }
}
