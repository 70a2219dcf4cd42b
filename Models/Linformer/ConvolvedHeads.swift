import CKernels
import NN
import Tensors

// A short convolution of each column over its last few tokens before the heads compare and sum them: Primer, So et al. 2021,
// https://arxiv.org/abs/2109.08668, section 3 ("multi-DConv-head attention"). What stands beside a token is then in its own
// query, key and value, which attention alone takes long to learn.
//
// b batch, n tokens, m channels, h heads, d columns of a head, s tokens of the convolution

/// The heads of a causal form after a convolution of queries, keys and values.
///
/// Keys: conv_q.weight, conv_k.weight, conv_v.weight [h d, 1, s], and those of the heads.
struct ConvolvedHeads<Heads: CausalHeads>: CausalHeads {
    let heads: Heads
    let queries: ShortConvolution, keys: ShortConvolution, values: ShortConvolution

    /// - Parameters:
    ///   - columns: h · d.
    ///   - kernel: s, at least 1.
    init(_ heads: Heads, columns: Int, kernel: Int, key: RandomKey) {
        func make(_ index: Int) -> ShortConvolution {
            ShortConvolution(columns, kernel: kernel, activation: .identity, key: key.child(index))
        }
        self.heads = heads
        (queries, keys, values) = (make(0), make(1), make(2))
    }

    /// What a layer remembers of a sequence.
    struct Memory: Sendable {
        /// The last s − 1 queries, keys and values before the convolution, [s − 1, h d] each; nil for zeros.
        fileprivate var last: Last?
        /// Nil while it is with the heads, its only owner, to be written in place.
        fileprivate(set) var heads: Heads.Memory?
    }

    fileprivate typealias Last = (queries: Tensor, keys: Tensor, values: Tensor)

    /// Masked tokens count as zeros for those after them.
    func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, projected: [Tensor], mask: Tensor?, mode: ForwardMode
    ) -> Tensor {
        let seen = mask.map { $0.unsqueezed(-1).unsqueezed(-1) }
        func taking(_ x: Tensor) -> Tensor { seen.map { x * $0 } ?? x }
        func convolved(_ x: Tensor, _ layer: ShortConvolution) -> Tensor {
            let rows = taking(x).reshaped(x.shape.prefix(2) + [layer.channels])
            return layer(rows, implementation: mode.implementation).output.reshaped(x.shape)
        }
        return heads(
            convolved(q, queries), convolved(k, keys), convolved(v, values), projected: projected, mask: mask,
            mode: mode)
    }

    var inputProjections: [Projection] { heads.inputProjections }

    func startDecoding() -> Memory { Memory(last: nil, heads: heads.startDecoding()) }

    func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, projected: [Tensor], spans: [Range<Int>], to memories: inout [Memory]
    ) -> Tensor {
        let q = ConvolvedRows(q, queries, spans, after: memories.map { $0.last?.queries })
        let k = ConvolvedRows(k, keys, spans, after: memories.map { $0.last?.keys })
        let v = ConvolvedRows(v, values, spans, after: memories.map { $0.last?.values })
        for index in memories.indices { memories[index].last = (q.last[index], k.last[index], v.last[index]) }
        var own = memories.map { $0.heads ?? heads.startDecoding() }
        for index in memories.indices { memories[index].heads = nil }
        defer { for index in own.indices { memories[index].heads = own[index] } }
        return heads.append(q.output, k.output, v.output, projected: projected, spans: spans, to: &own)
    }

    func collect(into state: inout StateCollector) {
        state.add("conv_q", queries)
        state.add("conv_k", keys)
        state.add("conv_v", values)
        heads.collect(into: &state)
    }
}

/// The convolution of the appended rows of several sequences, where they lie: a generated token has three in each layer.
private struct ConvolvedRows {
    /// [rows, h, d]
    let output: Tensor
    /// The last s − 1 rows of each sequence before the convolution, [s − 1, h d].
    let last: [Tensor]

    /// - Parameters:
    ///   - x: [rows, h, d].
    ///   - spans: the rows of each sequence.
    ///   - before: the rows before them, as `last`; nil for zeros.
    init(_ x: Tensor, _ layer: ShortConvolution, _ spans: [Range<Int>], after before: [Tensor?]) {
        let (c, s, x) = (layer.channels, layer.kernel, x.contiguous())
        let output = Tensor(uninitialized: x.shape)
        let weight = layer.weight.value.contiguous()
        let zeros = Tensor.zeros([s * c])
        let taps = Tensor(uninitialized: [s, c])
        az_copy_2d(s, c, weight.pointer, 1, s, taps.mutablePointer, c, 1)
        last = zip(spans, before).map { span, before in
            let (rows, history) = (x.pointer + span.lowerBound * c, (before ?? zeros).pointer)
            az_short_convolution_forward(
                span.count, c, s, nil, taps.pointer, c, zeros.pointer, history, c, rows, c,
                output.mutablePointer + span.lowerBound * c, c)
            let last = Tensor(uninitialized: [s - 1, c])
            let old = max(0, s - 1 - span.count)
            last.mutablePointer.update(from: history + (s - 1 - old) * c, count: old * c)
            (last.mutablePointer + old * c).update(
                from: rows + (span.count - (s - 1 - old)) * c, count: (s - 1 - old) * c)
            return last
        }
        self.output = output
        withExtendedLifetime((x, weight, zeros, taps, before)) {}
    }
}

extension CausalHeads {
    /// Puts a short convolution before the heads, if the configuration has one.
    func convolved(_ configuration: LinformerConfiguration, key: RandomKey) -> any CausalHeads {
        if configuration.shortConvolution == 0 { return self }
        return ConvolvedHeads(
            self, columns: configuration.heads * configuration.headWidth, kernel: configuration.shortConvolution,
            key: key)
    }
}
