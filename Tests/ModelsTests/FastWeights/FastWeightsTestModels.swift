import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// The options in which a test's model differs from the default.
struct FastWeightsVariant: CustomTestStringConvertible, Sendable {
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
        FastWeightsVariant(), FastWeightsVariant(nu: 3, preNorm: true, gated: true, heads: 3),
        FastWeightsVariant(beta: 0.6, positions: true),
        FastWeightsVariant(rule: .sum, normalizesAttention: true, preNorm: true),
        FastWeightsVariant(keyNorm: .none, normalizesAttention: true, heads: 1),
        FastWeightsVariant(map: .elu, gated: true),
        FastWeightsVariant(map: .elu, rule: .sum, beta: 1, keyNorm: .none, normalizesAttention: true),
        FastWeightsVariant(map: .favor, positions: true),
        FastWeightsVariant(map: .favor, rule: .sum, nu: 2, normalizesAttention: true),
        FastWeightsVariant(map: .softmax, gated: true),
        FastWeightsVariant(map: .softmax, positions: true, preNorm: true, heads: 3),
        FastWeightsVariant(activation: .silu, convolution: 4),
        FastWeightsVariant(map: .identity, keyNorm: .l2, activation: .silu, outputNorm: true, preNorm: true),
        FastWeightsVariant(
            map: .identity, keyNorm: .l2, activation: .silu, convolution: 4, decays: true, outputNorm: true,
            preNorm: true),
        FastWeightsVariant(map: .elu, rule: .sum, convolution: 3, decays: true, outputGate: true, heads: 1),
        FastWeightsVariant(
            map: .identity, keyNorm: .l2, activation: .relu, convolution: 1, betaRange: 2, rmsNorm: true),
        FastWeightsVariant(rule: .sum, activation: .relu, convolution: 2, normalizesAttention: true, preNorm: true),
        FastWeightsVariant(
            map: .identity, keyNorm: .sum, activation: .elu, outputNorm: true, feedForward: (0, .relu), preNorm: true),
        FastWeightsVariant(
            map: .identity, keyNorm: .l2, activation: .silu, convolution: 4, decays: true, betaRange: 2,
            outputNorm: true,
            outputGate: true, rmsNorm: true, feedForward: (9, .silu), preNorm: true, gated: true, heads: 3),
    ]
    static let remembering = some.filter { $0.map != .softmax }
}

func makeFastWeightsConfiguration(
    _ variant: FastWeightsVariant = FastWeightsVariant(), change: (inout FastWeightsConfiguration) -> Void = { _ in }
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

func makeFastWeightsModel(
    _ variant: FastWeightsVariant = FastWeightsVariant(), seed: UInt64 = 3,
    change: (inout FastWeightsConfiguration) -> Void = { _ in }
) -> FastWeightsLM {
    FastWeightsLM(makeFastWeightsConfiguration(variant, change: change), key: RandomKey(seed: seed))
}

/// Expects two ways through the small model to agree: its matrices and a memory's sums over 60 tokens, in logits of about 1.
func expectSameFastWeights(
    _ got: Tensor, _ expected: Tensor, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
) {
    let lengths = SumLengths(shapes: makeFastWeightsModel().state.map(\.parameter.shape) + [[1, 60]], rows: 1)
    expectClose(got, expected, roundings: lengths.path, magnitude: 1, what, sourceLocation: sourceLocation)
}
