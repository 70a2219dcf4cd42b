import Tensors

// The layers models are built from, initialized as PyTorch's layers of the same names.

/// x Wᵀ + b. Keys: weight [out, in], bias [out].
public struct Linear: Module {
    /// [outputs, inputs]
    public let weight: Parameter
    /// [outputs]; nil without a bias.
    public let bias: Parameter?

    /// Draws weight and bias uniformly within 1/√inputs, as torch.nn.Linear does.
    public init(_ inputs: Int, _ outputs: Int, bias: Bool = true, key: RandomKey) {
        let bound = 1 / Float(max(inputs, 1)).squareRoot()
        weight = Parameter(.uniform([outputs, inputs], low: -bound, high: bound, key: key.child(0)), isMatrix: true)
        self.bias = bias ? Parameter(.uniform([outputs], low: -bound, high: bound, key: key.child(1))) : nil
    }

    /// Takes initial values that the caller has drawn: weight [out, in], bias [out].
    public init(weight: Tensor, bias: Tensor? = nil) {
        self.weight = Parameter(weight, isMatrix: true)
        self.bias = bias.map { Parameter($0) }
    }

    /// x: [..., in] → [..., out]
    public func callAsFunction(_ x: Tensor, activation: Activation = .identity) -> Tensor {
        linear(x, weight: weight.matrix, bias: bias?.value, activation: activation)
    }

    /// This layer as a part of `normLinear`.
    public var projection: Projection { Projection(weight: weight.matrix, bias: bias?.value) }

    public func collect(into state: inout StateCollector) {
        state.add("weight", weight)
        if let bias { state.add("bias", bias) }
    }
}

/// Rows of a table by token. Key: weight [tokens, d], standard normal at first.
public struct Embedding: Module {
    /// [tokens, dimension]
    public let weight: Parameter

    /// Draws the rows from the standard normal distribution, as torch.nn.Embedding does.
    public init(_ tokens: Int, _ dimension: Int, key: RandomKey) {
        weight = Parameter(.normal([tokens, dimension], key: key), isMatrix: true)
    }

    /// tokens: [...] → [..., d]
    public func callAsFunction(_ tokens: TokenTensor) -> Tensor { embedding(weight.matrix, tokens) }

    /// The first rows: [count, d].
    public func rows(first count: Int) -> Tensor {
        guard weight.roundedFormat == nil else { return self(TokenTensor((0..<Int32(count)).map { $0 })) }
        return weight.value.sliced(0, to: count)
    }

    public func collect(into state: inout StateCollector) { state.addTable("weight", weight) }
}

/// A norm that models choose by name; it can stand alone or be fused with the projections that follow it.
public protocol NormLayer: Module {
    /// The norm with its current parameters, for `normLinear`.
    var norm: Norm { get }
    /// x: [..., d] → [..., d]
    func callAsFunction(_ x: Tensor) -> Tensor
}

/// Layer normalization (1607.06450). Keys: weight [d], bias [d].
public struct LayerNorm: NormLayer {
    /// The gain, [d].
    public let weight: Parameter
    /// [d]
    public let bias: Parameter
    /// The addend to the variance.
    public let epsilon: Float

    /// Creates a norm of gain 1 and bias 0.
    public init(_ dimension: Int, epsilon: Float = 1e-5) {
        weight = Parameter(.ones([dimension]))
        bias = Parameter(.zeros([dimension]))
        self.epsilon = epsilon
    }

    /// The norm as fused operations take it.
    public var norm: Norm { .layer(weight: weight.value, bias: bias.value, epsilon: epsilon) }

    /// Normalizes rows. x: [..., d] → the same shape
    public func callAsFunction(_ x: Tensor) -> Tensor {
        layerNorm(x, weight: weight.value, bias: bias.value, epsilon: epsilon)
    }

    public func collect(into state: inout StateCollector) {
        state.add("weight", weight)
        state.add("bias", bias)
    }
}

/// Scale normalization (1910.05895): x / max(‖x‖ d^−½, ε) · g. Key: g [1].
public struct ScaleNorm: NormLayer {
    /// One number.
    public let gain: Parameter
    /// The least length that is divided by.
    public let epsilon: Float

    /// Creates a norm of gain 1.
    public init(epsilon: Float = 1e-5) {
        gain = Parameter(.ones([1]))
        self.epsilon = epsilon
    }

    /// The norm as fused operations take it.
    public var norm: Norm { .scale(gain: gain.value, epsilon: epsilon) }

    /// Normalizes rows. x: [..., d] → the same shape
    public func callAsFunction(_ x: Tensor) -> Tensor { scaleNorm(x, gain: gain.value, epsilon: epsilon) }

    public func collect(into state: inout StateCollector) { state.add("g", gain) }
}

/// Root mean square normalization (1910.07467): x / √(mean x² + ε) · weight. Key: weight [d].
public struct RMSNorm: NormLayer {
    /// The gain, [d].
    public let weight: Parameter
    /// The addend to the mean square.
    public let epsilon: Float

    /// Creates a norm of gain 1.
    public init(_ dimension: Int, epsilon: Float = 1e-5) {
        weight = Parameter(.ones([dimension]))
        self.epsilon = epsilon
    }

    /// The norm as fused operations take it.
    public var norm: Norm { .rootMeanSquare(weight: weight.value, epsilon: epsilon) }

    /// Normalizes rows. x: [..., d] → the same shape
    public func callAsFunction(_ x: Tensor) -> Tensor { rmsNorm(x, weight: weight.value, epsilon: epsilon) }

    public func collect(into state: inout StateCollector) { state.add("weight", weight) }
}
