import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// The options in which a test's model differs.
struct LinformerVariant: CustomTestStringConvertible, Sendable {
    var sharing = ParameterSharing.layerwise
    var method = ProjectionMethod.learnable
    var full = false
    /// k_reduce_by_layer, ff_intermediate and w_o_intermediate_dim.
    var uneven = false
    var embedding: Int?
    var dimension: Int?
    var heads = 2

    var testDescription: String {
        let flags = [(full, "full"), (uneven, "uneven"), (embedding != nil, "emb_dim"), (dimension != nil, "dim_d")]
        return "\(sharing) \(method) \(heads) heads " + flags.filter(\.0).map(\.1).joined(separator: " ")
    }

    func apply(_ configuration: inout LinformerLMConfiguration) {
        configuration.stack.sharing = sharing
        configuration.stack.method = method
        configuration.stack.usesFullAttention = full
        configuration.stack.heads = heads
        configuration.stack.headDimension = dimension
        configuration.embeddingDimension = embedding
        if uneven {
            configuration.stack.slotReduction = method == .convolution && sharing == .layerwise ? 0 : 2
            configuration.stack.outputIntermediate = 7
            configuration.stack.intermediateChannels = configuration.stack.isDecoder ? nil : 8
        }
    }

    /// Every value of every option at least twice, beside different others.
    static let some = [
        LinformerVariant(), LinformerVariant(sharing: .kv, uneven: true),
        LinformerVariant(sharing: .headwise, embedding: 8, dimension: 5),
        LinformerVariant(sharing: .none, uneven: true, heads: 3), LinformerVariant(uneven: true, heads: 1),
        LinformerVariant(method: .convolution, uneven: true),
        LinformerVariant(sharing: .none, method: .convolution, dimension: 3),
        LinformerVariant(sharing: .kv, method: .noParameters, embedding: 7),
        LinformerVariant(method: .noParameters, uneven: true),
        LinformerVariant(full: true), LinformerVariant(sharing: .none, full: true, uneven: true, dimension: 5),
    ]
    static let projected = some.filter { !$0.full }
}

/// The options of a small model without dropout.
func makeLinformerConfiguration(
    _ variant: LinformerVariant = LinformerVariant(), _ causality: LinformerCausality = .causal, inputSize: Int = 24,
    change: (inout LinformerLMConfiguration) -> Void = { _ in }
) -> LinformerLMConfiguration {
    var configuration = LinformerLMConfiguration(tokens: vocabulary, inputSize: inputSize, channels: 12)
    configuration.stack.slots = 6
    configuration.stack.feedForwardDimension = 10
    configuration.stack.causality = causality
    (configuration.stack.dropout, configuration.stack.feedForwardDropout, configuration.tokenDropout) = (0, 0, 0)
    change(&configuration)
    variant.apply(&configuration)
    return configuration
}

/// A small model whose parameters are moved off their initial values, so that every path carries weight.
func makeLinformerModel(
    _ variant: LinformerVariant = LinformerVariant(), _ causality: LinformerCausality = .causal, inputSize: Int = 24,
    change: (inout LinformerLMConfiguration) -> Void = { _ in }
) -> LinformerLM {
    let model = LinformerLM(
        makeLinformerConfiguration(variant, causality, inputSize: inputSize, change: change), key: RandomKey(seed: 7))
    moveLinformerOffInitialValues(model)
    return model
}

/// A decoder of embeddings [b, n ≤ 9, 5].
func makeDecoder(_ variant: LinformerVariant = LinformerVariant(), _ causality: LinformerCausality = .causal)
    -> LinformerLM
{
    makeLinformerModel(variant, causality) {
        $0.stack.isDecoder = true
        ($0.stack.contextSize, $0.stack.contextChannels) = (9, 5)
    }
}

/// A source of up to 13 tokens, a target of up to 17; the last token of the vocabulary begins the target.
func makeEncoderDecoder(
    _ variant: LinformerVariant = LinformerVariant(), _ causality: LinformerCausality = .causal
) -> LinformerEncDec {
    let encoder = makeLinformerConfiguration(variant, .bidirectional, inputSize: 13)
    // Its sharing and method are another's, where the variant says nothing.
    let decoder = makeLinformerConfiguration(variant, causality, inputSize: 17) {
        $0.stack.isDecoder = true
        ($0.stack.channels, $0.stack.slots) = (6 * variant.heads, 5)
    }
    let configuration = LinformerEncDecConfiguration(encoder: encoder, decoder: decoder, startToken: vocabulary - 1)
    let model = LinformerEncDec(configuration, key: RandomKey(seed: 7))
    moveLinformerOffInitialValues(model)
    return model
}

func moveLinformerOffInitialValues(_ model: any Module) {
    for (index, (key, parameter)) in model.trainable.enumerated() {
        let noise = Tensor.normal(parameter.shape, standardDeviation: 0.1, key: RandomKey(seed: 8).child(index))
        // Scores of a few tenths make all weights alike.
        let scale: Float = key.contains(".to_q.") || key.contains(".to_k.") ? 3 : 1
        parameter.assign(parameter.value.detached() * scale + noise)
    }
}

/// Draws tokens of the vocabulary but its last, which begins a target.
func randomLinformerTokens(_ shape: [Int], seed: UInt64 = 3) -> TokenTensor {
    randomTokens(shape, seed: seed, vocabulary: vocabulary - 1)
}

/// The tokens with other ones at place t of each row.
func changed(_ tokens: TokenTensor, at t: Int) -> TokenTensor {
    var result = tokens
    for row in 0..<tokens.shape[0] {
        let index = row * tokens.shape[1] + t
        result.values[index] = (result.values[index] + 1) % Int32(vocabulary - 1)
    }
    return result
}
