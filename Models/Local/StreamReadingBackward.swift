import CKernels
import Tensors

// Axes: S streams, P sources, c = S + 2 weights of a stream in a connection (see HyperConnection.swift), d features.

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
                work.throughConnection(arrays, row, n, share + index * width)
                work.throughMixing(arrays, row, n)
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
