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
        /// The last s − 1 queries, keys and values before the convolution, [1, s − 1, h d] each; nil for zeros.
        fileprivate var last: Last?
        /// Nil while it is with the heads, its only owner, to be written in place.
        fileprivate(set) var heads: Heads.Memory?
    }

    fileprivate typealias Last = (queries: Tensor, keys: Tensor, values: Tensor)

    /// Masked tokens count as zeros for those after them.
    func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, of x: Tensor, mask: Tensor?, mode: ForwardMode
    ) -> Tensor {
        let seen = mask.map { $0.unsqueezed(-1).unsqueezed(-1) }
        func taking(_ x: Tensor) -> Tensor { seen.map { x * $0 } ?? x }
        let y = convolved(taking(q), taking(k), taking(v), after: nil, mode.implementation)
        return heads(y.q, y.k, y.v, of: x, mask: mask, mode: mode)
    }

    /// Convolves queries, keys and values [b, n, h, d].
    private func convolved(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, after last: Last?, _ implementation: Implementation = .fused
    ) -> (q: Tensor, k: Tensor, v: Tensor, last: Last) {
        func convolved(_ x: Tensor, _ layer: ShortConvolution, _ last: Tensor?) -> (output: Tensor, last: Tensor) {
            let rows = x.reshaped(x.shape.prefix(2) + [layer.channels])
            let (y, last) = layer(rows, after: last, implementation: implementation)
            return (y.reshaped(x.shape), last)
        }
        let (q, k, v) = (
            convolved(q, queries, last?.queries), convolved(k, keys, last?.keys), convolved(v, values, last?.values)
        )
        return (q.output, k.output, v.output, (q.last, k.last, v.last))
    }

    func startDecoding() -> Memory { Memory(last: nil, heads: heads.startDecoding()) }

    func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, of x: Tensor, spans: [Range<Int>], to memories: inout [Memory]
    ) -> Tensor {
        let parts = spans.indices.map { index in
            func rows(_ x: Tensor) -> Tensor { x.part(0, spans[index]).unsqueezed(0) }
            let y = convolved(rows(q), rows(k), rows(v), after: memories[index].last)
            memories[index].last = y.last
            return y
        }
        func joined(_ parts: [Tensor]) -> Tensor { concatenate(parts, axis: 1).squeezed(0) }
        var own = memories.map { $0.heads ?? heads.startDecoding() }
        for index in memories.indices { memories[index].heads = nil }
        defer { for index in own.indices { memories[index].heads = own[index] } }
        return heads.append(
            joined(parts.map(\.q)), joined(parts.map(\.k)), joined(parts.map(\.v)), of: x, spans: spans, to: &own)
    }

    func collect(into state: inout StateCollector) {
        state.add("conv_q", queries)
        state.add("conv_k", keys)
        state.add("conv_v", values)
        heads.collect(into: &state)
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
