import NN
import Tensors

// A transformer whose attention reaches over windows, with several residual streams mixed by hyper-connections
// (https://arxiv.org/abs/2409.19606).
//
// b batch, n tokens, d model

/// The layers alone, for sequences of vectors (`num_tokens` none).
///
/// Keys: dynamic_pos_bias.mlp.*; global_layers.i.*; layers.i.{0, 1}.*
public struct LocalTransformerStack: Module {
    public let configuration: LocalConfiguration
    public let dynamicBias: DynamicPositionBias?
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

    /// - Parameters:
    ///   - x: [b, n, d].
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n].
    /// - Returns: [b, n, d].
    public func callAsFunction(_ x: Tensor, mask: Tensor? = nil, mode: ForwardMode = .inference) -> Tensor {
        require(
            x.rank == 3 && x.shape[2] == configuration.dimension,
            "LocalTransformer: x \(x.shape), expected [b, n, \(configuration.dimension)]")
        let bias = dynamicBias.map { $0(configuration.pattern, tokens: x.shape[1]) }
        var streams = ResidualStreams(x, streams: configuration.residualStreams)
        for (index, layer) in layers.enumerated() {
            let mode = mode.child(index)
            if let global = globalLayers[index] {
                streams = global(streams) { input, residual in
                    let output = global.branch.layer(input, mode: mode.child(2))
                    return residual.map { output + $0 } ?? output
                }
            }
            streams = layer(streams, mask: mask, bias: bias, mode: mode)
        }
        return streams.reduced()  // [b, n, d]
    }

    public func collect(into state: inout StateCollector) {
        if let dynamicBias { state.add("dynamic_pos_bias", dynamicBias) }
        for (index, layer) in globalLayers.enumerated() { if let layer { state.add("global_layers.\(index)", layer) } }
        state.add("layers", layers)
    }
}

/// A language model of local attention: token and position embeddings, the layers, layer norm, logits.
///
/// Keys: token_emb.weight; pos_emb.weight; those of the layers; to_logits.0.{weight, bias}; to_logits.1.weight.
public struct LocalTransformer: LanguageModel {
    public typealias Carry = NoCarry

    public let stack: LocalTransformerStack
    public let tokenEmbedding: Embedding
    public let positionEmbedding: Embedding
    public let finalNorm: LayerNorm
    public let toLogits: Linear

    public var configuration: LocalConfiguration { stack.configuration }
    public var vocabularySize: Int { tokenEmbedding.weight.shape[0] }
    public var isCausal: Bool { configuration.pattern.isCausal }
    /// Each layer keeps what it reads.
    public var leastActivations: Int { configuration.depth.timesClamped(configuration.dimension) }
    public var maximumLength: Int? { configuration.maximumLength }
    public var maximumDecodingLength: Int? { nil }
    public var ignoreIndex: Int32 { configuration.ignoreIndex }

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
        let d = configuration.dimension
        stack = LocalTransformerStack(configuration, key: key.child(1), globalLayer: globalLayer)
        tokenEmbedding = Embedding(tokens, d, key: key.child(0))
        positionEmbedding = Embedding(configuration.maximumLength, d, key: key.child(2))
        finalNorm = LayerNorm(d)
        toLogits = Linear(d, tokens, bias: false, key: key.child(3))
    }

    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        self(tokens, mask: nil, mode: mode)
    }

    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        predictions(tokens, mask: nil, mode: mode)
    }

    /// - Parameters:
    ///   - tokens: [b, n], n up to `maximumLength`.
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n].
    /// - Returns: logits [b, n, vocabulary].
    public func callAsFunction(_ tokens: TokenTensor, mask: Tensor?, mode: ForwardMode = .inference) -> Tensor {
        predictions(tokens, mask: mask, mode: mode).logits
    }

    private func predictions(_ tokens: TokenTensor, mask: Tensor?, mode: ForwardMode) -> Predictions {
        require(tokens.shape.count == 2, "LocalTransformer: tokens \(tokens.shape), expected [b, n]")
        let n = tokens.shape[1]
        require(
            n <= configuration.maximumLength,
            "LocalTransformer: \(n) tokens, but max_seq_len is \(configuration.maximumLength)")
        let x = tokenEmbedding(tokens) + positionEmbedding.rows(first: n)  // [b, n, d]
        let y = stack(x, mask: mask, mode: mode)
        return Predictions(y, after: finalNorm, projection: toLogits)  // [b, n, vocabulary]
    }

    public func collect(into state: inout StateCollector) {
        state.add("token_emb", tokenEmbedding)
        state.add("pos_emb", positionEmbedding)
        stack.collect(into: &state)
        state.add("to_logits.0", finalNorm)
        state.add("to_logits.1", toLogits)
    }
}
