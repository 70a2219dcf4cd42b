import CKernels
import Foundation
import Tensors

/// The scores of a few queries and the keys or slots they see, in cache: for the tiles of a unit, one after another.
final class SegmentTile {
    /// Columns that are looked at together at most: with 64 rows a quarter of a usual L2 cache.
    private static let mostColumns = 1024

    let attention: SegmentAttention
    let unit: SegmentAttention.Unit
    private let windowKeys: SegmentColumns, slotKeys: SegmentColumns
    /// From one row of scores to the next.
    let columns: Int
    private let memory: Tensor
    let scores: UnsafeMutablePointer<Float>
    private let maxima: UnsafeMutablePointer<Float>, rescale: UnsafeMutablePointer<Float>
    /// Σ of the exponentials of each query; 0 where all it sees is masked.
    private let sums: UnsafeMutablePointer<Float>
    /// The columns of a chunk that each query sees.
    private let first: UnsafeMutablePointer<Int32>, last: UnsafeMutablePointer<Int32>

    init(_ attention: SegmentAttention, _ unit: SegmentAttention.Unit) {
        (self.attention, self.unit) = (attention, unit)
        windowKeys = SegmentColumns(
            attention.keys, unit, attention.seen(.window, unit.queries), width: attention.inputs.d)
        slotKeys = SegmentColumns(
            attention.slotKeys, unit, attention.seen(.slots, unit.queries), width: attention.inputs.d)
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
        first = .allocate(capacity: 2 * rows)
        last = first + rows
    }

    deinit { first.deallocate() }

    /// Calls `body` with all that the queries of a tile see, the window first.
    func forEachChunk(_ queries: Range<Int>, _ body: (SegmentChunk) -> Void) {
        for part in [SegmentPart.window, .slots] {
            let seen = attention.seen(part, queries)
            for start in stride(from: seen.lowerBound, to: seen.upperBound, by: columns) {
                body(chunk(part, queries, columns: start..<min(start + columns, seen.upperBound)))
            }
        }
    }

    private func chunk(_ part: SegmentPart, _ queries: Range<Int>, columns: Range<Int>) -> SegmentChunk {
        let (batch, head) = (unit.batch, unit.head)
        let isWindow = part == .window
        let keys = isWindow ? attention.keys : attention.slotKeys
        let values = isWindow ? attention.values : attention.slotValues
        let rows = isWindow ? attention.queries : attention.slotQueries
        return SegmentChunk(
            part: part, columns: columns,
            keys: SegmentRows(first: keys.row(batch, head, columns.lowerBound), stride: keys.stride),
            values: SegmentRows(first: values.row(batch, head, columns.lowerBound), stride: values.stride),
            queries: SegmentRows(first: rows.row(batch, head, queries.lowerBound), stride: rows.stride))
    }

    // MARK: Scores

    /// Computes σ q kᵀ of a chunk, before bias and mask, and notes the columns that each query sees.
    func score(_ queries: Range<Int>, _ chunk: SegmentChunk) {
        for (row, query) in queries.enumerated() {
            let seen = attention.seen(chunk.part, query).clamped(to: chunk.columns)
            first[row] = Int32(seen.lowerBound - chunk.columns.lowerBound)
            last[row] = Int32(seen.upperBound - chunk.columns.lowerBound)
        }
        multiply(
            chunk.queries, by: chunk.part == .window ? windowKeys : slotKeys, of: chunk, rows: queries.count,
            width: attention.inputs.d, factor: attention.options.scale, into: scores)
    }

    /// Computes factor · x kᵀ where queries see the keys k of a chunk; what else is written has no meaning.
    /// - Parameter target: rows as far apart as those of `scores`.
    func multiply(
        _ x: SegmentRows, by keys: SegmentColumns, of chunk: SegmentChunk, rows count: Int, width: Int,
        factor: Float = 1, into target: UnsafeMutablePointer<Float>
    ) {
        az_band_scores(
            count, width, first, last, factor, x.first, x.stride, keys.pointer(chunk.columns.lowerBound), keys.stride,
            target, columns)
    }

    /// Computes factor · p x of weights p and rows x, one for each column of a chunk. p: rows as of `scores`.
    /// - Parameter adds: whether the target is added to.
    func apply(
        _ p: UnsafePointer<Float>, _ x: SegmentRows, rows count: Int, width: Int, factor: Float = 1, adds: Bool,
        into target: UnsafeMutablePointer<Float>, stride: Int
    ) {
        az_band_apply(
            count, width, first, last, factor, p, columns, x.first, x.stride, adds ? 1 : 0, target, stride)
    }

    /// Adds factor · pᵀ x of weights p and rows x, one for each query of a tile, for some columns of a chunk, counted from
    /// its first.
    func addTransposed(
        _ p: UnsafePointer<Float>, _ x: SegmentRows, rows count: Int, for range: Range<Int>, width: Int,
        factor: Float = 1, to target: UnsafeMutablePointer<Float>, stride: Int
    ) {
        az_band_transposed(
            count, width, range.lowerBound, range.upperBound, first, last, factor, p, columns, x.first, x.stride,
            target, stride)
    }

    /// Drops the same weights in forward and backward; `matrix` has the rows of `scores`.
    private func dropout(_ queries: Range<Int>, _ chunk: SegmentChunk, of matrix: UnsafeMutablePointer<Float>) {
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

    private func mask(_ chunk: SegmentChunk) -> UnsafePointer<Float>? {
        (chunk.part == .window ? attention.keyMask : attention.slotMask).map {
            $0.pointer + unit.batch * $0.shape[1] + chunk.columns.lowerBound
        }
    }

    // MARK: Forward

    /// Computes the outputs of a tile's queries, to rows `stride` apart. `logSums` gets each query's log Σ e^score, infinity
    /// (and its row zeros) where all it sees is masked.
    func attend(
        _ queries: Range<Int>, into output: UnsafeMutablePointer<Float>, stride: Int,
        logSums: UnsafeMutablePointer<Float>
    ) {
        let (count, e) = (queries.count, attention.inputs.e)
        az_fill(count, -.infinity, maxima)
        az_fill(count, 0, sums)
        var adds = false
        forEachChunk(queries) { chunk in
            score(queries, chunk)
            softmax(queries, chunk)
            dropout(queries, chunk, of: scores)
            if adds { az_scale_rows(count, e, rescale, output, stride) }
            apply(scores, chunk.values, rows: count, width: e, adds: adds, into: output, stride: stride)
            adds = true
        }
        for row in 0..<count {
            logSums[row] = sums[row] > 0 ? maxima[row] + logf(sums[row]) : sums[row] == 0 ? .infinity : .nan
            rescale[row] = sums[row] == 0 ? 1 : 1 / sums[row]
        }
        az_scale_rows(count, e, rescale, output, stride)
    }

    /// Makes the scores of a chunk exponentials, with the running maxima and sums.
    private func softmax(_ queries: Range<Int>, _ chunk: SegmentChunk) {
        let (bias, mask) = (attention.biases.start(chunk.part, head: unit.head), mask(chunk))
        for run in runs(queries, chunk) {
            let row = run.rows.lowerBound
            az_window_softmax_forward(
                run.rows.count, chunk.columns.count, first + row, last + row,
                bias.map { $0 + run.place }, run.step, mask, scores + row * columns, columns, maxima + row,
                sums + row, rescale + row)
        }
    }

    // MARK: Backward

    /// With scores in place and the gradient of the weights in `gradients` (rows as those of `scores`): makes the scores
    /// weights and `gradients` those of the scores, and adds to a head's gradient of the bias's table.
    func softmaxBackward(
        _ queries: Range<Int>, _ chunk: SegmentChunk, logSums: UnsafePointer<Float>,
        means: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>, bias dBias: UnsafeMutablePointer<Float>?
    ) {
        let (bias, mask) = (attention.biases.start(chunk.part, head: unit.head), mask(chunk))
        dropout(queries, chunk, of: gradients)
        for run in runs(queries, chunk) {
            let row = run.rows.lowerBound
            az_window_softmax_backward(
                run.rows.count, chunk.columns.count, first + row, last + row,
                bias.map { $0 + run.place }, run.step, mask, logSums + row, means + row,
                scores + row * columns, columns, gradients + row * columns, columns,
                dBias.map { $0 + run.place }, run.step)
        }
        dropout(queries, chunk, of: scores)
    }
}
