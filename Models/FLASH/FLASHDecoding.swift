import CKernels
import NN
import Tensors

// Decoding token by token. A layer remembers H up to the last full group, k₁, k₂ and v of the unfinished group, and for
// token shift the last token's features: s·e + 2·g·s + g·e + ⌈d/2⌉ floats at any position.

/// One layer's memory of one sequence.
public struct FLASHLayerState: Sendable {
    /// H = Σ over full groups of k₂ᵀ v / g: [s, e]
    var context: Tensor
    /// k₁, k₂ and v of the unfinished group: [g, s], [g, s], [g, e]
    var quadraticKeys: Tensor, linearKeys: Tensor, values: Tensor
    /// Tokens in the unfinished group.
    var filled = 0
    /// The normalized features of the last token that the next one takes: [1, 1, ⌈d/2⌉]
    var shifted: Tensor

    init(_ configuration: FLASHConfiguration) {
        let (g, s, e) = (configuration.groupSize, configuration.queryKeyDimension, configuration.hiddenDimension)
        context = .zeros([s, e])
        quadraticKeys = .zeros([g, s])
        linearKeys = .zeros([g, s])
        values = .zeros([g, e])
        shifted = .zeros([1, 1, (configuration.dimension + 1) / 2])
    }

    /// The memory held, including that of tensors of which the parts are views.
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

/// A model's memory of one sequence: a value, so a copy is a branch of the text.
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
            let tables = zip(tokens, states).map { rotary.table(Array($1.position..<$1.position + $0.count)) }
            for index in layers.indices {
                x = layers[index].decode(x, spans: rows.spans, tables: tables, states: &states, layer: index)
            }
            for index in states.indices { states[index].position += tokens[index].count }
            return toLogits(rows.last(x), after: finalNorm)
        }
    }
}

extension FLASH {
    /// Appends tokens to sequences.
    /// - Parameters:
    ///   - x: [rows, d], the tokens of all sequences.
    ///   - spans: the rows of each sequence.
    ///   - tables: the rotation of each sequence's tokens.
    ///   - layer: the number of this layer in the states.
    /// - Returns: [rows, d].
    func decode(
        _ x: Tensor, spans: [Range<Int>], tables: [RotaryTable], states: inout [FLASHState], layer: Int
    ) -> Tensor {
        let (rows, e) = (x.shape[0], toOut.weight.shape[1])
        var input = norm(x)
        if configuration.shiftsTokens { input = shifted(input, spans: spans, states: &states, layer: layer) }
        let (hidden, qk) = (toHidden(input), toQK(input))  // [rows, 2e], [rows, s]
        let output = Tensor(uninitialized: [rows, e])
        let bias = relativeBias.byDistance(configuration.groupSize)
        // Many sequences go to the threads one by one; for few, each product is split instead.
        let splitsProducts = spans.count < Threads.count
        states.withUnsafeMutableBufferPointer { buffer in
            nonisolated(unsafe) let buffer = buffer
            func extend(_ index: Int) {
                let writer = GroupWriter(
                    layer: self, hidden: hidden, qk: qk, bias: bias, table: tables[index], output: output,
                    splitsProducts: splitsProducts)
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

    /// Shifts the tokens of each sequence; the first one takes the features that the state remembers. x: [rows, d]
    private func shifted(
        _ x: Tensor, spans: [Range<Int>], states: inout [FLASHState], layer: Int
    ) -> Tensor {
        let pieces = zip(spans, states.indices).map { span, index in
            let tokens = x.sliced(0, from: span.lowerBound, to: span.upperBound).unsqueezed(0)
            let before = states[index].layers[layer].shifted
            let last = x.at(0, span.upperBound - 1).sliced(0, to: before.count)
            states[index].layers[layer].shifted = last.reshaped(before.shape)
            return shiftTokens(tokens, before: before)
        }
        return concatenate(pieces, axis: 1).squeezed(0)
    }
}

/// Appends tokens of one sequence to one layer's state and writes their gated outputs.
///
/// Unlike a `GroupTile`, which computes the keys and values of a whole group, it finds those of earlier tokens in the state.
private struct GroupWriter {
    let layer: FLASH
    let hidden: Tensor, qk: Tensor, bias: Tensor, table: RotaryTable, output: Tensor
    let splitsProducts: Bool
    private var g: Int { layer.configuration.groupSize }
    private var s: Int { qk.shape[1] }
    private var e: Int { output.shape[1] }

    /// Appends the tokens of a span of rows.
    func extend(_ state: inout FLASHLayerState, by span: Range<Int>) {
        state.ensureUnique()
        var first = span.lowerBound
        while first < span.upperBound {
            let count = min(span.upperBound - first, g - state.filled)
            append(first..<first + count, position: first - span.lowerBound, to: &state)
            state.filled += count
            first += count
            if state.filled == g { closeGroup(&state) }
        }
    }

    /// Appends rows that stay within the group; the first has row `position` of the table.
    private func append(_ rows: Range<Int>, position: Int, to state: inout FLASHLayerState) {
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

        multiply(
            (count, seen, s), .init(q1, stride: s), .init(keys, stride: s, transposed: true), into: weights, stride: g)
        az_masked_activation_forward(
            count, seen, state.filled, 1 / Float(g), bias.pointer + g - 1 - state.filled, nil,
            layer.configuration.attentionFunction.forward, weights, g, weights, g)
        let target = output.mutablePointer + rows.lowerBound * e
        multiply((count, e, seen), .init(weights, stride: g), .init(values, stride: e), into: target, stride: e)
        multiply(
            (count, e, s), .init(q2, stride: s), .init(state.context.pointer, stride: e), beta: 1, into: target,
            stride: e)
        let gate = hidden.pointer + rows.lowerBound * 2 * e + e
        az_silu_gate_forward(count, e, target, e, gate, 2 * e, target, e)
    }

    /// Adds k₂ᵀ v / g to H and begins a new group.
    private func closeGroup(_ state: inout FLASHLayerState) {
        multiply(
            (s, e, g), alpha: 1 / Float(g), .init(state.linearKeys.pointer, stride: s, transposed: true),
            .init(state.values.pointer, stride: e), beta: 1, into: state.context.mutablePointer, stride: e)
        state.filled = 0
    }

    /// Computes alpha · a · b + beta · c for a [m, k] and b [k, n].
    private func multiply(
        _ size: (m: Int, n: Int, k: Int), alpha: Float = 1, _ a: BLAS.Operand, _ b: BLAS.Operand, beta: Float = 0,
        into c: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let (m, n, k) = size
        if splitsProducts {
            BLAS.multiplyInParallel(m, n, k, alpha: alpha, a, b, beta: beta, c, stride: stride)
        } else {
            BLAS.multiply(m, n, k, alpha: alpha, a, b, beta: beta, c, stride: stride)
        }
    }
}
