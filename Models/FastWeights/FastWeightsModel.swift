import NN
import Tensors

// The language model around fast weights: layers of attention and feed-forward, a last norm, embeddings and logits.
//
// b batch, n tokens, m model width

/// Attention and feed-forward, each with a residual. Keys: attn.*, norm_self_attn.*, and unless d_ff is 0 feed_forward.*,
/// norm_ff.*.
public struct FastWeightsTransformerLayer: Module {
    /// The heads and their memory.
    public let attention: FastWeightsAttention
    /// nil with d_ff 0.
    public let feedForward: PositionwiseFeedForward?
    /// Before the attention with pre_norm; otherwise without effect, as in labml-nn.
    public let attentionNorm: any NormLayer
    /// The norm of the feed-forward's input; nil with d_ff 0.
    public let feedForwardNorm: (any NormLayer)?
    private let configuration: FastWeightsConfiguration

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        self.configuration = configuration
        attention = FastWeightsAttention(configuration, key: key.child(0))
        attentionNorm = configuration.makeNorm()
        guard configuration.feedForwardDimension > 0 else {
            (feedForward, feedForwardNorm) = (nil, nil)
            return
        }
        feedForward = PositionwiseFeedForward(
            configuration.width, hidden: configuration.feedForwardDimension, bias: true,
            activation: configuration.feedForwardActivation, isGated: configuration.gatesFeedForward,
            dropout: configuration.dropout,
            names: .init(up: "layer1", linearHalf: configuration.gatesFeedForward ? "linear_v" : nil, down: "layer2"),
            key: key.child(1))
        feedForwardNorm = configuration.makeNorm()
    }

    /// The norm that the attention reads x through.
    var norm: (any NormLayer)? { configuration.normsAttention ? attentionNorm : nil }

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

    /// x + dropout(W₂ dropout(f(W₁ norm(x) + b₁)) + b₂), with a gate f(W₁ …) ⊙ (V norm(x) + c) in place of f; x without a feed-forward. x: [..., m]
    func feed(_ x: Tensor, _ mode: ForwardMode) -> Tensor {
        guard let feedForward, let feedForwardNorm else { return x }
        guard mode.key != nil, configuration.dropout > 0 else {
            return feedForward(x, after: feedForwardNorm, residual: x, mode: mode)
        }
        let y = feedForward(x, after: feedForwardNorm, mode: mode.child(0))
        return x.addingBranch(y, dropout: configuration.dropout, mode: mode.child(1))
    }

    public func collect(into state: inout StateCollector) {
        state.add("attn", attention)
        if let feedForward { state.add("feed_forward", feedForward) }
        state.add("norm_self_attn", attentionNorm)
        if let feedForwardNorm { state.add("norm_ff", feedForwardNorm) }
    }
}

/// Layers and a final norm. Keys: layers.i.*, norm.*.
public struct FastWeightsTransformer: Module {
    /// The layers in the order of the data.
    public let layers: [FastWeightsTransformerLayer]
    /// The norm after the last layer.
    public let norm: any NormLayer

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        layers = (0..<configuration.layers).map {
            FastWeightsTransformerLayer(configuration, key: key.child(configuration.startsIdentical ? 0 : $0))
        }
        norm = configuration.makeNorm()
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

    /// Runs the layers without the norm.
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

/// A language model of fast weights: embeddings, the layers, logits.
///
/// Keys: src_embed.weight; transformer.*; generator.*.
public struct FastWeightsLM: Module {
    /// The configuration it was made with.
    public let configuration: FastWeightsConfiguration
    /// The embeddings of tokens, [vocabulary, m].
    public let embedding: Embedding
    /// The layers and the last norm.
    public let transformer: FastWeightsTransformer
    /// The projection to logits, [vocabulary, m].
    public let generator: Linear

    /// - Parameter key: the source of the initial parameters.
    public init(_ configuration: FastWeightsConfiguration, key: RandomKey) {
        self.configuration = configuration
        embedding = Embedding(configuration.tokens, configuration.width, key: key.child(0))
        transformer = FastWeightsTransformer(configuration, key: key.child(1))
        generator = Linear(configuration.width, configuration.tokens, key: key.child(2))
    }

    public func predictions(
        _ tokens: TokenTensor, carries: [FastWeightsCarry?], mode: ForwardMode
    ) -> (predictions: Predictions, carries: [FastWeightsCarry?]) {
        require(
            tokens.shape.count == 2 && carries.count == tokens.shape[0],
            "FastWeightsLM: tokens \(tokens.shape), \(carries.count) carries; expected [b, n], b carries")
        let n = tokens.shape[1]
        let positions = carries.flatMap { carry in (0..<n).map { (carry?.position ?? 0) + $0 } }
        let x = embed(tokens, positions: positions)
        let (y, after) = transformer.run(x, FastWeightsCarry.states(carries), mode)
        let next = FastWeightsCarry.after(carries, tokens: n, states: after)
        return (Predictions(y, after: transformer.norm, projection: generator), next)
    }

    /// tokens: [..., n], the position of each → [..., n, m]
    func embed(_ tokens: TokenTensor, positions: [Int]) -> Tensor {
        let x = embedding(tokens)
        guard configuration.usesPositions else { return x }
        let m = configuration.width
        let table = sinusoids(
            Tensor(positions.map(Float.init)), frequencies: Tensor(inverseFrequencies(m)), dimension: m, order: .pairs)
        return x + table.reshaped(x.shape)
    }

    /// [..., m] → [..., vocabulary]
    func logits(_ x: Tensor) -> Tensor { generator(x, after: transformer.norm) }

    public func collect(into state: inout StateCollector) {
        state.add("src_embed", embedding)
        state.add("transformer", transformer)
        state.add("generator", generator)
    }
}

extension FastWeightsConfiguration {
    /// Makes a norm of the model's width.
    fileprivate func makeNorm() -> any NormLayer {
        usesRMSNorm ? RMSNorm(width, epsilon: normEpsilon) : LayerNorm(width, epsilon: normEpsilon)
    }
}
