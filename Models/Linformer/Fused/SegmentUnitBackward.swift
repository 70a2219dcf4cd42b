import CKernels
import NN
import Tensors

/// The backward pass of one unit of queries, with its buffers.
final class SegmentUnitBackward {
    private let pass: SegmentAttentionBackward
    private let attention: SegmentAttention
    private let unit: SegmentAttention.Unit
    private let bias: (SegmentPart) -> UnsafeMutablePointer<Float>?
    private let tile: SegmentTile
    private let windowValues: SegmentColumns, slotValues: SegmentColumns
    private let memory: Tensor
    /// [rows, columns] and [rows]
    private let dScores: UnsafeMutablePointer<Float>, means: UnsafeMutablePointer<Float>
    /// The keys whose gradients are written in place: the unit's own, and for a sequence's first unit those before its
    /// first query.
    private let own: Range<Int>
    private let earlier: SegmentSpill, slots: SegmentSpill

    /// - Parameter bias: where the gradient of a bias's table is added to; nil where nobody wants it.
    init(
        _ pass: SegmentAttentionBackward, _ unit: SegmentAttention.Unit,
        _ bias: @escaping (SegmentPart) -> UnsafeMutablePointer<Float>?
    ) {
        (self.pass, self.unit, self.bias) = (pass, unit, bias)
        attention = pass.attention
        tile = SegmentTile(attention, unit)
        let (rows, e) = (SegmentAttention.rows, attention.inputs.e)
        let (window, slotsSeen) = (attention.seen(.window, unit.queries), attention.seen(.slots, unit.queries))
        windowValues = SegmentColumns(attention.values, unit, window, width: e)
        slotValues = SegmentColumns(attention.slotValues, unit, slotsSeen, width: e)
        memory = Tensor(uninitialized: [rows * (tile.columns + 1)])
        dScores = memory.mutablePointer
        means = dScores + rows * tile.columns
        let isFirst = unit.queries.lowerBound == 0
        own = (isFirst ? 0 : attention.ownKey(unit.queries.lowerBound))..<attention.ownKey(unit.queries.upperBound)
        earlier = SegmentSpill(.window, min(window.lowerBound, own.lowerBound)..<own.lowerBound, attention.inputs)
        slots = SegmentSpill(.slots, slotsSeen, attention.inputs)
    }

    /// - Returns: what is owed to keys that are not the unit's own, and to slots.
    func run() -> [SegmentSpill] {
        for key in own {
            az_fill(attention.inputs.d, 0, pass.dKeys.target(unit.batch, unit.head, key))
            az_fill(attention.inputs.e, 0, pass.dValues.target(unit.batch, unit.head, key))
        }
        attention.forEachTile(unit, add)
        return [earlier, slots].filter { !$0.columns.isEmpty }
    }

    private func add(_ queries: Range<Int>) {
        let (first, count, e) = (queries.lowerBound, queries.count, attention.inputs.e)
        let logSums = pass.logSums.pointer + attention.sequence(unit) * attention.inputs.n + first
        let dOutput = SegmentRows(
            first: pass.gradient.row(unit.batch, unit.head, first), stride: pass.gradient.stride)
        az_row_dots(
            count, e, dOutput.first, dOutput.stride, pass.output.row(unit.batch, unit.head, first),
            pass.output.stride, means)
        clearQueryGradients(queries)
        tile.forEachChunk(queries) { chunk in
            tile.score(queries, chunk)
            tile.multiply(
                dOutput, by: chunk.part == .window ? windowValues : slotValues, of: chunk, rows: count, width: e,
                into: dScores)
            tile.softmaxBackward(
                queries, chunk, logSums: logSums, means: means, gradients: dScores, bias: bias(chunk.part))
            addKeyGradients(queries, chunk, dOutput)
            addQueryGradients(queries, chunk)
        }
    }

    private func clearQueryGradients(_ queries: Range<Int>) {
        for rows in [pass.dQueries, pass.dSlotQueries] {
            guard let rows else { continue }
            for query in queries { az_fill(attention.inputs.d, 0, rows.target(unit.batch, unit.head, query)) }
        }
    }

    /// dQ += σ dS K
    private func addQueryGradients(_ queries: Range<Int>, _ chunk: SegmentChunk) {
        let rows = chunk.part == .slots ? pass.dSlotQueries ?? pass.dQueries : pass.dQueries
        tile.apply(
            dScores, chunk.keys, rows: queries.count, width: attention.inputs.d, factor: attention.options.scale,
            adds: true,
            into: rows.target(unit.batch, unit.head, queries.lowerBound), stride: rows.stride)
    }

    /// dV += Pᵀ dO and dK += σ dSᵀ Q, in pieces that have one place.
    private func addKeyGradients(_ queries: Range<Int>, _ chunk: SegmentChunk, _ dOutput: SegmentRows) {
        for piece in pieces(chunk) where !piece.columns.isEmpty {
            let first = chunk.columns.lowerBound
            let columns = piece.columns.lowerBound - first..<piece.columns.upperBound - first
            tile.addTransposed(
                tile.scores, dOutput, rows: queries.count, for: columns, width: attention.inputs.e, to: piece.values,
                stride: piece.valueStride)
            tile.addTransposed(
                dScores, chunk.queries, rows: queries.count, for: columns, width: attention.inputs.d,
                factor: attention.options.scale, to: piece.keys, stride: piece.keyStride)
        }
    }

    /// Columns of a chunk and where their gradients are gathered.
    private struct Piece {
        let columns: Range<Int>
        let keys: UnsafeMutablePointer<Float>, values: UnsafeMutablePointer<Float>
        let keyStride: Int, valueStride: Int
    }

    private func pieces(_ chunk: SegmentChunk) -> [Piece] {
        if chunk.part == .slots { return [piece(chunk.columns, slots)] }
        let mine = chunk.columns.clamped(to: own)
        let inPlace = Piece(
            columns: mine, keys: pass.dKeys.target(unit.batch, unit.head, mine.lowerBound),
            values: pass.dValues.target(unit.batch, unit.head, mine.lowerBound), keyStride: pass.dKeys.stride,
            valueStride: pass.dValues.stride)
        return [piece(chunk.columns.clamped(to: earlier.columns), earlier), inPlace]
    }

    private func piece(_ columns: Range<Int>, _ spill: SegmentSpill) -> Piece {
        let (row, d, e) = (columns.lowerBound - spill.columns.lowerBound, attention.inputs.d, attention.inputs.e)
        return Piece(
            columns: columns, keys: spill.keys.mutablePointer + row * d, values: spill.values.mutablePointer + row * e,
            keyStride: d, valueStride: e)
    }
}
