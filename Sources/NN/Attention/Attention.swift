import CKernels
import Tensors

// Attention of any number of queries to any number of keys as one operation, in tiles like sliding-window attention's:
// nothing by query and key is stored, backward computes the weights again (FlashAttention, 2205.14135).
//
// b batch, h heads, n queries, m keys, d columns of queries and keys, e columns of values

/// softmax(scale · q kᵀ) v (Vaswani et al., 1706.03762, equation 1), for each head.
///
/// - Parameters:
///   - q: [b, n, h, d]; k: [b, m, h, d]; v: [b, m, h, e]. Views are read in place.
///   - isCausal: whether query i sees only the keys 0 … i.
///   - mask: 1 for keys that take part, else 0: [b, m] or [b · h, m]. A query that sees no key gets zeros.
///   - dropout: the probability with which a weight is dropped, drawn from `key`; none without a key.
/// - Returns: [b, n, h, e].
public func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, isCausal: Bool = false, mask: Tensor? = nil,
    dropout: Double = 0, key: RandomKey? = nil
) -> Tensor {
    var shapes: String { "attention: q \(q.shape), k \(k.shape), v \(v.shape)" }
    require(q.rank == 4 && k.rank == 4 && v.rank == 4 && v.shape.dropLast() == k.shape.dropLast(), shapes)
    require(q.shape[0] == k.shape[0] && q.shape[2] == k.shape[2] && q.shape[3] == k.shape[3], shapes)
    require(k.shape[1] > 0, "\(shapes): no keys")
    let whole = max(q.shape[1], k.shape[1], 1)
    var options = WindowAttentionOptions(
        WindowPattern(window: whole, isCausal: isCausal, lookBackward: 0, lookForward: 0), scale: scale)
    (options.mask, options.dropout, options.key) = (mask, Float(dropout), key)
    return DenseAttention(q, k, v, options: options).record()
}

struct DenseAttention: Sendable {
    private let q: Tensor, k: Tensor, v: Tensor
    let queries: HeadRows, keys: HeadRows, values: HeadRows
    let b: Int, n: Int, m: Int, h: Int, d: Int, dv: Int
    let options: WindowAttentionOptions
    /// Runs of queries of one head; the same in forward and backward.
    let units: [WindowAttention.Unit]
    /// The rows and columns of a tile.
    let rows: Int, columns: Int
    /// Rows of queries at one position, and the key at which the first stands.
    let group: Int, offset: Int

    init(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, options: WindowAttentionOptions, group: Int = 1, offset: Int = 0
    ) {
        require(
            group == 1 && offset == 0
                || options.bias == nil && options.windowFactors == nil && options.key == nil
                    && !options.attendsSelfLast,
            "attention: options that go by the query's place, of grouped queries")
        (self.group, self.offset) = (group, offset)
        (self.q, self.k, self.v) = (q, k, v)
        (queries, keys, values) = (
            HeadRows(q, headsFirst: false), HeadRows(k, headsFirst: false), HeadRows(v, headsFirst: false)
        )
        (b, n, h, d) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
        (m, dv) = (k.shape[1], v.shape[3])
        self.options = options.checked(b * h, m, d)
        // As many scores as in a tile of windows; few keys leave room for more queries.
        columns = min(AttentionTile.columns, max((m + 15) / 16 * 16, 16))
        rows = min(256, AttentionTile.rows * AttentionTile.columns / columns)
        // Few queries of many keys are the heads of a generated token, which threads share.
        let isShared = n <= 16 && n * m * d >= Self.smallest
        units = Self.makeUnits(sequences: b * h, heads: h, n, grain: isShared ? min(rows, 4) : rows)
    }

    /// Multiply-adds of a head's scores below which few queries are not worth waking another thread for.
    private static let smallest = 1 << 17

    /// One a head where that keeps all threads busy: each unit beyond the first costs gradients of keys of its own.
    private static func makeUnits(sequences: Int, heads: Int, _ n: Int, grain: Int) -> [WindowAttention.Unit] {
        let wanted = sequences >= 4 * Threads.count ? 1 : Threads.count
        let step = max(grain, (n + wanted - 1) / wanted)
        return (0..<sequences).flatMap { sequence in
            stride(from: 0, to: n, by: step).map {
                WindowAttention.Unit(
                    batch: sequence / heads, head: sequence % heads, queries: $0..<min($0 + step, n))
            }
        }
    }

    func record() -> Tensor {
        let output = Tensor(uninitialized: [b, n, h, dv])
        let rows = HeadRows(output, headsFirst: false)
        let logSums = Tensor(uninitialized: [b * h, n])
        forward(rows, logSums.mutablePointer)
        return .record("attention", output, inputs: [q, k, v]) { gradient, slots in
            let made = [q, k, v].map { Tensor(uninitialized: $0.shape) }
            DenseAttentionBackward(
                self, output: rows, logSums: logSums, gradient: HeadRows(gradient, headsFirst: false),
                made: made.map { HeadRows($0, headsFirst: false) }
            ).run()
            for (slot, gradient) in zip(slots, made) { slot.add(gradient) }
        }
    }

    private func forward(_ output: HeadRows, _ logSums: UnsafeMutablePointer<Float>) {
        parallelFor(units.count) { index in
            let unit = units[index]
            let tile = makeTile()
            forEachTile(unit) { queries in
                tile.attend(
                    queries, [segment(tile, unit, queries)],
                    into: output.target(unit.batch, unit.head, queries.tokens.lowerBound),
                    stride: output.stride, logSums: logSums + queries.sequence * n + queries.tokens.lowerBound)
            }
        }
    }

    func makeTile() -> AttentionTile {
        AttentionTile(
            options, tokens: n, keys: m, sequences: b * h, d, dv, rows: rows, columns: columns, group: group,
            offset: offset)
    }

    func forEachTile(_ unit: WindowAttention.Unit, _ body: (QueryRows) -> Void) {
        for start in stride(from: unit.queries.lowerBound, to: unit.queries.upperBound, by: rows) {
            body(
                QueryRows(
                    pointer: queries.row(unit.batch, unit.head, start), stride: queries.stride,
                    tokens: start..<min(start + rows, unit.queries.upperBound),
                    sequence: unit.batch * h + unit.head))
        }
    }

    /// The keys that any query of a tile sees.
    func segment(_ tile: AttentionTile, _ unit: WindowAttention.Unit, _ queries: QueryRows) -> KeySegment {
        let positions = tile.position(queries.tokens.lowerBound)..<tile.position(queries.tokens.upperBound - 1) + 1
        let seen = options.pattern.keys(positions, of: m)
        return KeySegment(
            keys: keys.row(unit.batch, unit.head, seen.lowerBound),
            values: values.row(unit.batch, unit.head, seen.lowerBound), keyStride: keys.stride,
            valueStride: values.stride, tokens: seen)
    }
}

/// P = exp(S − L), D = Σ dO ⊙ O, dS = P ⊙ (dO Vᵀ − D): dV = Pᵀ dO, dQ = scale · dS K, dK = scale · dSᵀ Q. The gradients of
/// keys and values of a head that several units share are gathered by each and added in order.
private struct DenseAttentionBackward: @unchecked Sendable {
    let attention: DenseAttention
    let output: HeadRows
    let logSums: Tensor
    let gradient: HeadRows
    let dQueries: HeadRows, dKeys: HeadRows, dValues: HeadRows

    init(_ attention: DenseAttention, output: HeadRows, logSums: Tensor, gradient: HeadRows, made: [HeadRows]) {
        (self.attention, self.output, self.logSums, self.gradient) = (attention, output, logSums, gradient)
        (dQueries, dKeys, dValues) = (made[0], made[1], made[2])
    }

    func run() {
        let units = attention.units
        let (m, d, dv) = (attention.m, attention.d, attention.dv)
        for sequence in 0..<attention.b * attention.h where attention.n == 0 { clear(sequence) }
        // Units that begin a head write to its gradients, the others to memory of their own.
        let shares = units.map { $0.queries.lowerBound == 0 ? nil : Tensor.zeros([m * (d + dv)]) }
        let pointers = shares.map { $0?.mutablePointer }
        pointers.withUnsafeBufferPointer { pointers in
            nonisolated(unsafe) let pointers = pointers
            parallelFor(units.count) { run(units[$0], share: pointers[$0]) }
        }
        for (unit, share) in zip(units, shares) {
            guard let share else { continue }
            let (keys, values) = targets(unit)
            az_add_2d(m, d, share.pointer, d, 1, keys, dKeys.stride, 1)
            az_add_2d(m, dv, share.pointer + m * d, dv, 1, values, dValues.stride, 1)
        }
    }

    private func targets(_ unit: WindowAttention.Unit) -> (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) {
        (dKeys.target(unit.batch, unit.head, 0), dValues.target(unit.batch, unit.head, 0))
    }

    private func clear(_ sequence: Int) {
        for key in 0..<attention.m {
            let (batch, head) = (sequence / attention.h, sequence % attention.h)
            az_fill(attention.d, 0, dKeys.target(batch, head, key))
            az_fill(attention.dv, 0, dValues.target(batch, head, key))
        }
    }

    private func run(_ unit: WindowAttention.Unit, share: UnsafeMutablePointer<Float>?) {
        let (m, n, d, dv) = (attention.m, attention.n, attention.d, attention.dv)
        if share == nil { clear(unit.batch * attention.h + unit.head) }
        let own = targets(unit)
        let (keyTarget, keyStride) = share.map { ($0, d) } ?? (own.0, dKeys.stride)
        let (valueTarget, valueStride) = share.map { ($0 + m * d, dv) } ?? (own.1, dValues.stride)
        let tile = attention.makeTile()
        let (rows, columns) = (attention.rows, attention.columns)
        let scale = attention.options.scale
        let memory = Tensor(uninitialized: [rows * (columns + 1)])
        let (dScores, means) = (memory.mutablePointer, memory.mutablePointer + rows * columns)
        attention.forEachTile(unit) { queries in
            let (first, count) = (queries.tokens.lowerBound, queries.tokens.count)
            let dOutput = BLAS.Operand(gradient.row(unit.batch, unit.head, first), stride: gradient.stride)
            let dQuery = dQueries.target(unit.batch, unit.head, first)
            az_row_dots(
                count, dv, dOutput.pointer, dOutput.stride, output.row(unit.batch, unit.head, first), output.stride,
                means)
            var beta: Float = 0
            tile.forEachChunk([attention.segment(tile, unit, queries)], queries) {
                keys, keyRows, valueRows, queryRows in
                tile.score(queries, keys, keys: keyRows, queries: queryRows)
                BLAS.multiply(
                    count, keys.count, dv, dOutput,
                    .init(valueRows.pointer, stride: valueRows.stride, transposed: true), dScores, stride: columns)
                tile.softmaxBackward(
                    queries, keys, logSums: logSums.pointer + queries.sequence * n + first, means: means,
                    gradients: dScores, bias: nil)
                BLAS.multiply(
                    keys.count, dv, count, .init(tile.scores, stride: columns, transposed: true), dOutput, beta: 1,
                    valueTarget + keys.lowerBound * valueStride, stride: valueStride)
                BLAS.multiply(
                    keys.count, d, count, alpha: scale, .init(dScores, stride: columns, transposed: true), queryRows,
                    beta: 1, keyTarget + keys.lowerBound * keyStride, stride: keyStride)
                BLAS.multiply(
                    count, d, keys.count, alpha: scale, .init(dScores, stride: columns), keyRows, beta: beta, dQuery,
                    stride: dQueries.stride)
                beta = 1
            }
        }
    }
}
