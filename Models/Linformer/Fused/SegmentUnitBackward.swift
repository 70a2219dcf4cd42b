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
        tile = SegmentTile(attention)
        let rows = SegmentAttention.rows
        memory = Tensor(uninitialized: [rows * (tile.columns + 1)])
        dScores = memory.mutablePointer
        means = dScores + rows * tile.columns
        let isFirst = unit.queries.lowerBound == 0
        own = (isFirst ? 0 : attention.ownKey(unit.queries.lowerBound))..<attention.ownKey(unit.queries.upperBound)
        let seen = attention.seen(.window, unit.queries)
        earlier = SegmentSpill(.window, min(seen.lowerBound, own.lowerBound)..<own.lowerBound, attention.inputs)
        slots = SegmentSpill(.slots, attention.seen(.slots, unit.queries), attention.inputs)
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
        let dOutput = BLAS.Operand(pass.gradient.row(unit.batch, unit.head, first), stride: pass.gradient.stride)
        az_row_dots(
            count, e, dOutput.pointer, dOutput.stride, pass.output.row(unit.batch, unit.head, first),
            pass.output.stride, means)
        clearQueryGradients(queries)
        tile.forEachChunk(unit, queries) { chunk in
            tile.score(queries, chunk)
            BLAS.multiply(
                count, chunk.columns.count, e, dOutput,
                .init(chunk.values.pointer, stride: chunk.values.stride, transposed: true), dScores,
                stride: tile.columns)
            tile.softmaxBackward(
                unit, queries, chunk, logSums: logSums, means: means, gradients: dScores, bias: bias(chunk.part))
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
        BLAS.multiply(
            queries.count, attention.inputs.d, chunk.columns.count, alpha: attention.options.scale,
            .init(dScores, stride: tile.columns), chunk.keys, beta: 1,
            rows.target(unit.batch, unit.head, queries.lowerBound), stride: rows.stride)
    }

    /// dV += Pᵀ dO and dK += σ dSᵀ Q, in pieces that have one place.
    private func addKeyGradients(_ queries: Range<Int>, _ chunk: SegmentChunk, _ dOutput: BLAS.Operand) {
        for piece in pieces(chunk) where !piece.columns.isEmpty {
            let column = piece.columns.lowerBound - chunk.columns.lowerBound
            BLAS.multiply(
                piece.columns.count, attention.inputs.e, queries.count,
                .init(tile.scores + column, stride: tile.columns, transposed: true), dOutput, beta: 1, piece.values,
                stride: piece.valueStride)
            BLAS.multiply(
                piece.columns.count, attention.inputs.d, queries.count, alpha: attention.options.scale,
                .init(dScores + column, stride: tile.columns, transposed: true), chunk.queries, beta: 1, piece.keys,
                stride: piece.keyStride)
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
