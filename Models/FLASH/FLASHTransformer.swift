import NN
import Tensors

// b batch, n tokens, d model

/// A FLASH language model: token embedding + scaled sinusoids, FLASH layers, layer norm, logits.
///
/// Keys: token_emb.weight; abs_pos_emb.{scale, inv_freq}; layers.i.*; to_logits.0.{weight, bias} (layer norm whatever
/// the norm of the layers), to_logits.1.{weight, bias}.
public struct FLASHTransformer: LanguageModel {
    /// Nothing passes from segment to segment.
    public typealias Carry = NoCarry

    /// The configuration of the model and its layers.
    public let configuration: FLASHConfiguration
    /// Tokens → d.
    public let tokenEmbedding: Embedding
    /// The sinusoids that are added to the embedded tokens.
    public let absolutePositions: ScaledSinusoidalEmbedding
    /// The rotation that all layers share.
    public let rotary: Rotary
    /// The layers from the input on.
    public let layers: [FLASH]
    /// The norm before the logits.
    public let finalNorm: LayerNorm
    /// d → vocabulary
    public let toLogits: Linear

    public var vocabularySize: Int { configuration.tokens }
    public var isCausal: Bool { configuration.isCausal }
    /// One input for each layer.
    public var leastActivations: Int { configuration.depth.timesClamped(configuration.dimension) }

    /// Draws the initial parameters from a key.
    public init(_ configuration: FLASHConfiguration, key: RandomKey) {
        let d = configuration.dimension
        require(configuration.tokens > 0, "FLASHTransformer: the configuration of a layer, expected one with tokens")
        self.configuration = configuration
        tokenEmbedding = Embedding(configuration.tokens, d, key: key.child(0))
        absolutePositions = ScaledSinusoidalEmbedding(d)
        let rotary = FLASH.rotary(min(32, configuration.queryKeyDimension))
        self.rotary = rotary
        layers = (0..<configuration.depth).map { FLASH(configuration, rotary: rotary, key: key.child(1).child($0)) }
        finalNorm = LayerNorm(d)
        toLogits = Linear(d, configuration.tokens, key: key.child(2))
    }

    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        self(tokens, mask: nil, mode: mode)
    }

    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        predictions(tokens, mask: nil, mode: mode)
    }

    /// Computes logits.
    /// - Parameters:
    ///   - tokens: [b, n].
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n] or [n].
    /// - Returns: [b, n, vocabulary].
    public func callAsFunction(_ tokens: TokenTensor, mask: Tensor?, mode: ForwardMode = .inference) -> Tensor {
        predictions(tokens, mask: mask, mode: mode).logits
    }

    private func predictions(_ tokens: TokenTensor, mask: Tensor?, mode: ForwardMode) -> Predictions {
        require(tokens.shape.count == 2, "FLASHTransformer: tokens \(tokens.shape), expected [b, n]")
        let n = tokens.shape[1]
        var x = tokenEmbedding(tokens) + absolutePositions(n)  // [b, n, d]
        let table = rotary.table(Array(0..<n))
        for (index, layer) in layers.enumerated() {
            x = layer(x, mask: mask, table: table, mode: mode.child(index))
        }
        return Predictions(x, after: finalNorm, projection: toLogits)  // [b, n, vocabulary]
    }

    public func collect(into state: inout StateCollector) {
        state.add("token_emb", tokenEmbedding)
        state.add("abs_pos_emb", absolutePositions)
        state.add("layers", layers)
        state.add("to_logits.0", finalNorm)
        state.add("to_logits.1", toLogits)
    }
}
