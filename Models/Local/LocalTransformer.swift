import NN
import Tensors

// The transformer of local-attention 1.11.2: attention over windows (https://aclanthology.org/2020.acl-main.672; positions
// and windows in LocalAttention.swift, the weighted sum in NN's PlainWindowAttention.swift), gated feed-forward layers, and
// residual streams mixed by hyper-connections (https://arxiv.org/abs/2409.19606; HyperConnection.swift).
//
// b batch, n tokens, m width of the model, h heads, d columns of a head, f hidden features

// MARK: Attention

/// Projections to queries, keys and values, attention over windows, and the projection back.
///
/// Keys: norm.{weight, bias} with prenorm; to_qkv.weight; q_scale, k_scale [d] with qk_rmsnorm; attn_fn.rel_pos.inv_freq with
/// rotary positions; to_v_gate.0.{weight, bias} with gates; to_out.weight.
public struct LocalMHA: Module {
    /// Width, heads, windows and positions.
    public let options: LocalMHAOptions
    /// Nil without prenorm.
    public let norm: LayerNorm?
    /// Queries, keys and values of all heads, one behind the other: [3 h d, m].
    public let toQKV: Linear
    /// Nil without qk_rmsnorm.
    public let queryKeyNorm: QueryKeyNorm?
    /// The attention of all heads.
    public let attention: LocalAttention
    /// Nil without gates.
    public let toGates: Linear?
    /// From the heads back to the model's width: [m, h d].
    public let toOut: Linear

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ options: LocalMHAOptions, key: RandomKey) {
        let inner = options.headDimension * options.heads
        var attention = options.attention
        attention.autopads = true
        attention.dimension = options.headDimension
        attention.scale = options.normalizesQueriesAndKeys ? options.qkScale : nil
        self.options = options
        self.attention = LocalAttention(attention)
        norm = options.normalizesFirst ? LayerNorm(options.dimension) : nil
        toQKV = Linear(options.dimension, 3 * inner, bias: false, key: key.child(0))
        toOut = Linear(inner, options.dimension, bias: false, key: key.child(1))
        toGates = options.gatesHeads ? Linear(options.dimension, options.heads, key: key.child(2)) : nil
        queryKeyNorm = options.normalizesQueriesAndKeys ? QueryKeyNorm(options.headDimension) : nil
    }

    /// Attends over windows.
    /// - Parameters:
    ///   - x: [b, n, m], any n.
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n].
    ///   - bias: of the scores, for `heads` heads.
    ///   - residual: [b, n, m], added to the output.
    /// - Returns: [b, n, m].
    public func callAsFunction(
        _ x: Tensor, mask: Tensor? = nil, bias: WindowBias? = nil, residual: Tensor? = nil,
        mode: ForwardMode = .inference
    ) -> Tensor {
        require(
            x.rank == 3 && x.shape[2] == options.dimension,
            "LocalMHA: x \(x.shape), expected [b, n, \(options.dimension)]")
        let (qkv, gates) = projected(x, mode.implementation)  // [b, n, 3 h d], [b, n, h]
        let o = attended(qkv, mask: mask, bias: bias, mode: mode)  // [b, n, h d]
        return output(o, gates, residual: residual)  // [b, n, m]
    }

    /// Projects norm(x) to queries, keys and values in one, and to the gates before their sigmoid. x: [..., m]
    func projected(_ x: Tensor, _ implementation: Implementation = .fused) -> (qkv: Tensor, gates: Tensor?) {
        switch implementation {
        case .plain:
            let normalized = norm.map { $0(x) } ?? x
            return (toQKV(normalized), toGates.map { $0(normalized) })
        case .fused: return fusedProjections(x)
        }
    }

    /// Attends, head by head. qkv: [b, n, 3 h d] → [b, n, h d].
    private func attended(_ qkv: Tensor, mask: Tensor?, bias: WindowBias?, mode: ForwardMode) -> Tensor {
        switch mode.implementation {
        case .fused where readsProjection: return fusedAttention(qkv, mask: mask, bias: bias, mode: mode)
        case .fused, .plain:
            let (q, k, v) = heads(qkv)  // [b, n, h, d]
            let o = attention.attend(q, k, v, headsFirst: false, mask: mask, bias: bias, mode: mode)
            return o.reshaped(o.shape.prefix(2) + [options.heads * options.headDimension])
        }
    }

    /// Splits a projection into queries, keys and values of each head, [..., h, d], normalized with qk_rmsnorm.
    func heads(_ qkv: Tensor) -> (q: Tensor, k: Tensor, v: Tensor) {
        let axis = qkv.rank - 1
        let parts = qkv.reshaped(qkv.shape.dropLast() + [3, options.heads, options.headDimension])
        let (q, k, v) = (parts.at(axis, 0), parts.at(axis, 1), parts.at(axis, 2))
        guard let queryKeyNorm else { return (q, k, v) }
        return (queryKeyNorm.queries(q), queryKeyNorm.keys(k), v)
    }

    /// Multiplies each head's output by the sigmoid of its gate, and projects. o: [..., h d]; gates: [..., h]; residual:
    /// added, [..., m]. Returns [..., m].
    func output(_ o: Tensor, _ gates: Tensor?, residual: Tensor?) -> Tensor {
        var y = o
        if let gates {
            let heads = o.reshaped(o.shape.dropLast() + [options.heads, options.headDimension])
            y = (heads * sigmoid(gates).unsqueezed(-1)).reshaped(o.shape)
        }
        return toOut(y, residual: residual)
    }

    public func collect(into state: inout StateCollector) {
        if let norm { state.add("norm", norm) }
        state.add("to_qkv", toQKV)
        queryKeyNorm?.collect(into: &state)
        state.add("attn_fn", attention)
        if let toGates { state.add("to_v_gate.0", toGates) }
        state.add("to_out", toOut)
    }
}

// MARK: Layers

/// Attention over windows, then a gated feed-forward layer: W₂ (a ⊙ gelu(g)), a, g = W₁ norm(x) (GEGLU, 2002.05202).
///
/// Keys: 0.*; 1.0.{weight, bias} (the norm), 1.1.weight [2 f, m], 1.4.weight.
public struct LocalLayer: Module {
    /// The attention, on the residual streams.
    public let attention: Residual<LocalMHA>
    /// The feed-forward, on the residual streams.
    public let feedForward: Residual<PositionwiseFeedForward>

    init(_ configuration: LocalConfiguration, key: RandomKey) {
        var options = configuration.attention
        options.normalizesFirst = true
        if configuration.usesDynamicBias { options.attention.usesRotary = false }
        let attention = LocalMHA(options, key: key.child(0))
        let m = configuration.dimension
        let feedForward = PositionwiseFeedForward(
            m, hidden: configuration.hiddenDimension, norm: LayerNorm(m), activation: .gelu, isGated: true,
            dropout: configuration.feedForwardDropout, names: .init(norm: "0", up: "1", down: "4"), key: key.child(1))
        self.attention = Residual(attention, configuration, key: key.child(2))
        self.feedForward = Residual(feedForward, configuration, key: key.child(3))
    }

    func callAsFunction(
        _ streams: ResidualStreams, mask: Tensor?, bias: WindowBias?, mode: ForwardMode
    ) -> ResidualStreams {
        let attended = attention(streams) {
            attention.branch($0, mask: mask, bias: bias, residual: $1, mode: mode.child(0))
        }
        return feedForward(attended) { feedForward.branch($0, residual: $1, mode: mode.child(1)) }
    }

    public func collect(into state: inout StateCollector) {
        state.add("0", attention)
        state.add("1", feedForward)
    }
}

/// The layers alone, for sequences of vectors (`num_tokens` none).
///
/// Keys: dynamic_pos_bias.mlp.*; global_layers.i.*; layers.i.{0, 1}.*
public struct LocalTransformerStack: Module {
    /// The options of the model.
    public let configuration: LocalConfiguration
    /// Shared by all layers; nil without use_dynamic_pos_bias.
    public let dynamicBias: DynamicPositionBias?
    /// The layers, from the first to the last.
    public let layers: [LocalLayer]
    /// The caller's layer before each layer that has one.
    public let globalLayers: [Residual<GlobalBranch>?]

    /// - Parameters:
    ///   - key: what the initial parameters are drawn from.
    ///   - globalLayer: makes the caller's own layer before a layer (from 1), with a key for its parameters.
    public init(
        _ configuration: LocalConfiguration, key: RandomKey,
        globalLayer: ((_ layer: Int, _ key: RandomKey) -> any GlobalLayer)? = nil
    ) {
        let attention = configuration.attention
        self.configuration = configuration
        dynamicBias =
            configuration.usesDynamicBias
            ? DynamicPositionBias(configuration.dimension / 2, heads: attention.heads, key: key.child(0)) : nil
        layers = (0..<configuration.depth).map { LocalLayer(configuration, key: key.child(1).child($0)) }
        globalLayers = (0..<configuration.depth).map { index in
            guard let globalLayer, configuration.globalLayers?.contains(index + 1) ?? true else { return nil }
            let branch = GlobalBranch(layer: globalLayer(index + 1, key.child(2).child(2 * index)))
            return Residual(branch, configuration, key: key.child(2).child(2 * index + 1))
        }
    }

    /// Runs the layers.
    /// - Parameters:
    ///   - x: [b, n, m].
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n].
    /// - Returns: [b, n, m].
    public func callAsFunction(_ x: Tensor, mask: Tensor? = nil, mode: ForwardMode = .inference) -> Tensor {
        require(
            x.rank == 3 && x.shape[2] == configuration.dimension,
            "LocalTransformer: x \(x.shape), expected [b, n, \(configuration.dimension)]")
        let bias = dynamicBias.map { $0(configuration.pattern, tokens: x.shape[1]) }
        var streams = ResidualStreams(x, streams: configuration.residualStreams, implementation: mode.implementation)
        for (index, layer) in layers.enumerated() {
            let mode = mode.child(index)
            if let global = globalLayers[index] {
                streams = global(streams) { global.branch($0, residual: $1, mode: mode.child(2)) }
            }
            streams = layer(streams, mask: mask, bias: bias, mode: mode)
        }
        return streams.reduced()  // [b, n, m]
    }

    public func collect(into state: inout StateCollector) {
        if let dynamicBias { state.add("dynamic_pos_bias", dynamicBias) }
        for (index, layer) in globalLayers.enumerated() { if let layer { state.add("global_layers.\(index)", layer) } }
        state.add("layers", layers)
    }
}

// MARK: The language model

/// A language model of local attention: token and position embeddings, the layers, layer norm, logits.
///
/// Keys: token_emb.weight; pos_emb.weight; those of the layers; to_logits.0.{weight, bias}; to_logits.1.weight.
public struct LocalTransformer: LanguageModel {
    public typealias Carry = NoCarry

    /// The layers.
    public let stack: LocalTransformerStack
    /// [tokens, m]
    public let tokenEmbedding: Embedding
    /// [max_seq_len, m]
    public let positionEmbedding: Embedding
    /// The norm before the logits.
    public let finalNorm: LayerNorm
    /// [tokens, m]
    public let toLogits: Linear
    /// The options of the model.
    public var configuration: LocalConfiguration { stack.configuration }

    /// - Parameters:
    ///   - configuration: with a vocabulary.
    ///   - key: what the initial parameters are drawn from.
    ///   - globalLayer: makes the caller's own layer before a layer (from 1), with a key for its parameters.
    public init(
        _ configuration: LocalConfiguration, key: RandomKey,
        globalLayer: ((_ layer: Int, _ key: RandomKey) -> any GlobalLayer)? = nil
    ) {
        guard let tokens = configuration.tokens else {
            fatalError("LocalTransformer: no tokens; the layers alone are a LocalTransformerStack")
        }
        let m = configuration.dimension
        stack = LocalTransformerStack(configuration, key: key.child(1), globalLayer: globalLayer)
        tokenEmbedding = Embedding(tokens, m, key: key.child(0))
        positionEmbedding = Embedding(configuration.maximumLength, m, key: key.child(2))
        finalNorm = LayerNorm(m)
        toLogits = Linear(m, tokens, bias: false, key: key.child(3))
    }

    /// Computes logits.
    /// - Parameters:
    ///   - tokens: [b, n], n up to `maximumLength`.
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n].
    /// - Returns: logits [b, n, vocabulary].
    public func callAsFunction(_ tokens: TokenTensor, mask: Tensor?, mode: ForwardMode = .inference) -> Tensor {
        predictions(tokens, mask: mask, mode: mode).logits
    }

    /// Predicts the next token at each position. tokens, mask: [b, n].
    func predictions(_ tokens: TokenTensor, mask: Tensor?, mode: ForwardMode) -> Predictions {
        require(tokens.shape.count == 2, "LocalTransformer: tokens \(tokens.shape), expected [b, n]")
        let n = tokens.shape[1]
        require(
            n <= configuration.maximumLength,
            "LocalTransformer: \(n) tokens, but max_seq_len is \(configuration.maximumLength)")
        let x = tokenEmbedding(tokens) + positionEmbedding.rows(first: n)  // [b, n, m]
        let y = stack(x, mask: mask, mode: mode)
        switch mode.implementation {
        case .plain: return Predictions(logits: toLogits(finalNorm(y)))  // [b, n, vocabulary]
        case .fused: return Predictions(y, after: finalNorm, projection: toLogits)
        }
    }

    public func collect(into state: inout StateCollector) {
        state.add("token_emb", tokenEmbedding)
        state.add("pos_emb", positionEmbedding)
        stack.collect(into: &state)
        state.add("to_logits.0", finalNorm)
        state.add("to_logits.1", toLogits)
    }
}
