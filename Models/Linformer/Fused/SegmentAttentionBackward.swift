import CKernels
import NN
import Tensors

// The gradient of attention by segments, tile by tile of queries, from weights computed again:
//
//     P = exp(S − L)      D = Σ over columns of dO ⊙ O      dP = dO Vᵀ      dS = P ⊙ (dP − D)
//     dV += Pᵀ dO         dQ = σ dS K                       dK += σ dSᵀ Q
//
// A unit adds to the gradients of its own tokens' keys and values in place. What it owes to earlier keys and to slots it
// gathers in memory of its own; that is added afterwards, in order, so the bits do not depend on the threads' timing.

/// The destinations of the inputs' gradients.
struct SegmentGradientSlots {
    let q: InputGradient, k: InputGradient, v: InputGradient, slotKeys: InputGradient, slotValues: InputGradient
    let slotQueries: InputGradient?, windowBias: InputGradient?, slotBias: InputGradient?

    /// - Parameter given: which of slot queries, window bias and slot bias are inputs.
    init(_ slots: [InputGradient], _ given: [Bool]) {
        (q, k, v, slotKeys, slotValues) = (slots[0], slots[1], slots[2], slots[3], slots[4])
        var others = slots.dropFirst(5)
        let optional = given.map { $0 ? others.removeFirst() : nil }
        (slotQueries, windowBias, slotBias) = (optional[0], optional[1], optional[2])
    }

    func bias(_ part: SegmentPart) -> InputGradient? { part == .window ? windowBias : slotBias }
}

struct SegmentAttentionBackward: @unchecked Sendable {
    let attention: SegmentAttention
    let output: HeadRows
    let logSums: Tensor
    let gradient: HeadRows
    /// Gradients of the inputs, in their shapes.
    private let made: [Tensor]
    let dQueries: HeadRows, dSlotQueries: HeadRows?
    let dKeys: HeadRows, dValues: HeadRows, dSlotKeys: HeadRows, dSlotValues: HeadRows

    init(_ attention: SegmentAttention, output: HeadRows, logSums: Tensor, gradient: HeadRows) {
        (self.attention, self.output, self.logSums, self.gradient) = (attention, output, logSums, gradient)
        let inputs = attention.inputs
        let written = [inputs.q, inputs.k, inputs.v].map {
            inputs.n == 0 ? Tensor.zeros($0.shape) : Tensor(uninitialized: $0.shape)
        }
        let added = [inputs.slotKeys, inputs.slotValues].map { Tensor.zeros($0.shape) }
        made = written + added + (inputs.slotQueries.map { [Tensor(uninitialized: $0.shape)] } ?? [])
        let rows = made.map { HeadRows($0, headsFirst: false) }
        (dQueries, dKeys, dValues, dSlotKeys, dSlotValues) = (rows[0], rows[1], rows[2], rows[3], rows[4])
        dSlotQueries = rows.count > 5 ? rows[5] : nil
    }

    func run(_ slots: SegmentGradientSlots) {
        let biasGradients = SegmentBiasGradients(attention, slots)
        var owed = [[SegmentSpill]](repeating: [], count: attention.units.count)
        owed.withUnsafeMutableBufferPointer { owed in
            nonisolated(unsafe) let owed = owed
            parallelFor(attention.units.count) { index in
                let unit = SegmentUnitBackward(self, attention.units[index]) { biasGradients.target($0, unit: index) }
                owed[index] = unit.run()
            }
        }
        for (unit, spills) in zip(attention.units, owed) { for spill in spills { add(spill, unit) } }
        for (slot, gradient) in zip([slots.q, slots.k, slots.v, slots.slotKeys, slots.slotValues], made) {
            slot.add(gradient)
        }
        if let slot = slots.slotQueries { slot.add(made[5]) }
        biasGradients.add(to: slots)
    }

    private func add(_ spill: SegmentSpill, _ unit: SegmentAttention.Unit) {
        let isWindow = spill.part == .window
        let pairs = [
            (spill.keys, isWindow ? dKeys : dSlotKeys), (spill.values, isWindow ? dValues : dSlotValues),
        ]
        for (owed, target) in pairs {
            let row = target.target(unit.batch, unit.head, spill.columns.lowerBound)
            az_add_2d(spill.columns.count, owed.shape[1], owed.pointer, owed.shape[1], 1, row, target.stride, 1)
        }
    }
}

/// The sums that a unit owes to the gradients of keys or slots that are not its own.
struct SegmentSpill {
    let part: SegmentPart
    let columns: Range<Int>
    /// [columns, d] and [columns, e]
    let keys: Tensor, values: Tensor

    init(_ part: SegmentPart, _ columns: Range<Int>, _ inputs: SegmentAttentionInputs) {
        (self.part, self.columns) = (part, columns)
        keys = .zeros([columns.count, inputs.d])
        values = .zeros([columns.count, inputs.e])
    }
}

/// The gradients of the biases' tables, of each unit, and their sums.
struct SegmentBiasGradients: @unchecked Sendable {
    private let attention: SegmentAttention
    /// [units, count], where they are wanted.
    private let tables: [SegmentPart: Tensor]

    init(_ attention: SegmentAttention, _ slots: SegmentGradientSlots) {
        self.attention = attention
        var tables: [SegmentPart: Tensor] = [:]
        for part in [SegmentPart.window, .slots] where slots.bias(part)?.isNeeded == true {
            tables[part] = .zeros([attention.units.count, attention.biases.count(part)])
        }
        self.tables = tables
    }

    /// The table that a unit adds to; nil where nobody wants it.
    func target(_ part: SegmentPart, unit: Int) -> UnsafeMutablePointer<Float>? {
        tables[part].map { $0.mutablePointer + unit * $0.shape[1] }
    }

    func add(to slots: SegmentGradientSlots) {
        for (part, table) in tables {
            let shape = (part == .window ? attention.options.windowBias : attention.options.slotBias)!.shape
            slots.bias(part)?.accumulate { destination, beta in
                if beta == 0 { az_fill(shape[0] * shape[1], 0, destination) }
                for (index, unit) in attention.units.enumerated() {
                    attention.biases.unfold(
                        part, table.pointer + index * table.shape[1], entries: shape[1],
                        into: destination + unit.head % shape[0] * shape[1])
                }
            }
        }
    }
}
