import NN
import Tensors

/// The heads of a causal form that has parameters of its own in place of E and F, for texts of any length.
///
/// b batch, n tokens, m channels, h heads, d columns of a head
protocol CausalHeads: Module {
    /// A layer's memory of one sequence: a value, so a copy is a branch of the text.
    associatedtype Memory: Sendable

    /// The projections of the layer's input that the heads need beside queries, keys and values.
    var inputProjections: [Projection] { get }

    /// Attends to the tokens up to each.
    /// - Parameters:
    ///   - q, k, v: [b, n, h, d].
    ///   - projected: what `inputProjections` make of the layer's input, [b, n, any] each.
    ///   - mask: 1 for tokens that take part as keys and values, else 0, [b, n].
    /// - Returns: [b, n, h, d].
    func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, projected: [Tensor], mask: Tensor?, mode: ForwardMode
    ) -> Tensor

    /// Makes the memory of an empty sequence.
    func startDecoding() -> Memory

    /// Appends rows to sequences, and attends as the forward pass at their positions. The rows of sequence i are spans[i].
    /// - Parameters:
    ///   - q, k, v: [rows, h, d].
    ///   - projected: [rows, any] each.
    /// - Returns: [rows, h, d].
    func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, projected: [Tensor], spans: [Range<Int>], to memories: inout [Memory]
    ) -> Tensor
}

extension CausalHeads {
    /// Projects the layer's input. x: [..., m] → [..., any] each
    func projected(_ x: Tensor) -> [Tensor] { inputProjections.map { linear(x, weight: $0.matrix, bias: $0.bias) } }

    /// Attends to the tokens up to each; x is the layer's input, [b, n, m].
    func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, of x: Tensor, mask: Tensor?, mode: ForwardMode
    ) -> Tensor {
        self(q, k, v, projected: projected(x), mask: mask, mode: mode)
    }

    /// Appends rows to sequences; x is the layer's input, [rows, m].
    func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, of x: Tensor, spans: [Range<Int>], to memories: inout [Memory]
    ) -> Tensor {
        append(q, k, v, projected: projected(x), spans: spans, to: &memories)
    }
}

extension LinformerConfiguration {
    /// Makes the heads of a layer (from 0), where the causality has some of its own.
    /// - Parameter shared: the projection of segments of all layers, if they share it.
    func causalHeads(layer: Int, shared: SegmentWeights?, key: RandomKey) -> (any CausalHeads)? {
        switch causality {
        case .segments:
            SegmentHeads(self, layer: layer, shared: shared, key: key).convolved(self, key: key.child(-1))
        case .gatedSlots: GatedSlotHeads(self, layer: layer, key: key).convolved(self, key: key.child(-1))
        case .bidirectional, .causal, .compatible: nil
        }
    }
}

extension MHAttention {
    /// Attends to norm(x), of which the fused form of heads with parameters of their own makes all projections at once, panel
    /// by panel. x: [b, n, m] → the same shape
    func callAsFunction(
        _ x: Tensor, after norm: LayerNorm?, embeddings: Tensor?, inputMask: Tensor?, embeddingsMask: Tensor?,
        residual: Tensor, mode: ForwardMode
    ) -> Tensor {
        guard let norm, let causalHeads, mode.implementation == .fused else {
            return self(
                norm.map { $0(x) } ?? x, embeddings: embeddings, inputMask: inputMask, embeddingsMask: embeddingsMask,
                residual: residual, mode: mode)
        }
        check(x, isGiven: embeddings != nil, x, inputMask)
        let (q, k, v, others) = projections(x, after: norm, causalHeads)
        let y = causalHeads(q, k, v, projected: others, mask: inputMask, mode: mode.child(0))
        return output(y, residual: residual, mode.child(1))
    }

    /// Queries, keys, values, and what the heads need beside them, of norm(x). x: [..., m] → [..., h, d] and [..., any]
    func projections(
        _ x: Tensor, after norm: LayerNorm, _ heads: any CausalHeads
    ) -> (q: Tensor, k: Tensor, v: Tensor, others: [Tensor]) {
        let own = [toQueries, toKeys, toValues].map { Projection(weight: $0.matrix) }
        let made = normLinear(x, norm: norm.norm, own + heads.inputProjections)
        return (split(made[0]), split(made[1]), split(made[2]), Array(made[3...]))
    }
}
