import CKernels
import Tensors

// Sliding-window attention as one operation (Beltagy et al., 2004.05150; Roy et al., 2003.05997, section 4.1): for a few
// queries the keys they see are neighbors, so their scores are one small product, whose softmax and product with the
// values follow while it is in cache. Nothing by query and key is stored: backward computes the weights again from each
// query's log-sum-exp (FlashAttention, 2205.14135). Keys and values are read where they lie.
//
// b batch, h heads, n tokens, d columns of queries and keys, e columns of values, W tokens in a window

/// Computes softmax(scale · q kᵀ + bias) v, each query over the keys that the pattern shows it.
///
/// - Parameters:
///   - q, k: [b, n, h, d], or [b, h, n, d] with `headsFirst`; v: the same with e for d. Views are read in place.
///   - implementation: the plain form is `plainWindowAttention`.
/// - Returns: the same layout, with e columns.
public func windowAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, headsFirst: Bool = false, options: WindowAttentionOptions,
    implementation: Implementation = .fused
) -> Tensor {
    require(
        q.rank == 4 && q.shape == k.shape && v.rank == 4 && v.shape.dropLast() == k.shape.dropLast(),
        "windowAttention: q \(q.shape), k \(k.shape), v \(v.shape)")
    let (n, h) = headsFirst ? (q.shape[2], q.shape[1]) : (q.shape[1], q.shape[2])
    if implementation == .plain {
        let rules = options.checked(q.shape[0] * h, n, q.shape[3])
        if headsFirst { return plainWindowAttention(q, k, v, options: rules) }
        return plainWindowAttention(q.transposed(1, 2), k.transposed(1, 2), v.transposed(1, 2), options: rules)
            .transposed(1, 2)
    }
    let parts = [q, k, v].map { HeadRows($0, headsFirst: headsFirst) }
    let attention = WindowAttention(parts, b: q.shape[0], h: h, n: n, d: q.shape[3], dv: v.shape[3], options)
    let output = Tensor(uninitialized: v.shape)
    return attention.record(output, HeadRows(output, headsFirst: headsFirst), inputs: [q, k, v]) { slots, backward in
        let made = [q, k, v].map { Tensor(uninitialized: $0.shape) }
        backward(made.map { HeadRows($0, headsFirst: headsFirst) }) { HeadRows($0, headsFirst: headsFirst) }
        for (slot, gradient) in zip(slots, made) { slot.add(gradient) }
    }
}

/// Computes the same of queries, keys and values that one projection made. qkv: [b, n, 3 · h · d], queries first. Returns
/// [b, n, h · d].
public func windowAttention(
    packed qkv: Tensor, heads h: Int, options: WindowAttentionOptions, implementation: Implementation = .fused
) -> Tensor {
    require(
        qkv.rank == 3 && h > 0 && qkv.shape[2] % (3 * h) == 0, "windowAttention: qkv \(qkv.shape) for \(h) heads")
    let (b, n, d) = (qkv.shape[0], qkv.shape[1], qkv.shape[2] / (3 * h))
    if implementation == .plain {
        let parts = qkv.reshaped([b, n, 3, h, d])
        return windowAttention(
            parts.at(2, 0), parts.at(2, 1), parts.at(2, 2), options: options, implementation: .plain
        ).reshaped([b, n, h * d])
    }
    let dense = qkv.contiguous()
    let parts = (0..<3).map { HeadRows(packed: dense, part: $0, of: 3, heads: h) }
    let attention = WindowAttention(parts, b: b, h: h, n: n, d: d, dv: d, options)
    let output = Tensor(uninitialized: [b, n, h * d])
    let rows = HeadRows(packed: output, part: 0, of: 1, heads: h)
    return attention.record(output, rows, inputs: [dense]) { slots, backward in
        let made = Tensor(uninitialized: dense.shape)
        backward((0..<3).map { HeadRows(packed: made, part: $0, of: 3, heads: h) }) {
            HeadRows(packed: $0.contiguous(), part: 0, of: 1, heads: h)
        }
        slots[0].add(made)
    }
}

/// The inputs of sliding-window attention, and the units that the work is split into.
struct WindowAttention: Sendable {
    let queries: HeadRows, keys: HeadRows, values: HeadRows
    let b: Int, h: Int, n: Int, d: Int, dv: Int
    let options: WindowAttentionOptions
    /// The same in forward and backward.
    let units: [Unit]

    /// Neighboring queries of one head.
    struct Unit: Sendable {
        let batch: Int, head: Int
        let queries: Range<Int>
    }

    init(_ parts: [HeadRows], b: Int, h: Int, n: Int, d: Int, dv: Int, _ options: WindowAttentionOptions) {
        (queries, keys, values) = (parts[0], parts[1], parts[2])
        (self.b, self.h, self.n, self.d, self.dv) = (b, h, n, d, dv)
        self.options = options.checked(b * h, n, d)
        units = Self.makeUnits(batch: b, heads: h, tokens: n, options.pattern)
    }

    /// Some units for each thread, where sequences are long enough: in backward each has keys of its own beside those it
    /// shares with its neighbors, which cost more than they bring for short ones.
    private static func makeUnits(batch b: Int, heads h: Int, tokens n: Int, _ pattern: WindowPattern) -> [Unit] {
        let grain = pattern.window <= 1024 ? pattern.window : AttentionTile.rows
        let wanted = b * h == 0 ? 1 : (4 * Threads.count + b * h - 1) / (b * h)
        let shortest = max(256, min(pattern.window * pattern.windows, 2048))
        let length = max((n + wanted - 1) / wanted, shortest)
        let step = (length + grain - 1) / grain * grain
        var units: [Unit] = []
        for sequence in 0..<b * h {
            for start in stride(from: 0, to: n, by: step) {
                units.append(Unit(batch: sequence / h, head: sequence % h, queries: start..<min(start + step, n)))
            }
        }
        return units
    }

    /// Fills `output`, whose rows are `rows`, and records the operation. `gradients` gets the slots, and what makes the
    /// gradients: given rows for those of queries, keys and values, and the rows of a gradient of the output.
    func record(
        _ output: Tensor, _ rows: HeadRows, inputs: [Tensor],
        _ gradients:
            @escaping @Sendable (
                _ slots: [InputGradient], _ backward: (_ made: [HeadRows], _ rows: (Tensor) -> HeadRows) -> Void
            ) -> Void
    ) -> Tensor {
        let listed = inputs + (options.bias.map { [$0.values] } ?? [])
        let logSums = Tensor(uninitialized: [b * h, n])
        forward(rows, logSums.mutablePointer)
        return .record("windowAttention", output, inputs: listed) { gradient, slots in
            gradients(slots) { made, layout in
                WindowAttentionBackward(
                    self, output: rows, logSums: logSums, gradient: layout(gradient), made: made
                ).run(
                    bias: slots.dropFirst(inputs.count).first)
            }
        }
    }

    // MARK: Forward

    private func forward(_ output: HeadRows, _ logSums: UnsafeMutablePointer<Float>) {
        parallelFor(units.count) { index in
            let unit = units[index]
            let tile = makeTile()
            AttentionTile.forEachTile(unit.queries, options) { tokens in
                let rows = queryRows(unit, tokens)
                let target = output.target(unit.batch, unit.head, tokens.lowerBound)
                tile.attend(
                    rows, [segment(unit, options.pattern.keys(tokens, of: n))], into: target, stride: output.stride,
                    logSums: logSums + rows.sequence * n + tokens.lowerBound)
                if options.mask != nil {
                    for (row, token) in tokens.enumerated() where tile.sums[row] == 0 {
                        average(unit, token, into: target + row * output.stride)
                    }
                }
            }
        }
    }

    func makeTile() -> AttentionTile { AttentionTile(options, tokens: n, sequences: b * h, d, dv) }

    func queryRows(_ unit: Unit, _ tokens: Range<Int>) -> QueryRows {
        QueryRows(
            pointer: queries.row(unit.batch, unit.head, tokens.lowerBound), stride: queries.stride, tokens: tokens,
            sequence: unit.batch * h + unit.head)
    }

    func segment(_ unit: Unit, _ tokens: Range<Int>) -> KeySegment {
        KeySegment(
            keys: keys.row(unit.batch, unit.head, tokens.lowerBound),
            values: values.row(unit.batch, unit.head, tokens.lowerBound), keyStride: keys.stride,
            valueStride: values.stride, tokens: tokens)
    }

    /// The tokens over whose places a query averages that sees nothing, and how many places there are. Those before the
    /// sequence and behind its last window count as −1, those that fill the last window as 0.
    func averaged(_ token: Int) -> (tokens: Range<Int>, outside: Int, places: Int) {
        let slots = options.pattern.slots(token)
        let padded = (n + options.pattern.window - 1) / options.pattern.window * options.pattern.window
        return (slots.clamped(to: 0..<n), slots.count - slots.clamped(to: 0..<padded).count, slots.count)
    }

    private func average(_ unit: Unit, _ token: Int, into row: UnsafeMutablePointer<Float>) {
        let (tokens, outside, places) = averaged(token)
        az_fill(dv, -Float(outside), row)
        az_sum_rows(tokens.count, dv, values.row(unit.batch, unit.head, tokens.lowerBound), values.stride, row)
        az_scale(dv, 1 / Float(places), row, row)
    }
}
