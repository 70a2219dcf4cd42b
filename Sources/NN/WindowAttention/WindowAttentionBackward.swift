import CKernels
import Tensors

// The gradient of sliding-window attention, tile by tile of queries, from weights computed again:
//
//     P = exp(S − L)      D = Σ over columns of dO ⊙ O      dP = dO Vᵀ      dS = P ⊙ (dP − D)
//     dV += Pᵀ dO         dQ = scale · dS K                 dK += scale · dSᵀ Q
//
// A unit adds to the gradients of its own tokens' keys and values in place. What it owes to tokens of its neighbors it
// gathers in memory of its own; that is added afterwards, in order, so the bits do not depend on the threads' timing.

struct WindowAttentionBackward: @unchecked Sendable {
    private let attention: WindowAttention
    private let output: HeadRows
    private let logSums: Tensor
    private let gradient: HeadRows
    private let dQueries: HeadRows, dKeys: HeadRows, dValues: HeadRows

    init(
        _ attention: WindowAttention, output: HeadRows, logSums: Tensor, gradient: HeadRows, made: [HeadRows]
    ) {
        (self.attention, self.output, self.logSums, self.gradient) = (attention, output, logSums, gradient)
        (dQueries, dKeys, dValues) = (made[0], made[1], made[2])
    }

    /// Fills the gradients of queries, keys and values, and adds to that of the bias.
    func run(bias slot: InputGradient?) {
        let units = attention.units
        let bias = slot?.isNeeded == true ? attention.options.bias : nil
        let perHead = bias.map { $0.values.count / $0.heads } ?? 0
        let biasGradients = Tensor.zeros([units.count, perHead])
        let pBias = biasGradients.mutablePointer
        var spilled = [[Spill]](repeating: [], count: units.count)
        spilled.withUnsafeMutableBufferPointer { spilled in
            nonisolated(unsafe) let spilled = spilled
            parallelFor(units.count) { index in
                let dBias = bias == nil ? nil : pBias + index * perHead
                spilled[index] = UnitBackward(self, units[index], dBias).run()
            }
        }
        for (unit, spills) in zip(units, spilled) { for spill in spills { add(spill, unit) } }
        guard let slot, let bias else { return }
        let h = attention.h
        slot.accumulate { destination, beta in
            if beta == 0 { az_fill(bias.values.count, 0, destination) }
            for (index, unit) in units.enumerated() {
                let head = (unit.batch * h + unit.head) % bias.heads
                az_scale_add(perHead, 1, pBias + index * perHead, 1, destination + head * perHead)
            }
        }
    }

    /// The gradients that a unit adds to keys and values of other units' tokens.
    struct Spill {
        let tokens: Range<Int>
        /// [tokens, d] and [tokens, e]
        let keys: Tensor, values: Tensor

        init(_ tokens: Range<Int>, _ d: Int, _ dv: Int) {
            self.tokens = tokens
            keys = .zeros([tokens.count, d])
            values = .zeros([tokens.count, dv])
        }
    }

    private func add(_ spill: Spill, _ unit: WindowAttention.Unit) {
        let (d, dv, first) = (attention.d, attention.dv, spill.tokens.lowerBound)
        az_add_2d(
            spill.tokens.count, d, spill.keys.pointer, d, 1, dKeys.target(unit.batch, unit.head, first), dKeys.stride, 1
        )
        az_add_2d(
            spill.tokens.count, dv, spill.values.pointer, dv, 1, dValues.target(unit.batch, unit.head, first),
            dValues.stride, 1)
    }

    /// The backward pass of one unit, with its buffers.
    private final class UnitBackward {
        let pass: WindowAttentionBackward
        let attention: WindowAttention
        let unit: WindowAttention.Unit
        let dBias: UnsafeMutablePointer<Float>?
        let tile: AttentionTile
        let memory: Tensor
        /// [rows, columns], [rows] and [rows, d]
        let dScores: UnsafeMutablePointer<Float>, means: UnsafeMutablePointer<Float>,
            dScaled: UnsafeMutablePointer<Float>
        /// Before and after the unit's own tokens.
        let before: Spill, after: Spill

        init(_ pass: WindowAttentionBackward, _ unit: WindowAttention.Unit, _ dBias: UnsafeMutablePointer<Float>?) {
            (self.pass, self.unit, self.dBias) = (pass, unit, dBias)
            attention = pass.attention
            tile = attention.makeTile()
            let rows = AttentionTile.rows
            memory = Tensor(uninitialized: [rows * (AttentionTile.columns + 1 + attention.d)])
            dScores = memory.mutablePointer
            means = dScores + rows * AttentionTile.columns
            dScaled = means + rows
            let (pattern, own) = (attention.options.pattern, unit.queries)
            var all = pattern.keys(own, of: attention.n)
            if attention.options.mask != nil {
                // A query that sees nothing averages over all of its windows.
                let slots = pattern.slots(own.lowerBound).lowerBound..<pattern.slots(own.upperBound - 1).upperBound
                all = slots.clamped(to: 0..<attention.n)
            }
            before = Spill(min(all.lowerBound, own.lowerBound)..<own.lowerBound, attention.d, attention.dv)
            after = Spill(own.upperBound..<max(all.upperBound, own.upperBound), attention.d, attention.dv)
        }

        func run() -> [Spill] {
            let own = unit.queries
            zero(pass.dKeys, attention.d)
            zero(pass.dValues, attention.dv)
            AttentionTile.forEachTile(own, attention.options, add)
            return [before, after].filter { !$0.tokens.isEmpty }
        }

        private func zero(_ rows: HeadRows, _ width: Int) {
            for token in unit.queries { az_fill(width, 0, rows.target(unit.batch, unit.head, token)) }
        }

        /// Returns the memory that gathers the gradients of a token's key and value.
        private func targets(
            _ token: Int
        ) -> (keys: UnsafeMutablePointer<Float>, keyStride: Int, values: UnsafeMutablePointer<Float>, valueStride: Int)
        {
            let (d, dv) = (attention.d, attention.dv)
            for spill in [before, after] where spill.tokens.contains(token) {
                let row = token - spill.tokens.lowerBound
                return (spill.keys.mutablePointer + row * d, d, spill.values.mutablePointer + row * dv, dv)
            }
            return (
                pass.dKeys.target(unit.batch, unit.head, token), pass.dKeys.stride,
                pass.dValues.target(unit.batch, unit.head, token), pass.dValues.stride
            )
        }

        private func add(_ tokens: Range<Int>) {
            let (d, dv, count) = (attention.d, attention.dv, tokens.count)
            let rows = attention.queryRows(unit, tokens)
            let dOutput = pass.gradient.row(unit.batch, unit.head, tokens.lowerBound)
            let stride = pass.gradient.stride
            let logSums = pass.logSums.pointer + rows.sequence * attention.n + tokens.lowerBound
            az_row_dots(
                count, dv, dOutput, stride, pass.output.row(unit.batch, unit.head, tokens.lowerBound),
                pass.output.stride, means)
            let dQuery = pass.dQueries.target(unit.batch, unit.head, tokens.lowerBound)
            let gradient = BLAS.Operand(dOutput, stride: stride)
            let columns = AttentionTile.columns
            var beta: Float = 0
            tile.forEachChunk(segments(tokens), rows) { keys, keyRows, valueRows, queryRows in
                let target = targets(keys.lowerBound)
                tile.score(rows, keys, keys: keyRows, queries: queryRows)
                BLAS.multiply(
                    count, keys.count, dv, gradient,
                    .init(valueRows.pointer, stride: valueRows.stride, transposed: true),
                    dScores, stride: columns)
                tile.softmaxBackward(rows, keys, logSums: logSums, means: means, gradients: dScores, bias: dBias)
                BLAS.multiply(
                    keys.count, dv, count, .init(tile.scores, stride: columns, transposed: true), gradient, beta: 1,
                    target.values, stride: target.valueStride)
                BLAS.multiply(
                    keys.count, d, count, alpha: attention.options.scale,
                    .init(dScores, stride: columns, transposed: true), queryRows, beta: 1, target.keys,
                    stride: target.keyStride)
                addQueryGradient(rows, keys, keyRows, beta: beta, to: dQuery)
                beta = 1
            }
            if attention.options.mask != nil { addAverages(tokens, logSums: logSums, dOutput: dOutput, stride: stride) }
        }

        /// dQ = scale · dS K, through the window's factors where there are some.
        private func addQueryGradient(
            _ rows: QueryRows, _ keys: Range<Int>, _ keyRows: BLAS.Operand, beta: Float,
            to target: UnsafeMutablePointer<Float>
        ) {
            let (d, count, stride) = (attention.d, rows.tokens.count, pass.dQueries.stride)
            let left = BLAS.Operand(dScores, stride: AttentionTile.columns)
            let scale = attention.options.scale
            guard let factors = tile.factors(rows, keys) else {
                BLAS.multiply(count, d, keys.count, alpha: scale, left, keyRows, beta: beta, target, stride: stride)
                return
            }
            BLAS.multiply(count, d, keys.count, alpha: scale, left, keyRows, dScaled, stride: d)
            if beta == 0 {
                az_scale_columns(count, d, factors, dScaled, d, target, stride)
            } else {
                az_scale_columns(count, d, factors, dScaled, d, dScaled, d)
                az_add_2d(count, d, dScaled, d, 1, target, stride, 1)
            }
        }

        /// The keys of a tile, cut where they stop being the unit's own.
        private func segments(_ tokens: Range<Int>) -> [KeySegment] {
            let (all, own) = (attention.options.pattern.keys(tokens, of: attention.n), unit.queries)
            return [
                all.clamped(to: 0..<own.lowerBound), all.clamped(to: own),
                all.clamped(to: own.upperBound..<max(own.upperBound, attention.n)),
            ].filter { !$0.isEmpty }.map { attention.segment(unit, $0) }
        }

        /// The gradients of values that a query averages which sees nothing.
        private func addAverages(
            _ tokens: Range<Int>, logSums: UnsafePointer<Float>, dOutput: UnsafePointer<Float>, stride: Int
        ) {
            for (row, token) in tokens.enumerated() where logSums[row] == .infinity {
                let (averaged, _, places) = attention.averaged(token)
                for key in averaged {
                    az_scale_add(attention.dv, 1 / Float(places), dOutput + row * stride, 1, targets(key).values)
                }
            }
        }
    }
}
