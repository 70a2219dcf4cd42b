import CKernels
import Tensors

// Axes: S streams, P sources, c = S + 2 weights of a stream in a connection (see HyperConnection.swift), d features.

/// The gradient of `StreamReading`, a few rows at a time. R is computed again from its sources; the incoming ∂R is then
/// completed by what went through this connection, and sent through the previous sub-layer's mixing:
///
///     ∂w_s,0 += ⟨R_s, ∂input⟩      ∂a = ∂w gain (1 − tanh² a)
///     ∂R_s += w_s,0 ∂input + Σ_c ∂a_s,c (direction_c − a_s,c R_s/|R_s|) / |R_s|      ∂direction_c = Σ ∂a_s,c R_s/|R_s|
///     ∂R⁻_s = Σ_t w⁻_s,t+1 ∂R_t    ∂branch = Σ_t w⁻_t,S+1 ∂R_t    ∂w⁻ from ⟨source_p, ∂R_t⟩
final class StreamReadingBackward {
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

    private var place: StreamPlace { reading.place }
    private var s: Int { reading.place.streams }
    private var d: Int { reading.place.d }
    private var c: Int { reading.connection.width }

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
        place.parallel { backward($0, $1) }
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

    private func backward(_ range: Range<Int>, _ index: Int) {
        let work = Workspace(reading, rows: min(place.panel, range.count), first: range.lowerBound, input)
        let share = shares.mutablePointer + index * shares.shape[1]
        place.panels(range) { row, n in
            throughConnection(row, n, work, share)
            throughMixing(row, n, work)
            work.advance(n)
        }
    }

    /// Completes ∂R of a panel, and adds to the gradients of the tables.
    private func throughConnection(_ row: Int, _ n: Int, _ work: Workspace, _ share: UnsafeMutablePointer<Float>) {
        let w = reading.weights.pointer + row * s * c
        let mixing = place.weights.pointer + row * place.weightStride
        az_mix_rows(
            n, d, work.sources.count, s, work.sources.items, mixing, place.weightStride, s, 1, nil, work.streams)
        az_dot_rows(n, d, s, 1, work.vectors.items, work.input, work.products, nil)
        if let weights {
            az_scale(n * s * c, 1, weights.pointer + row * s * c, work.weights)
        } else {
            az_fill(n * s * c, 0, work.weights)
        }
        az_copy_2d(n * s, 1, work.products, 1, 1, work.weights, c, 1)
        // ∂R's parts: of the input, of the directions, and of R itself (its length).
        let width = (1 + c + s) * s
        az_cosine_weights_backward(
            n, s, c, reading.arguments.pointer + row * s * c, reading.inverse.pointer + row * s,
            reading.tables.gain.pointer, work.weights, work.slopes, work.parts + s, width, share + c * d,
            share + c * d + s * c)
        az_copy_2d(n, s, w, s * c, c, work.parts, width, 1)
        let incoming = streams.map { $0.pointer + row * s * d }
        az_mix_rows(n, d, 1 + c + s, s, work.addends.items, work.parts, width, s, 1, incoming, work.gradient)
        az_mix_rows(1, d, n * s, c, work.allVectors.items, work.slopes, 0, c, 1, share, share)
    }

    /// From ∂R of a panel to the gradients of what led to it.
    private func throughMixing(_ row: Int, _ n: Int, _ work: Workspace) {
        let vectors = work.gradients.items
        guard let before = reading.before, let previousWeights, let branch else {
            var one: Float = 1
            return az_mix_rows(n, d, s, 1, vectors, &one, 0, 0, 0, nil, previous.mutablePointer + row * d)
        }
        az_dot_rows(n, d, work.sources.count, s, work.sources.items, vectors, work.products, nil)
        before.weightGradients(row, n, work.products, previousWeights.mutablePointer + row * s * c)
        let w = before.weights.pointer + row * s * c
        az_mix_rows(n, d, s, 1, vectors, w + s + 1, s * c, c, 0, nil, branch.mutablePointer + row * d)
        az_mix_rows(n, d, s, s, vectors, w + 1, s * c, 1, c, nil, previous.mutablePointer + row * s * d)
    }
}

/// What a thread needs for a panel of rows.
private final class Workspace {
    /// P vectors a row.
    var sources: RowVectors
    /// ∂input, the directions, and R.
    var addends: RowVectors
    /// R: S vectors a row, and the same as many rows of one.
    let vectors: RowVectors
    let allVectors: RowVectors
    /// ∂R: S vectors a row.
    let gradients: RowVectors

    private let memory: Tensor
    let streams: UnsafeMutablePointer<Float>
    let gradient: UnsafeMutablePointer<Float>
    let weights: UnsafeMutablePointer<Float>
    let slopes: UnsafeMutablePointer<Float>
    let parts: UnsafeMutablePointer<Float>
    let products: UnsafeMutablePointer<Float>

    init(_ reading: StreamReading, rows: Int, first row: Int, _ input: Tensor) {
        let place = reading.place
        let (s, d, c, p) = (place.streams, place.d, reading.connection.width, place.sourceCount)
        let counts = [s * d, s * d, s * c, s * c, (1 + c + s) * s, p * s].map { rows * $0 }
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
        addends = RowVectors(input.pointer, 1, d, from: row)
        addends.addCommon(reading.tables.directions.pointer, c, d)
        addends.add(streams, s, d)
    }

    /// ∂input, as kernels take it: the first of `addends`.
    var input: [az_vectors] { addends.items }

    func advance(_ rows: Int) {
        sources.advance(rows)
        addends.advance(rows, only: 0..<1)
    }
}
