import CKernels
import NN
import Tensors

// Reading a sequence token by token. A layer remembers H up to the last full group, k₁, k₂ and v of the group it is in,
// and for token shift the last token's features: (s + 2g)·… floats whatever the position.

/// What one layer remembers of one sequence.
public struct FLASHLayerState: Sendable {
    /// H = Σ over full groups of k₂ᵀ v / g: [s, e]
    var context: Tensor
    /// k₁, k₂ and v of the unfinished group: [g, s], [g, s], [g, e]
    var quadraticKeys: Tensor, linearKeys: Tensor, values: Tensor
    /// Tokens in the unfinished group.
    var filled = 0
    /// The part of the last token's normalised features that the next token gets: [1, 1, ⌈d/2⌉]
    var shifted: Tensor

    init(_ configuration: FLASHConfiguration) {
        let (g, s, e) = (configuration.groupSize, configuration.queryKeyDimension, configuration.hiddenDimension)
        context = .zeros([s, e])
        quadraticKeys = .zeros([g, s])
        linearKeys = .zeros([g, s])
        values = .zeros([g, e])
        shifted = .zeros([1, 1, (configuration.dimension + 1) / 2])
    }

    /// Memory held, that of tensors the parts are views of included.
    var bytes: Int {
        [context, quadraticKeys, linearKeys, values, shifted].reduce(0) { $0 + $1.heldBytes }
    }

    mutating func ensureUnique() {
        context.ensureUnique()
        quadraticKeys.ensureUnique()
        linearKeys.ensureUnique()
        values.ensureUnique()
        shifted.ensureUnique()
    }
}

/// What a model remembers of one sequence: a value, so a copy is a branch of the text.
public struct FLASHState: Sendable {
    /// Tokens read so far.
    public internal(set) var position = 0
    var layers: [FLASHLayerState]
}

extension FLASHTransformer {
    public func startDecoding() -> FLASHState {
        FLASHState(layers: layers.map { FLASHLayerState($0.configuration) })
    }

    public func decode(_ tokens: [[Int32]], states: inout [FLASHState]) -> Tensor {
        require(isCausal, "FLASHTransformer.decode: the model is not causal")
        let rows = RaggedRows(tokens, states: states.count, "FLASHTransformer")
        return withoutGradients {
            var x = tokenEmbedding(rows.tokens)  // [rows, d]
            x = x + concatenate(zip(tokens, states).map { absolutePositions($0.count, from: $1.position) })
            let tables = zip(tokens, states).map { rotary.table($0.count, from: $1.position) }
            for index in layers.indices {
                x = layers[index].decode(x, rows.spans, tables, &states, layer: index)
            }
            for index in states.indices { states[index].position += tokens[index].count }
            return toLogits(rows.last(x), after: finalNorm)
        }
    }
}

extension FLASH {
    /// Appends rows to sequences. x: [rows, d], the rows of sequence i in spans[i]. Returns [rows, d].
    func decode(
        _ x: Tensor, _ spans: [Range<Int>], _ tables: [RotaryTable], _ states: inout [FLASHState], layer: Int
    ) -> Tensor {
        let (rows, e) = (x.shape[0], toOut.weight.shape[1])
        var input = norm(x)
        if configuration.shiftsTokens { input = shifted(input, spans, &states, layer) }
        let (hidden, qk) = (toHidden(input), toQK(input))  // [rows, 2e], [rows, s]
        let output = Tensor(uninitialized: [rows, e])
        let bias = relativeBias.byDistance(configuration.groupSize)
        // Many sequences go to the threads one by one; for few, each product is split instead.
        let splitsProducts = spans.count < Threads.count
        states.withUnsafeMutableBufferPointer { buffer in
            nonisolated(unsafe) let buffer = buffer
            func extend(_ index: Int) {
                var writer = GroupWriter(self, hidden, qk, bias, tables[index], output, splitsProducts)
                writer.extend(&buffer[index].layers[layer], by: spans[index])
            }
            if splitsProducts {
                for index in spans.indices { extend(index) }
            } else {
                parallelFor(spans.count, extend)
            }
        }
        return toOut(output, residual: x)
    }

    /// Shifts the tokens of each sequence, the first of them by what its state remembers. x: [rows, d]
    private func shifted(
        _ x: Tensor, _ spans: [Range<Int>], _ states: inout [FLASHState], _ layer: Int
    ) -> Tensor {
        let pieces = spans.indices.map { index in
            let tokens = x.sliced(0, from: spans[index].lowerBound, to: spans[index].upperBound).unsqueezed(0)
            let before = states[index].layers[layer].shifted
            states[index].layers[layer].shifted = tokens.sliced(1, from: tokens.shape[1] - 1).sliced(
                2, to: before.count)
            return shiftTokens(tokens, before: before)
        }
        return concatenate(pieces, axis: 1).squeezed(0)
    }
}

/// Appends tokens of one sequence to one layer's state and writes their gated outputs.
private struct GroupWriter {
    let layer: FLASH
    let hidden: Tensor, qk: Tensor, bias: Tensor, table: RotaryTable, output: Tensor
    let splitsProducts: Bool
    let g: Int, s: Int, e: Int

    init(
        _ layer: FLASH, _ hidden: Tensor, _ qk: Tensor, _ bias: Tensor, _ table: RotaryTable, _ output: Tensor,
        _ splitsProducts: Bool
    ) {
        (self.layer, self.hidden, self.qk, self.bias) = (layer, hidden, qk, bias)
        (self.table, self.output, self.splitsProducts) = (table, output, splitsProducts)
        (g, s, e) = (layer.configuration.groupSize, qk.shape[1], output.shape[1])
    }

    mutating func extend(_ state: inout FLASHLayerState, by span: Range<Int>) {
        state.ensureUnique()
        var first = span.lowerBound
        while first < span.upperBound {
            let count = min(span.upperBound - first, g - state.filled)
            append(first..<first + count, first - span.lowerBound, &state)
            state.filled += count
            first += count
            if state.filled == g { closeGroup(&state) }
        }
    }

    /// Rows that stay within the group; `position` counts them from the table's first.
    private func append(_ rows: Range<Int>, _ position: Int, _ state: inout FLASHLayerState) {
        let (count, seen) = (rows.count, state.filled + rows.count)
        let scratch = Tensor(uninitialized: [count * (3 * s + g)])
        let shared = scratch.mutablePointer
        let (q1, q2, weights) = (shared + count * s, shared + 2 * count * s, shared + 3 * count * s)
        let (keys, values) = (state.quadraticKeys.mutablePointer, state.values.mutablePointer)
        let heads = [
            q1, q2, keys + state.filled * s, state.linearKeys.mutablePointer + state.filled * s,
        ]
        writeHeads(
            count: count, qk: qk.pointer + rows.lowerBound * s, gamma: layer.offsetScale.gamma.value,
            beta: layer.offsetScale.beta.value, rotary: table, position: position, shared: shared, heads: heads)
        az_silu_rows_forward(
            count, e, hidden.pointer + rows.lowerBound * 2 * e, 2 * e, values + state.filled * e, e)

        multiply(count, seen, s, .init(q1, stride: s), .init(keys, stride: s, transposed: true), 0, weights, g)
        az_masked_activation_forward(
            count, seen, state.filled, 1 / Float(g), bias.pointer + g - 1 - state.filled, nil,
            layer.configuration.attentionFunction.forward, weights, g, weights, g)
        let target = output.mutablePointer + rows.lowerBound * e
        multiply(count, e, seen, .init(weights, stride: g), .init(values, stride: e), 0, target, e)
        multiply(count, e, s, .init(q2, stride: s), .init(state.context.pointer, stride: e), 1, target, e)
        let gate = hidden.pointer + rows.lowerBound * 2 * e + e
        az_silu_gate_forward(count, e, target, e, gate, 2 * e, target, e)
    }

    /// H += k₂ᵀ v / g
    private func closeGroup(_ state: inout FLASHLayerState) {
        let factor = 1 / Float(g)
        let (a, b) = (
            BLAS.Operand(state.linearKeys.pointer, stride: s, transposed: true),
            BLAS.Operand(state.values.pointer, stride: e)
        )
        let target = state.context.mutablePointer
        if splitsProducts {
            BLAS.multiplyInParallel(s, e, g, alpha: factor, a, b, beta: 1, target, stride: e)
        } else {
            BLAS.multiply(s, e, g, alpha: factor, a, b, beta: 1, target, stride: e)
        }
        state.filled = 0
    }

    private func multiply(
        _ m: Int, _ n: Int, _ k: Int, _ a: BLAS.Operand, _ b: BLAS.Operand, _ beta: Float,
        _ c: UnsafeMutablePointer<Float>, _ stride: Int
    ) {
        if splitsProducts {
            BLAS.multiplyInParallel(m, n, k, a, b, beta: beta, c, stride: stride)
        } else {
            BLAS.multiply(m, n, k, a, b, beta: beta, c, stride: stride)
        }
    }
}
