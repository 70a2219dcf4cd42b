import CKernels
import Foundation
import Tensors

/// Keys and values of consecutive tokens, `stride` floats apart.
struct KeySegment {
    let keys: UnsafePointer<Float>, values: UnsafePointer<Float>
    let keyStride: Int, valueStride: Int
    /// The tokens, by their positions in the sequence.
    let tokens: Range<Int>
}

/// A few queries of one head, `stride` floats apart.
struct QueryRows {
    let pointer: UnsafePointer<Float>
    let stride: Int
    /// Their rows in the sequence: the queries' positions, where there are not several rows at one (`group`).
    let tokens: Range<Int>
    /// Batch × heads counted through, of which bias and mask take theirs.
    let sequence: Int
}

/// The scores of a few queries and the keys they see, in cache. A worker makes one and uses it for tile after tile.
final class AttentionTile {
    /// Queries of a tile, and keys that are looked at together: 64 × 1024 floats are a quarter of a usual L2 cache.
    static let rows = 64
    static let columns = 1024

    let rows: Int, columns: Int
    let options: WindowAttentionOptions
    /// Queries and keys of a sequence, and the number of sequences, batch × heads.
    let n: Int, keyCount: Int, sequences: Int
    let d: Int, dv: Int
    /// Rows of queries at one position, one a head that shares the keys, and the position of the first.
    let group: Int, offset: Int
    private let memory: Tensor
    let scores: UnsafeMutablePointer<Float>
    private let scaled: UnsafeMutablePointer<Float>
    private let maxima: UnsafeMutablePointer<Float>, rescale: UnsafeMutablePointer<Float>
    /// Σ of the exponentials of each query; 0 where every key is masked.
    let sums: UnsafeMutablePointer<Float>
    private var first: [Int32], last: [Int32]

    init(
        _ options: WindowAttentionOptions, tokens n: Int, keys: Int? = nil, sequences: Int, _ d: Int, _ dv: Int,
        rows: Int = AttentionTile.rows, columns: Int = AttentionTile.columns, group: Int = 1, offset: Int = 0
    ) {
        (self.options, self.n, keyCount, self.sequences) = (options, n, keys ?? n, sequences)
        (self.d, self.dv) = (d, dv)
        (self.rows, self.columns) = (rows, columns)
        (self.group, self.offset) = (group, offset)
        memory = Tensor(uninitialized: [rows * (columns + d + 3)])
        scores = memory.mutablePointer
        scaled = scores + rows * columns
        maxima = scaled + rows * d
        sums = maxima + rows
        rescale = sums + rows
        first = [Int32](repeating: 0, count: rows)
        last = first
    }

    // MARK: Cutting

    /// Cuts queries into tiles, and calls `body` with each.
    static func forEachTile(
        _ queries: Range<Int>, _ options: WindowAttentionOptions, _ body: (Range<Int>) -> Void
    ) {
        let window = options.pattern.window
        let pieces = (window + rows - 1) / rows
        let step = window >= rows ? (window + pieces - 1) / pieces : options.staysInWindow ? window : rows
        var start = queries.lowerBound
        while start < queries.upperBound {
            var end = min(start + step, queries.upperBound)
            if window >= rows || options.staysInWindow { end = min(end, (start / window + 1) * window) }
            body(start..<end)
            start = end
        }
    }

    /// Calls `body` with each run of keys that are worked on together, cut where the tile's columns end, and at windows
    /// where each has factors of its own: their tokens, where keys and values start, and the queries as they see them.
    func forEachChunk(
        _ segments: [KeySegment], _ queries: QueryRows,
        _ body: (_ tokens: Range<Int>, _ keys: BLAS.Operand, _ values: BLAS.Operand, _ rows: BLAS.Operand) -> Void
    ) {
        for segment in segments {
            var start = segment.tokens.lowerBound
            while start < segment.tokens.upperBound {
                let tokens = start..<min(segment.tokens.upperBound, chunkEnd(start))
                let skipped = start - segment.tokens.lowerBound
                body(
                    tokens, .init(segment.keys + skipped * segment.keyStride, stride: segment.keyStride),
                    .init(segment.values + skipped * segment.valueStride, stride: segment.valueStride),
                    factored(queries, tokens))
                start = tokens.upperBound
            }
        }
    }

    private func chunkEnd(_ start: Int) -> Int {
        let window = options.pattern.window
        let end = start + columns
        return options.windowFactors == nil ? end : min(end, (start / window + 1) * window)
    }

    /// The factors of a query's columns for the window that these keys are in.
    func factors(_ queries: QueryRows, _ keys: Range<Int>) -> UnsafePointer<Float>? {
        guard let table = options.windowFactors else { return nil }
        let pattern = options.pattern
        let own = queries.tokens.lowerBound / pattern.window
        let place = keys.lowerBound / pattern.window - (own - pattern.lookBackward)
        return table.pointer + place * d
    }

    private func factored(_ queries: QueryRows, _ keys: Range<Int>) -> BLAS.Operand {
        guard let factors = factors(queries, keys) else { return .init(queries.pointer, stride: queries.stride) }
        az_scale_columns(queries.tokens.count, d, factors, queries.pointer, queries.stride, scaled, d)
        return .init(scaled, stride: d)
    }

    // MARK: Scores

    /// scale · q kᵀ of a chunk, before bias and mask. The columns each query sees are left in `first` and `last`.
    func score(_ queries: QueryRows, _ tokens: Range<Int>, keys: BLAS.Operand, queries rows: BLAS.Operand) {
        let count = queries.tokens.count
        BLAS.multiply(
            count, tokens.count, d, alpha: options.scale, rows,
            .init(keys.pointer, stride: keys.stride, transposed: true), scores, stride: columns)
        for (row, token) in queries.tokens.enumerated() {
            let seen = options.pattern.keys(position(token), of: keyCount).clamped(to: tokens)
            first[row] = Int32(seen.lowerBound - tokens.lowerBound)
            last[row] = Int32(seen.upperBound - tokens.lowerBound)
            if options.attendsSelfLast && tokens.contains(token) {
                scores[row * columns + token - tokens.lowerBound] = Self.lastScore
            }
        }
    }

    /// Returns the position of a row of queries among the keys.
    func position(_ row: Int) -> Int { offset + row / group }

    /// The score of a token with itself where others come first: as in local-attention and Reformer's code.
    private static let lastScore: Float = -5e4

    /// Bias and mask of a tile, with the offset of its gradient in a head's.
    private func additions(
        _ queries: QueryRows, _ tokens: Range<Int>
    ) -> (bias: UnsafePointer<Float>?, step: Int, offset: Int, mask: UnsafePointer<Float>?) {
        let mask = options.mask.map {
            $0.pointer + queries.sequence / (sequences / $0.shape[0]) * keyCount + tokens.lowerBound
        }
        guard let bias = options.bias else { return (nil, 0, 0, mask) }
        let (offset, step) = bias.place(queries.tokens.lowerBound, tokens.lowerBound, options.pattern)
        let head = queries.sequence % bias.heads * (bias.values.count / bias.heads)
        return (bias.values.pointer + head + offset, step, offset, mask)
    }

    /// The same weights are dropped in forward and backward.
    func dropout(_ queries: QueryRows, _ tokens: Range<Int>, of matrix: UnsafeMutablePointer<Float>) {
        guard let key = options.key else { return }
        let slots = options.pattern.window * options.pattern.windows
        for (row, token) in queries.tokens.enumerated() {
            let (from, end) = (Int(first[row]), Int(last[row]))
            if from >= end { continue }
            let place = tokens.lowerBound + from - options.pattern.slots(token).lowerBound
            let line = UInt64(queries.sequence) &* UInt64(n) &+ UInt64(token)
            let target = matrix + row * columns + from
            az_dropout(end - from, options.dropout, key.value, line &* UInt64(slots) &+ UInt64(place), target, target)
        }
    }

    // MARK: Forward

    /// softmax(scale · q kᵀ + bias) v over the keys that each query sees, to rows `stride` apart. `logSums` gets each
    /// query's log Σ e^score, infinity (and its row zeros) where every key is masked.
    func attend(
        _ queries: QueryRows, _ segments: [KeySegment], into output: UnsafeMutablePointer<Float>, stride: Int,
        logSums: UnsafeMutablePointer<Float>?
    ) {
        let count = queries.tokens.count
        az_fill(count, -.infinity, maxima)
        az_fill(count, 0, sums)
        var beta: Float = 0
        forEachChunk(segments, queries) { tokens, keys, values, rows in
            score(queries, tokens, keys: keys, queries: rows)
            let (bias, step, _, mask) = additions(queries, tokens)
            az_window_softmax_forward(
                count, tokens.count, first, last, bias, step, mask, scores, columns, maxima, sums, rescale)
            dropout(queries, tokens, of: scores)
            if beta == 1 { az_scale_rows(count, dv, rescale, output, stride) }
            BLAS.multiply(
                count, dv, tokens.count, .init(scores, stride: columns), values, beta: beta, output, stride: stride
            )
            beta = 1
        }
        for row in 0..<count {
            logSums?[row] = sums[row] > 0 ? maxima[row] + logf(sums[row]) : sums[row] == 0 ? .infinity : .nan
            rescale[row] = sums[row] == 0 ? 1 : 1 / sums[row]
        }
        az_scale_rows(count, dv, rescale, output, stride)
    }

    // MARK: Backward

    /// With scores in place and the gradient of the weights in `gradients` [rows, columns]: makes the scores weights and
    /// `gradients` those of the scores, and adds to a head's gradient of the bias.
    func softmaxBackward(
        _ queries: QueryRows, _ tokens: Range<Int>, logSums: UnsafePointer<Float>, means: UnsafePointer<Float>,
        gradients: UnsafeMutablePointer<Float>, bias dBias: UnsafeMutablePointer<Float>?
    ) {
        let (bias, step, offset, mask) = additions(queries, tokens)
        dropout(queries, tokens, of: gradients)
        az_window_softmax_backward(
            queries.tokens.count, tokens.count, first, last, bias, step, mask, logSums, means, scores, columns,
            gradients, columns, dBias.map { $0 + offset }, step)
        dropout(queries, tokens, of: scores)
    }
}
