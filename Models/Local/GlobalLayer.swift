import NN
import Tensors

/// A layer of the caller's own before chosen layers of a `LocalTransformer`: global attention, a memory, anything that
/// takes tokens to as many tokens. It stands in the residual streams like the layers beside it.
public protocol GlobalLayer: Module {
    /// x: [b, n, d] → [b, n, d], what is added to the residual.
    func callAsFunction(_ x: Tensor, mode: ForwardMode) -> Tensor

    /// The layer on one sequence, before its first token; nil where it cannot be run token by token. Then the model cannot
    /// generate. By default nil.
    func startDecoding() -> (any GlobalLayerState)?
}

extension GlobalLayer {
    public func startDecoding() -> (any GlobalLayerState)? { nil }
}

/// A global layer that reads one sequence, and what it remembers of it: a value, so a copy is a branch of the text.
public protocol GlobalLayerState: Sendable {
    /// Appends rows. x: [rows, d] → [rows, d], as the layer gives them for these tokens of the whole sequence.
    mutating func append(_ x: Tensor) -> Tensor
}

/// A global layer that works on each token alone.
public struct TokenwiseLayer<Layer: Module>: GlobalLayer, GlobalLayerState {
    /// The layer that treats each token by itself.
    public let layer: Layer
    private let apply: @Sendable (Layer, Tensor) -> Tensor

    /// - Parameter apply: [..., d] → [..., d], each row by itself.
    public init(_ layer: Layer, _ apply: @escaping @Sendable (Layer, Tensor) -> Tensor) {
        self.layer = layer
        self.apply = apply
    }

    public func callAsFunction(_ x: Tensor, mode: ForwardMode) -> Tensor { apply(layer, x) }
    public func startDecoding() -> (any GlobalLayerState)? { self }
    public func append(_ x: Tensor) -> Tensor { apply(layer, x) }
    public func collect(into state: inout StateCollector) { layer.collect(into: &state) }
}

/// The caller's layer as a branch of the residual streams.
public struct GlobalBranch: Module {
    /// The layer as the caller made it.
    public let layer: any GlobalLayer

    /// x: [b, n, d] → [b, n, d], plus `residual`.
    func callAsFunction(_ x: Tensor, residual: Tensor?, mode: ForwardMode) -> Tensor {
        let y = layer(x, mode: mode)
        return residual.map { y + $0 } ?? y
    }

    public func collect(into state: inout StateCollector) { layer.collect(into: &state) }
}
