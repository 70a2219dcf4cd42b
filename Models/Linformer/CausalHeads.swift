import NN
import Tensors

/// The heads of a causal form that has parameters of its own in place of E and F, for texts of any length.
///
/// b batch, n tokens, m channels, h heads, d columns of a head
protocol CausalHeads: Module {
    /// A layer's memory of one sequence: a value, so a copy is a branch of the text.
    associatedtype Memory: Sendable

    /// Attends to the tokens up to each.
    /// - Parameters:
    ///   - q, k, v: [b, n, h, d].
    ///   - x: what they are projected from, [b, n, m].
    ///   - mask: 1 for tokens that take part as keys and values, else 0, [b, n].
    /// - Returns: [b, n, h, d].
    func callAsFunction(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, of x: Tensor, mask: Tensor?, mode: ForwardMode
    ) -> Tensor

    /// Makes the memory of an empty sequence.
    func startDecoding() -> Memory

    /// Appends rows to sequences, and attends as the forward pass at their positions. The rows of sequence i are spans[i].
    /// - Parameters:
    ///   - q, k, v: [rows, h, d].
    ///   - x: [rows, m].
    /// - Returns: [rows, h, d].
    func append(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, of x: Tensor, spans: [Range<Int>], to memories: inout [Memory]
    ) -> Tensor
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
