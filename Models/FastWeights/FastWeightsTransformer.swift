import NN
import Tensors

// b batch, n tokens, m width of the model

/// Two linear layers with relu between them, the second factor of a gate beside the first (2002.05202) if wanted. Keys:
/// layer1.*, linear_v.* with a gate, layer2.*.
public struct FastWeightsFeedForward: Module {
    /// layer1's weight and bias, with a gate below those of linear_v.
    private let weights: PackedParameters
    private let biases: PackedParameters
    public let down: Linear
    public let isGated: Bool
    /// After the activation.
    public let dropout: Double

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ width: Int, hidden: Int, isGated: Bool = false, dropout: Double = 0, key: RandomKey) {
        let up = (isGated ? [2, 0] : [0]).map { Linear(width, hidden, key: key.child($0)) }
        weights = PackedParameters(up.map(\.weight.value), isMatrix: true)
        biases = PackedParameters(up.map { $0.bias!.value })
        down = Linear(hidden, width, key: key.child(1))
        (self.isGated, self.dropout) = (isGated, dropout)
    }

    /// self(norm(x)) + residual. x, residual: [..., m] → [..., m]
    func callAsFunction(_ x: Tensor, norm: LayerNorm, residual: Tensor?, mode: ForwardMode) -> Tensor {
        feedForward(
            x, norm: norm.norm, up: Projection(weight: weights.matrix, bias: biases.value), activation: .relu,
            isGated: isGated, dropout: dropout, key: mode.key, down: down.projection, residual: residual)
    }

    public func collect(into state: inout StateCollector) {
        for (name, index) in isGated ? [("layer1", 1), ("linear_v", 0)] : [("layer1", 0)] {
            state.add(name + ".weight", weights.parts[index])
            state.add(name + ".bias", biases.parts[index])
        }
        state.add("layer2", down)
    }
}

/// Attention and feed-forward, each added to what it reads. Keys: attn.*, feed_forward.*, norm_self_attn.*, norm_ff.*.
public struct FastWeightsTransformerLayer: Module {
    public let attention: FastWeightsAttention
    public let feedForward: FastWeightsFeedForward
    /// Before the attention with pre_norm; otherwise without effect, as in labml-nn.
    public let attentionNorm: LayerNorm
    public let feedForwardNorm: LayerNorm
    private let configuration: FastWeightsConfiguration

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        let m = configuration.width
        self.configuration = configuration
        attention = FastWeightsAttention(configuration, key: key.child(0))
        feedForward = FastWeightsFeedForward(
            m, hidden: configuration.feedForwardDimension, isGated: configuration.gatesFeedForward,
            dropout: configuration.dropout, key: key.child(1))
        (attentionNorm, feedForwardNorm) = (LayerNorm(m), LayerNorm(m))
    }

    /// What the attention reads x through.
    var norm: LayerNorm? { configuration.normsAttention ? attentionNorm : nil }

    /// - Parameters:
    ///   - x: [b, n, m].
    ///   - state: what was read before; nil for nothing.
    /// - Returns: [b, n, m], and what is remembered then; nil with softmax.
    public func callAsFunction(
        _ x: Tensor, state: FastWeights? = nil, mode: ForwardMode = .inference
    ) -> (output: Tensor, state: FastWeights?) {
        let (y, after) = attention(x, norm: norm, state: state, residual: x, mode: mode.child(0))
        return (feed(y, mode.child(1)), after)
    }

    /// x + dropout(feedForward(norm(x))). x: [..., m]
    func feed(_ x: Tensor, _ mode: ForwardMode) -> Tensor {
        guard mode.key != nil, configuration.dropout > 0 else {
            return feedForward(x, norm: feedForwardNorm, residual: x, mode: mode)
        }
        let y = feedForward(x, norm: feedForwardNorm, residual: nil, mode: mode.child(0))
        return x + dropout(y, probability: Float(configuration.dropout), key: mode.child(1).key)
    }

    public func collect(into state: inout StateCollector) {
        state.add("attn", attention)
        state.add("feed_forward", feedForward)
        state.add("norm_self_attn", attentionNorm)
        state.add("norm_ff", feedForwardNorm)
    }
}

/// Layers and a final norm. Keys: layers.i.*, norm.*.
public struct FastWeightsTransformer: Module {
    public let layers: [FastWeightsTransformerLayer]
    public let norm: LayerNorm

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        layers = (0..<configuration.layers).map {
            FastWeightsTransformerLayer(configuration, key: key.child(configuration.startsIdentical ? 0 : $0))
        }
        norm = LayerNorm(configuration.width)
    }

    /// - Parameters:
    ///   - x: [b, n, m].
    ///   - states: what each layer remembers of the tokens before; nil for none.
    /// - Returns: [b, n, m], and what each layer remembers then; nil with softmax. The output is the same at any split of a
    ///   sequence.
    public func callAsFunction(
        _ x: Tensor, states: [FastWeights]? = nil, mode: ForwardMode = .inference
    ) -> (output: Tensor, states: [FastWeights]?) {
        let (y, after) = run(x, states, mode)
        return (norm(y), after)
    }

    /// The layers alone.
    func run(
        _ x: Tensor, _ states: [FastWeights]?, _ mode: ForwardMode
    ) -> (output: Tensor, states: [FastWeights]?) {
        require(
            states == nil || states!.count == layers.count,
            "FastWeightsTransformer: \(states?.count ?? 0) states for \(layers.count) layers")
        var (x, after) = (x, [FastWeights]())
        for (index, layer) in layers.enumerated() {
            let (y, state) = layer(x, state: states?[index], mode: mode.child(index))
            x = y
            if let state { after.append(state) }
        }
        return (x, after.count == layers.count ? after : nil)
    }

    public func collect(into state: inout StateCollector) {
        state.add("layers", layers)
        state.add("norm", norm)
    }
}
