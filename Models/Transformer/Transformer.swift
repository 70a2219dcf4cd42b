import NN
import Tensors

// A decoder-only transformer with full softmax attention: the baseline of the others. Attention Is All You Need,
// https://arxiv.org/abs/1706.03762, with what has become usual since: norms before the sub-layers
// (https://arxiv.org/abs/2002.04745), rotary positions (https://arxiv.org/abs/2104.09864), GELU
// (https://arxiv.org/abs/1606.08415), and no biases beside the norms' (PaLM, https://arxiv.org/abs/2204.02311).
//
// b batch, n tokens, m model width, h heads, d columns of a head

/// Multi-head causal softmax attention, a norm before it, and the residual.
///
/// Keys: norm.{weight, bias}; to_q, to_k, to_v [h d, m] and to_out [m, h d], .weight each.
public struct TransformerAttention: Module {
    /// The options of the model.
    public let configuration: TransformerConfiguration
    /// The norm before the attention.
    public let norm: LayerNorm
    /// Queries, keys and values of all heads, [h d, m], and the way back, [m, h d].
    public let toQueries: Linear, toKeys: Linear, toValues: Linear, toOut: Linear

    init(_ configuration: TransformerConfiguration, key: RandomKey) {
        let (m, inner) = (configuration.dimension, configuration.heads * configuration.headDimension)
        self.configuration = configuration
        norm = LayerNorm(m)
        toQueries = Linear(m, inner, bias: false, key: key.child(0))
        toKeys = Linear(m, inner, bias: false, key: key.child(1))
        toValues = Linear(m, inner, bias: false, key: key.child(2))
        toOut = Linear(inner, m, bias: false, key: key.child(3))
    }

    /// x: [b, n, m], token i rotated by row i → [b, n, m], x included.
    func callAsFunction(_ x: Tensor, _ rotation: RotaryTable, mode: ForwardMode) -> Tensor {
        let (q, k, v) = project(x, rotation, mode)
        if let recorder = mode.recorder { withoutGradients { recorder.record(weights(q, k)) } }
        return finish(attend(q, k, v, mode: mode), residual: x)
    }

    /// Queries and keys, rotated by their positions, and values: [b, n, h, d] each.
    func project(_ x: Tensor, _ rotation: RotaryTable, _ mode: ForwardMode) -> (q: Tensor, k: Tensor, v: Tensor) {
        let shape = [x.shape[0], x.shape[1], configuration.heads, configuration.headDimension]
        let layers = [toQueries, toKeys, toValues]
        let parts =
            switch mode.implementation {
            case .plain: layers.map { $0(norm(x)).reshaped(shape) }
            case .fused: normLinear(x, norm: norm.norm, layers.map(\.projection)).map { $0.reshaped(shape) }
            }
        let rotated = parts[..<2].map { rotation.rotate($0, implementation: mode.implementation) }
        return (rotated[0], rotated[1], parts[2])
    }

    /// softmax(q kᵀ / √d) v over the tokens up to each (1706.03762, equation 1): [b, n, h, d].
    private func attend(_ q: Tensor, _ k: Tensor, _ v: Tensor, mode: ForwardMode) -> Tensor {
        let drops = configuration.attentionDropout
        switch mode.implementation == .plain ? .naive : configuration.attention {
        case .fused: return attention(q, k, v, scale: scale, isCausal: true, dropout: drops, key: mode.key)
        case .naive:
            let kept = dropout(weights(q, k), probability: Float(drops), key: mode.key)  // [b, h, n, n]
            return matrixProduct(kept, v.transposed(1, 2)).transposed(1, 2)
        }
    }

    /// The same weights one step after another: [b, h, n, n].
    func weights(_ q: Tensor, _ k: Tensor) -> Tensor {
        let n = q.shape[1]
        let scores = matrixProduct(q.transposed(1, 2), k.transposed(1, 2), transposeB: true) * scale
        return softmax(select(.lowerTriangle(n, n), scores, -.infinity))
    }

    var scale: Float { 1 / Float(configuration.headDimension).squareRoot() }

    /// heads: [b, n, h, d] → [b, n, m]
    func finish(_ heads: Tensor, residual x: Tensor) -> Tensor {
        toOut(heads.reshaped([x.shape[0], x.shape[1], heads.shape[2] * heads.shape[3]]), residual: x)
    }

    public func collect(into state: inout StateCollector) {
        state.add("norm", norm)
        state.add("to_q", toQueries)
        state.add("to_k", toKeys)
        state.add("to_v", toValues)
        state.add("to_out", toOut)
    }
}

/// Attention, then the feed-forward x + W₂ gelu(W₁ norm(x)).
///
/// Keys: attn.*; ff.norm.{weight, bias}, ff.up.weight, ff.down.weight.
public struct TransformerLayer: Module {
    /// x + attention(norm(x)).
    public let attention: TransformerAttention
    /// The feed-forward, with its norm.
    public let feedForward: PositionwiseFeedForward

    init(_ configuration: TransformerConfiguration, key: RandomKey) {
        attention = TransformerAttention(configuration, key: key.child(0))
        feedForward = PositionwiseFeedForward(
            configuration.dimension, hidden: configuration.hiddenDimension, norm: LayerNorm(configuration.dimension),
            activation: .gelu, dropout: configuration.feedForwardDropout, key: key.child(1))
    }

    public func collect(into state: inout StateCollector) {
        state.add("attn", attention)
        state.add("ff", feedForward)
    }
}

/// Token embeddings, the layers, a layer norm, logits of a matrix of their own. Sequences of any length.
///
/// Keys: token_emb.weight; layers.i.*; norm.{weight, bias}; to_logits.weight.
public struct Transformer: LanguageModel {
    public typealias Carry = NoCarry

    /// The options of the model.
    public let configuration: TransformerConfiguration
    /// [tokens, m]
    public let tokenEmbedding: Embedding
    /// The layers, from the first to the last.
    public let layers: [TransformerLayer]
    /// The norm before the logits.
    public let finalNorm: LayerNorm
    /// [tokens, m]
    public let toLogits: Linear
    let rotary: Rotary

    public var vocabularySize: Int { configuration.tokens }
    public var isCausal: Bool { true }
    /// Each layer keeps what it reads.
    public var leastActivations: Int { configuration.depth.timesClamped(configuration.dimension) }

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ configuration: TransformerConfiguration, key: RandomKey) {
        let m = configuration.dimension
        self.configuration = configuration
        tokenEmbedding = Embedding(configuration.tokens, m, key: key.child(0))
        layers = (0..<configuration.depth).map { TransformerLayer(configuration, key: key.child(1).child($0)) }
        finalNorm = LayerNorm(m)
        toLogits = Linear(m, configuration.tokens, bias: false, key: key.child(2))
        rotary = Rotary(configuration.headDimension)
    }

    /// tokens: [b, n] → [b, n, vocabulary]
    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        predictions(tokens, mode: mode).logits
    }

    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        Predictions(features(tokens, mode: mode), after: finalNorm, projection: toLogits)
    }

    /// Predicts the token after the last, computing all tokens again: generation without a cache, for comparisons.
    /// tokens: [b, n] → [b, vocabulary]
    public func logits(after tokens: TokenTensor) -> Tensor {
        withoutGradients { logits(features(tokens, mode: .inference).at(1, tokens.shape[1] - 1)) }
    }

    /// tokens: [b, n] → [b, n, m]
    private func features(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        require(tokens.shape.count == 2, "Transformer: tokens \(tokens.shape), expected [b, n]")
        let rotation = rotary.table(Array(0..<tokens.shape[1]))
        var x = tokenEmbedding(tokens)  // [b, n, m]
        for (index, layer) in layers.enumerated() {
            x = layer.attention(x, rotation, mode: mode.child(2 * index))
            x = layer.feedForward(x, residual: x, mode: mode.child(2 * index + 1))
        }
        return x
    }

    /// x: [..., m] → [..., vocabulary]
    func logits(_ x: Tensor) -> Tensor { toLogits(x, after: finalNorm) }

    public func collect(into state: inout StateCollector) {
        state.add("token_emb", tokenEmbedding)
        state.add("layers", layers)
        state.add("norm", finalNorm)
        state.add("to_logits", toLogits)
    }
}
