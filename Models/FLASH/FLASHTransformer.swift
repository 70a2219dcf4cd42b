import NN
import Tensors

// A stack of FLASH layers over tokens. Transformer Quality in Linear Time, https://arxiv.org/abs/2202.10447
//
// b batch, n tokens, d model

/// A FLASH language model: token embedding + scaled sinusoids, FLASH layers, layer norm, logits.
///
/// Keys: token_emb.weight; abs_pos_emb.{scale, inv_freq}; layers.i.*; to_logits.0.{weight, bias} (layer norm whatever
/// the norm of the layers), to_logits.1.{weight, bias}.
public struct FLASHTransformer: LanguageModel {
    public typealias Carry = NoCarry

    public let configuration: FLASHConfiguration
    public let tokenEmbedding: Embedding
    public let absolutePositions: ScaledSinusoidalEmbedding
    public let rotary: RotaryEmbedding
    public let layers: [FLASH]
    public let finalNorm: LayerNorm
    public let toLogits: Linear

    public var vocabularySize: Int { configuration.tokens }
    public var isCausal: Bool { configuration.isCausal }
    /// Each layer keeps what it reads.
    public var leastActivations: Int { configuration.depth.timesClamped(configuration.dimension) }

    /// - Parameter key: what the initial parameters are drawn from.
    public init(_ configuration: FLASHConfiguration, key: RandomKey) {
        let d = configuration.dimension
        self.configuration = configuration
        tokenEmbedding = Embedding(configuration.tokens, d, key: key.child(0))
        absolutePositions = ScaledSinusoidalEmbedding(d)
        let rotary = RotaryEmbedding(min(32, configuration.queryKeyDimension))
        self.rotary = rotary
        let options = FLASH.Options(configuration)
        layers = (0..<configuration.depth).map { FLASH(options, rotary: rotary, key: key.child(1).child($0)) }
        finalNorm = LayerNorm(d)
        toLogits = Linear(d, configuration.tokens, key: key.child(2))
    }

    public func callAsFunction(_ tokens: TokenTensor, mode: ForwardMode) -> Tensor {
        self(tokens, mask: nil, mode: mode)
    }

    public func predictions(_ tokens: TokenTensor, mode: ForwardMode) -> Predictions {
        predictions(tokens, mask: nil, mode: mode)
    }

    /// - Parameters:
    ///   - tokens: [b, n].
    ///   - mask: 1 for tokens that take part, 0 for padding, [b, n] or [n].
    /// - Returns: logits [b, n, vocabulary].
    public func callAsFunction(_ tokens: TokenTensor, mask: Tensor?, mode: ForwardMode = .inference) -> Tensor {
        predictions(tokens, mask: mask, mode: mode).logits
    }

    private func predictions(_ tokens: TokenTensor, mask: Tensor?, mode: ForwardMode) -> Predictions {
        require(tokens.shape.count == 2, "FLASHTransformer: tokens \(tokens.shape), expected [b, n]")
        let n = tokens.shape[1]
        var x = tokenEmbedding(tokens) + absolutePositions(n)  // [b, n, d]
        let table = rotary.table(n)
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

extension FLASH.Options {
    init(_ configuration: FLASHConfiguration) {
        self.init(dimension: configuration.dimension)
        groupSize = configuration.groupSize
        queryKeyDimension = configuration.queryKeyDimension
        expansionFactor = configuration.expansionFactor
        isCausal = configuration.isCausal
        dropout = configuration.attentionDropout
        normType = configuration.normType
        shiftsTokens = configuration.shiftsTokens
        attentionFunction = configuration.attentionFunction
        reducesGroups = configuration.reducesGroups
        masksTokenShift = configuration.masksTokenShift
        dividesByValidCount = configuration.dividesByValidCount
    }
}
