import Tensors

/// The feed-forward layer of a transformer, which takes each token by itself (Attention Is All You Need, 1706.03762, section
/// 3.3), after a norm and with a gate (2002.05202) where they are wanted:
///
///     x̂ = norm(x)        h = f(W₁ x̂ + b₁), with a gate a ⊙ f(g) of a, g = W₁ x̂ + b₁        y = W₂ dropout(h) + b₂
///
/// Keys: norm.*; up.weight [hidden, inputs], with a gate [2 · hidden, inputs]; down.weight [outputs, hidden]; with biases
/// up.bias, down.bias. `Names` replaces the first part of each, and gives the halves of a gate keys of their own.
public struct PositionwiseFeedForward: Module {
    /// The first parts of the state-dict keys.
    public struct Names: Sendable {
        /// The norm's name.
        public var norm: String
        /// W₁ and b₁; of their half g alone where the other has a name.
        public var up: String
        /// The half a of W₁ and b₁, where it has a key of its own.
        public var linearHalf: String?
        /// The second projection's name.
        public var down: String

        /// Makes names, of which those that are not given are the usual ones.
        public init(norm: String = "norm", up: String = "up", linearHalf: String? = nil, down: String = "down") {
            (self.norm, self.up, self.linearHalf, self.down) = (norm, up, linearHalf, down)
        }
    }

    /// Nil for none, or one that the caller gives.
    public let norm: (any NormLayer)?
    private let up: UpProjection
    /// The projection back to the input's width.
    public let down: Linear
    /// f.
    public let activation: Activation
    /// True if half of the hidden columns gate the others.
    public let isGated: Bool
    /// The probability with which an element of h is 0.
    public let dropout: Double
    private let names: Names

    /// Draws the initial parameters.
    /// - Parameters:
    ///   - inputs: the columns of x.
    ///   - hidden: the columns of h.
    ///   - outputs: the columns of y; nil for those of x.
    ///   - bias: whether there are b₁ and b₂.
    public init(
        _ inputs: Int, hidden: Int, outputs: Int? = nil, norm: (any NormLayer)? = nil, bias: Bool = false,
        activation: Activation = .gelu, isGated: Bool = false, dropout: Double = 0, names: Names = Names(),
        key: RandomKey
    ) {
        require(
            names.linearHalf == nil || isGated, "PositionwiseFeedForward: names of two halves, but there is no gate")
        self.norm = norm
        if names.linearHalf == nil {
            up = .whole(Linear(inputs, isGated ? 2 * hidden : hidden, bias: bias, key: key.child(0)))
        } else {
            up = UpProjection(halves: [2, 0].map { Linear(inputs, hidden, bias: bias, key: key.child($0)) })
        }
        down = Linear(hidden, outputs ?? inputs, bias: bias, key: key.child(1))
        (self.activation, self.isGated, self.dropout, self.names) = (activation, isGated, dropout, names)
    }

    /// Returns y, plus `residual`. x: [..., inputs] → [..., outputs]
    /// - Parameter norm: in place of the layer's own.
    public func callAsFunction(
        _ x: Tensor, after norm: (any NormLayer)? = nil, residual: Tensor? = nil, mode: ForwardMode = .inference
    ) -> Tensor {
        self(x, after: norm, residual: residual.map(FeedForwardResidual.tensor) ?? FeedForwardResidual.none, mode: mode)
    }

    /// Returns y, plus `residual`, which may be x̂ itself. x: [..., inputs] → [..., outputs]
    /// - Parameter norm: in place of the layer's own.
    public func callAsFunction(
        _ x: Tensor, after norm: (any NormLayer)? = nil, residual: FeedForwardResidual, mode: ForwardMode = .inference
    ) -> Tensor {
        let norm = norm ?? self.norm
        switch mode.implementation {
        case .plain: return plain(norm.map { $0(x) } ?? x, residual: residual, mode: mode)
        case .fused:
            return feedForward(
                x, norm: norm?.norm, up: up.projection, activation: activation, isGated: isGated, dropout: dropout,
                key: mode.key, down: down.projection, residual: residual)
        }
    }

    /// Computes the same of x̂ in tensor operations.
    private func plain(_ x: Tensor, residual: FeedForwardResidual, mode: ForwardMode) -> Tensor {
        let z = linear(x, weight: up.projection.matrix, bias: up.projection.bias)  // [..., hidden or 2 · hidden]
        let halves = z.split(count: isGated ? 2 : 1)
        let h = isGated ? halves[0] * activation(halves[1]) : activation(z)  // [..., hidden]
        let y = down(Tensors.dropout(h, probability: Float(dropout), key: mode.key))  // [..., outputs]
        return switch residual {
        case .none: y
        case .tensor(let residual): residual + y
        case .input: x + y
        }
    }

    public func collect(into state: inout StateCollector) {
        if let norm { state.add(names.norm, norm) }
        switch up {
        case .whole(let linear): state.add(names.up, linear)
        case .halves(let weights, let biases):
            for (name, index) in [(names.up, 1), (names.linearHalf ?? "", 0)] {
                state.add(name + ".weight", weights.parts[index])
                if let biases { state.add(name + ".bias", biases.parts[index]) }
            }
        }
        state.add(names.down, down)
    }
}

/// W₁ and b₁ as one product: one layer, or two, a's above g's, that lie beside each other in memory.
private enum UpProjection: Sendable {
    case whole(Linear)
    case halves(weights: PackedParameters, biases: PackedParameters?)

    /// Packs two layers.
    init(halves: [Linear]) {
        let biases = halves.compactMap(\.bias?.value)
        self = .halves(
            weights: PackedParameters(halves.map(\.weight.value), isMatrix: true),
            biases: biases.isEmpty ? nil : PackedParameters(biases))
    }

    var projection: Projection {
        switch self {
        case .whole(let linear): linear.projection
        case .halves(let weights, let biases): Projection(weight: weights.matrix, bias: biases?.value)
        }
    }
}
