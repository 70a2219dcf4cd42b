import Tensors

/// A carry with recurrent states, which a model writes anew after each block of a text.
public protocol RecurrentCarry: SegmentCarry {
    /// The states of the recurrent layers, from the lowest: [1, s, m] in a carry of one row. Empty where none were written.
    var recurrentStates: [Tensor] { get }
}
