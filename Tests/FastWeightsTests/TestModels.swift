import FixtureSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

let vocabulary = 11

/// The options in which a test's model differs from the default.
struct Variant: CustomTestStringConvertible, Sendable {
    var map = FeatureMap.dpfp
    var rule = UpdateRule.delta
    var nu = 1
    var beta: Double?
    var keyNorm = KeyNorm.sum
    var activation = KeyActivation.identity
    var convolution = 0
    var decays = false
    var betaRange = 1
    var outputNorm = false
    var outputGate = false
    var rmsNorm = false
    var feedForward = (dimension: 10, activation: Activation.relu)
    var normalizesAttention = false
    var positions = false
    var preNorm = false
    var gated = false
    var heads = 2

    var testDescription: String {
        let flags = [
            (normalizesAttention, "attention normalized"), (positions, "positions"), (preNorm, "pre-norm"),
            (gated, "gated"), (decays, "decay"), (outputNorm, "output norm"), (outputGate, "output gate"),
            (rmsNorm, "RMS norms"),
        ]
        return "\(map) \(rule) nu \(nu) beta \(beta.map { "\($0)" } ?? "input up to \(betaRange)") \(heads) heads "
            + "\(activation) \(keyNorm) kernel \(convolution) feed-forward \(feedForward) "
            + flags.filter(\.0).map(\.1).joined(separator: ", ")
    }

    /// Every value of every option at least twice, beside different others.
    static let some = [
        Variant(), Variant(nu: 3, preNorm: true, gated: true, heads: 3), Variant(beta: 0.6, positions: true),
        Variant(rule: .sum, normalizesAttention: true, preNorm: true),
        Variant(keyNorm: .none, normalizesAttention: true, heads: 1), Variant(map: .elu, gated: true),
        Variant(map: .elu, rule: .sum, beta: 1, keyNorm: .none, normalizesAttention: true),
        Variant(map: .favor, positions: true), Variant(map: .favor, rule: .sum, nu: 2, normalizesAttention: true),
        Variant(map: .softmax, gated: true), Variant(map: .softmax, positions: true, preNorm: true, heads: 3),
        Variant(activation: .silu, convolution: 4),
        Variant(map: .identity, keyNorm: .l2, activation: .silu, outputNorm: true, preNorm: true),
        Variant(
            map: .identity, keyNorm: .l2, activation: .silu, convolution: 4, decays: true, outputNorm: true,
            preNorm: true),
        Variant(map: .elu, rule: .sum, convolution: 3, decays: true, outputGate: true, heads: 1),
        Variant(map: .identity, keyNorm: .l2, activation: .relu, convolution: 1, betaRange: 2, rmsNorm: true),
        Variant(rule: .sum, activation: .relu, convolution: 2, normalizesAttention: true, preNorm: true),
        Variant(
            map: .identity, keyNorm: .sum, activation: .elu, outputNorm: true, feedForward: (0, .relu), preNorm: true),
        Variant(
            map: .identity, keyNorm: .l2, activation: .silu, convolution: 4, decays: true, betaRange: 2,
            outputNorm: true,
            outputGate: true, rmsNorm: true, feedForward: (9, .silu), preNorm: true, gated: true, heads: 3),
    ]
    static let remembering = some.filter { $0.map != .softmax }
}

func makeConfiguration(
    _ variant: Variant = Variant(), change: (inout FastWeightsConfiguration) -> Void = { _ in }
) -> FastWeightsConfiguration {
    var configuration = FastWeightsConfiguration(tokens: vocabulary, width: 12)
    (configuration.layers, configuration.favorFeatures) = (2, 7)
    (configuration.feedForwardDimension, configuration.feedForwardActivation) = variant.feedForward
    (configuration.featureMap, configuration.rule, configuration.nu) = (variant.map, variant.rule, variant.nu)
    (configuration.beta, configuration.heads) = (variant.beta, variant.heads)
    (configuration.keyNorm, configuration.keyActivation) = (variant.keyNorm, variant.activation)
    (configuration.shortConvolution, configuration.decays) = (variant.convolution, variant.decays)
    (configuration.betaRange, configuration.usesRMSNorm) = (variant.betaRange, variant.rmsNorm)
    (configuration.normsOutput, configuration.gatesOutput) = (variant.outputNorm, variant.outputGate)
    configuration.normalizesAttention = variant.normalizesAttention
    (configuration.usesPositions, configuration.normsAttention) = (variant.positions, variant.preNorm)
    configuration.gatesFeedForward = variant.gated
    change(&configuration)
    return configuration
}

func makeModel(
    _ variant: Variant = Variant(), seed: UInt64 = 3, change: (inout FastWeightsConfiguration) -> Void = { _ in }
) -> FastWeightsLM {
    FastWeightsLM(makeConfiguration(variant, change: change), key: RandomKey(seed: seed))
}

/// Tokens of the small vocabulary.
func randomTokens(_ shape: [Int], seed: UInt64 = 2) -> TokenTensor {
    let values = Tensor.uniform(shape, low: 0, high: Float(vocabulary), key: RandomKey(seed: seed)).values
    return TokenTensor(values.map { min(Int32($0), Int32(vocabulary - 1)) }, shape: shape)
}

/// Expects two ways through the small model to agree: its matrices and a memory's sums over 60 tokens, in logits of about 1.
func expectSame(_ got: Tensor, _ expected: Tensor, _ what: String, sourceLocation: SourceLocation = #_sourceLocation) {
    let lengths = SumLengths(shapes: makeModel().state.map(\.parameter.shape) + [[1, 60]], rows: 1)
    expectClose(got, expected, roundings: lengths.path, magnitude: 1, what, sourceLocation: sourceLocation)
}
