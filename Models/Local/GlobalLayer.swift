import NN
import Tensors

/// A layer of the caller's own before chosen layers of a `LocalTransformer`: global attention, a memory, anything that
/// takes tokens to as many tokens. It stands in the residual streams like the layers beside it.
public protocol GlobalLayer: Module {
    /// x: [b, n, d] → [b, n, d], what is added to the residual.
    func callAsFunction(_ x: Tensor, mode: ForwardMode) -> Tensor

    /// What the layer remembers of one sequence before its first token; nil where it cannot be run token by token. Then
    /// the model cannot generate.
    func startDecoding() -> (any Sendable)?

    /// Appends the rows of one sequence to its state. x: [rows, d] → [rows, d], as the whole sequence's at these tokens.
    func decode(_ x: Tensor, state: inout any Sendable) -> Tensor
}

extension GlobalLayer {
    public func startDecoding() -> (any Sendable)? { nil }
    public func decode(_ x: Tensor, state: inout any Sendable) -> Tensor {
        fatalError("\(Self.self): decode is not implemented, though startDecoding gave a state")
    }
}

/// A global layer that works on each token alone.
public struct TokenwiseLayer<Layer: Module>: GlobalLayer {
    public let layer: Layer
    private let apply: @Sendable (Layer, Tensor) -> Tensor

    /// - Parameter apply: [..., d] → [..., d], each row by itself.
    public init(_ layer: Layer, _ apply: @escaping @Sendable (Layer, Tensor) -> Tensor) {
        self.layer = layer
        self.apply = apply
    }

    public func callAsFunction(_ x: Tensor, mode: ForwardMode) -> Tensor { apply(layer, x) }
    public func startDecoding() -> (any Sendable)? { true }
    public func decode(_ x: Tensor, state: inout any Sendable) -> Tensor { apply(layer, x) }
    public func collect(into state: inout StateCollector) { layer.collect(into: &state) }
}
