import Tensors

/// A multilayer perceptron: linear layers with an activation between them.
///
///     let classifier = MLP([64, 256, 10], activation: .gelu, key: RandomKey(seed: 1))
///
/// Keys: layers.i.weight [widths[i + 1], widths[i]], layers.i.bias [widths[i + 1]].
public struct MLP: Module {
    /// The linear layers, in the order of the data.
    public let layers: [Linear]
    /// The function between two layers; there is none after the last.
    public let activation: Activation
    /// The probability with which an element between two layers is 0 in training.
    public let dropout: Double

    /// Draws the initial parameters as `Linear` does.
    /// - Parameter widths: the columns of the input, of what lies between the layers, and of the output; two at least.
    public init(
        _ widths: [Int], activation: Activation = .relu, dropout: Double = 0, bias: Bool = true, key: RandomKey
    ) {
        require(widths.count >= 2, "MLP: widths \(widths); expected those of input and output at least")
        layers = widths.indices.dropLast().map {
            Linear(widths[$0], widths[$0 + 1], bias: bias, key: key.child($0))
        }
        (self.activation, self.dropout) = (activation, dropout)
    }

    /// x: [..., widths.first] → [..., widths.last]
    public func callAsFunction(_ x: Tensor, mode: ForwardMode = .inference) -> Tensor {
        var x = x
        for (index, layer) in layers.enumerated() {
            let isLast = index == layers.count - 1
            x = layer(x, activation: isLast ? .identity : activation)
            if !isLast { x = Tensors.dropout(x, probability: Float(dropout), key: mode.child(index).key) }
        }
        return x
    }

    public func collect(into state: inout StateCollector) { state.add("layers", layers) }
}
