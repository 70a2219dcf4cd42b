import CKernels
import Foundation
import Tensors

/// Keys or slots that a few queries look at together, and the queries that look at them.
struct SegmentChunk {
    let part: SegmentPart
    /// Among the keys or slots given.
    let columns: Range<Int>
    let keys: BLAS.Operand, values: BLAS.Operand
    /// Rows of the queries that these keys or slots are compared with.
    let queries: BLAS.Operand
}

/// The scores of a few queries and the keys or slots they see, in cache. A worker makes one and uses it for tile after tile.
final class SegmentTile {
    /// Columns that are looked at together at most: with 64 rows a quarter of a usual L2 cache.
    private static let mostColumns = 1024

    let attention: SegmentAttention
    /// From one row of scores to the next.
    let columns: Int
    private let memory: Tensor
    let scores: UnsafeMutablePointer<Float>
    private let maxima: UnsafeMutablePointer<Float>, rescale: UnsafeMutablePointer<Float>
    /// Σ of the exponentials of each query; 0 where all it sees is masked.
    private let sums: UnsafeMutablePointer<Float>
    /// The columns of a chunk that each query sees.
    private var first: [Int32], last: [Int32]

    init(_ attention: SegmentAttention) {
        self.attention = attention
        let rows = SegmentAttention.rows
        let (inputs, options) = (attention.inputs, attention.options)
        let window = min(inputs.m, options.window + rows)
        let segments = min(inputs.segments, (options.maxSegments ?? inputs.segments) + rows / options.segmentLength + 1)
        columns = (min(Self.mostColumns, max(window, segments * options.slots, 1)) + 15) / 16 * 16
        memory = Tensor(uninitialized: [rows * (columns + 3)])
        scores = memory.mutablePointer
        maxima = scores + rows * columns
        sums = maxima + rows
        rescale = sums + rows
        first = [Int32](repeating: 0, count: rows)
        last = first
    }

    /// Calls `body` with all that the queries of a tile see, the window first.
    func forEachChunk(_ unit: SegmentAttention.Unit, _ queries: Range<Int>, _ body: (SegmentChunk) -> Void) {
        for part in [SegmentPart.window, .slots] {
            let seen = attention.seen(part, queries)
            for start in stride(from: seen.lowerBound, to: seen.upperBound, by: columns) {
                body(chunk(part, unit, queries, columns: start..<min(start + columns, seen.upperBound)))
            }
        }
    }

    private func chunk(
        _ part: SegmentPart, _ unit: SegmentAttention.Unit, _ queries: Range<Int>, columns: Range<Int>
    ) -> SegmentChunk {
        let (batch, head) = (unit.batch, unit.head)
        let isWindow = part == .window
        let keys = isWindow ? attention.keys : attention.slotKeys
        let values = isWindow ? attention.values : attention.slotValues
        let rows = isWindow ? attention.queries : attention.slotQueries
        return SegmentChunk(
            part: part, columns: columns, keys: .init(keys.row(batch, head, columns.lowerBound), stride: keys.stride),
            values: .init(values.row(batch, head, columns.lowerBound), stride: values.stride),
            queries: .init(rows.row(batch, head, queries.lowerBound), stride: rows.stride))
    }

    // MARK: Scores

    /// Computes σ q kᵀ of a chunk, before bias and mask, and notes the columns that each query sees.
    func score(_ queries: Range<Int>, _ chunk: SegmentChunk) {
        BLAS.multiply(
            queries.count, chunk.columns.count, attention.inputs.d, alpha: attention.options.scale, chunk.queries,
            .init(chunk.keys.pointer, stride: chunk.keys.stride, transposed: true), scores, stride: columns)
        for (row, query) in queries.enumerated() {
            let seen = attention.seen(chunk.part, query).clamped(to: chunk.columns)
            first[row] = Int32(seen.lowerBound - chunk.columns.lowerBound)
            last[row] = Int32(seen.upperBound - chunk.columns.lowerBound)
        }
    }

    /// Drops the same weights in forward and backward; `matrix` has the rows of `scores`.
    func dropout(
        _ unit: SegmentAttention.Unit, _ queries: Range<Int>, _ chunk: SegmentChunk,
        of matrix: UnsafeMutablePointer<Float>
    ) {
        guard let key = attention.options.key, attention.options.dropout > 0 else { return }
        let inputs = attention.inputs
        // Elements are counted as in the plain form's rows of all keys and all slots.
        let start = chunk.columns.lowerBound + (chunk.part == .window ? 0 : inputs.m)
        for (row, query) in queries.enumerated() where first[row] < last[row] {
            let line = UInt64(attention.sequence(unit)) &* UInt64(inputs.n) &+ UInt64(query)
            let target = matrix + row * columns + Int(first[row])
            az_dropout(
                Int(last[row] - first[row]), attention.options.dropout, key.value,
                line &* UInt64(inputs.m + inputs.slotRows) &+ UInt64(start + Int(first[row])), target, target)
        }
    }

    /// Neighboring rows whose biases lie a fixed step apart, and the place of the first row's and column's in its table.
    private struct BiasRun {
        let rows: Range<Int>
        let place: Int, step: Int
    }

    /// Cuts the queries of a tile where the step between their biases changes.
    private func runs(_ queries: Range<Int>, _ chunk: SegmentChunk) -> [BiasRun] {
        let all = attention.biases.count(chunk.part)
        if all == 0 { return [BiasRun(rows: 0..<queries.count, place: 0, step: 0)] }
        if chunk.part == .window {
            let distance = attention.ownKey(queries.lowerBound) - chunk.columns.lowerBound
            return [BiasRun(rows: 0..<queries.count, place: all - 1 - distance, step: -1)]
        }
        // The queries of a segment see the same slots at the same distances.
        var runs: [BiasRun] = []
        var start = queries.lowerBound
        while start < queries.upperBound {
            let reach = attention.segmentsInReach(start)
            let end =
                (start..<queries.upperBound).first { attention.segmentsInReach($0) != reach } ?? queries.upperBound
            let slots = (reach - attention.options.firstSegment) * attention.options.slots
            runs.append(
                BiasRun(
                    rows: start - queries.lowerBound..<end - queries.lowerBound,
                    place: all - slots + chunk.columns.lowerBound, step: 0))
            start = end
        }
        return runs
    }

    private func mask(_ unit: SegmentAttention.Unit, _ chunk: SegmentChunk) -> UnsafePointer<Float>? {
        (chunk.part == .window ? attention.keyMask : attention.slotMask).map {
            $0.pointer + unit.batch * $0.shape[1] + chunk.columns.lowerBound
        }
    }

    // MARK: Forward

    /// Computes the outputs of a tile's queries, to rows `stride` apart. `logSums` gets each query's log Σ e^score, infinity
    /// (and its row zeros) where all it sees is masked.
    func attend(
        _ unit: SegmentAttention.Unit, _ queries: Range<Int>, into output: UnsafeMutablePointer<Float>, stride: Int,
        logSums: UnsafeMutablePointer<Float>
    ) {
        let (count, e) = (queries.count, attention.inputs.e)
        az_fill(count, -.infinity, maxima)
        az_fill(count, 0, sums)
        var beta: Float = 0
        forEachChunk(unit, queries) { chunk in
            score(queries, chunk)
            softmax(unit, queries, chunk)
            dropout(unit, queries, chunk, of: scores)
            if beta == 1 { az_scale_rows(count, e, rescale, output, stride) }
            BLAS.multiply(
                count, e, chunk.columns.count, .init(scores, stride: columns), chunk.values, beta: beta, output,
                stride: stride)
            beta = 1
        }
        for row in 0..<count {
            logSums[row] = sums[row] > 0 ? maxima[row] + logf(sums[row]) : sums[row] == 0 ? .infinity : .nan
            rescale[row] = sums[row] == 0 ? 1 : 1 / sums[row]
        }
        az_scale_rows(count, e, rescale, output, stride)
    }

    /// Makes the scores of a chunk exponentials, with the running maxima and sums.
    private func softmax(_ unit: SegmentAttention.Unit, _ queries: Range<Int>, _ chunk: SegmentChunk) {
        let (bias, mask) = (attention.biases.start(chunk.part, head: unit.head), mask(unit, chunk))
        for run in runs(queries, chunk) {
            let row = run.rows.lowerBound
            first.withUnsafeBufferPointer { first in
                last.withUnsafeBufferPointer { last in
                    az_window_softmax_forward(
                        run.rows.count, chunk.columns.count, first.baseAddress! + row, last.baseAddress! + row,
                        bias.map { $0 + run.place }, run.step, mask, scores + row * columns, columns, maxima + row,
                        sums + row, rescale + row)
                }
            }
        }
    }

    // MARK: Backward

    /// With scores in place and the gradient of the weights in `gradients` (rows as those of `scores`): makes the scores
    /// weights and `gradients` those of the scores, and adds to a head's gradient of the bias's table.
    func softmaxBackward(
        _ unit: SegmentAttention.Unit, _ queries: Range<Int>, _ chunk: SegmentChunk, logSums: UnsafePointer<Float>,
        means: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>, bias dBias: UnsafeMutablePointer<Float>?
    ) {
        let (bias, mask) = (attention.biases.start(chunk.part, head: unit.head), mask(unit, chunk))
        dropout(unit, queries, chunk, of: gradients)
        for run in runs(queries, chunk) {
            let row = run.rows.lowerBound
            first.withUnsafeBufferPointer { first in
                last.withUnsafeBufferPointer { last in
                    az_window_softmax_backward(
                        run.rows.count, chunk.columns.count, first.baseAddress! + row, last.baseAddress! + row,
                        bias.map { $0 + run.place }, run.step, mask, logSums + row, means + row,
                        scores + row * columns, columns, gradients + row * columns, columns,
                        dBias.map { $0 + run.place }, run.step)
                }
            }
        }
        dropout(unit, queries, chunk, of: scores)
    }
}
