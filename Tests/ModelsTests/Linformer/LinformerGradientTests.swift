import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// Gradients that the peer has no numbers for: recomputed ones, and with dropout.
@Suite struct LinformerGradientTests {
    private static func setDropouts(_ configuration: inout LinformerLMConfiguration) {
        (configuration.stack.dropout, configuration.stack.feedForwardDropout) = (0.2, 0.3)
        configuration.tokenDropout = 0.1
    }

    /// Computing again in backward changes nothing but the order of some sums, dropout included.
    @Test(
        "Checkpoint levels give the same gradients, with dropout", arguments: LinformerVariant.some,
        [LinformerCausality.bidirectional, .causal])
    func checkpointLevelsGiveTheSameGradients(_ variant: LinformerVariant, causality: LinformerCausality) throws {
        let (tokens, targets) = (randomLinformerTokens([2, 24]), randomLinformerTokens([2, 24], seed: 5))
        func run(_ level: CheckpointLevel) -> (loss: Float, gradients: [(key: String, value: Tensor)]) {
            let model = makeLinformerModel(variant, causality) {
                Self.setDropouts(&$0)
                $0.stack.checkpointLevel = level
            }
            let loss = model.loss(tokens, targets, mode: .training(RandomKey(seed: 6)))
            let all = gradients(of: loss)
            return (loss.item, model.trainable.compactMap { entry in all[entry.parameter].map { (entry.key, $0) } })
        }
        let expected = run(.none)
        #expect(expected.gradients.count > 20)
        for level in [CheckpointLevel.layers, .heads] {
            let got = run(level)
            #expect(got.loss == expected.loss)
            expectSame(got.gradients, expected.gradients)
        }
    }

    /// A decoder's checkpoints hold its embeddings too.
    @Test("Checkpoints of a decoder pass gradients to the encoder", arguments: [CheckpointLevel.layers, .heads])
    func checkpointsOfDecodersReachTheEncoder(_ level: CheckpointLevel) {
        let (source, target) = (randomLinformerTokens([2, 11]), randomLinformerTokens([2, 9], seed: 4))
        func run(_ level: CheckpointLevel) -> [(key: String, value: Tensor)] {
            var configuration = makeEncoderDecoder().configuration
            configuration.encoder.stack.checkpointLevel = level
            configuration.decoder.stack.checkpointLevel = level
            let model = LinformerEncDec(configuration, key: RandomKey(seed: 7))
            moveLinformerOffInitialValues(model)
            let all = gradients(of: crossEntropy(model(source, target), randomLinformerTokens([2, 9], seed: 5)))
            return model.trainable.compactMap { entry in all[entry.parameter].map { (entry.key, $0) } }
        }
        let (got, expected) = (run(level), run(.none))
        #expect(expected.contains { $0.key.hasPrefix("encoder.") })
        expectSame(got, expected)
    }

    private func expectSame(_ got: [(key: String, value: Tensor)], _ expected: [(key: String, value: Tensor)]) {
        #expect(got.map(\.key) == expected.map(\.key))
        let lengths = SumLengths(shapes: expected.map(\.value.shape), rows: 48)
        expectGradients(zip(got, expected).map { ($0.key, $0.value, $1.value) }, lengths)
    }

    /// Two dropouts of a half after one another leave a quarter: both act, and not in the same places. The layers pass on
    /// what they are given: weights are the identity, attention takes an equal share of the rows of an identity.
    @Test("A layer's two dropouts are independent") func dropoutsOfALayerAreIndependent() {
        let d = 64
        let identity = Tensor.identity(d)
        func passOn(_ module: any Module) {
            for (key, parameter) in module.state {
                let isMatrix = key.hasSuffix(".weight") && !key.contains("to_q")
                parameter.assign(isMatrix ? identity : .zeros(parameter.shape))
            }
        }
        var configuration = LinformerConfiguration(inputSize: d, channels: d, slots: d)
        (configuration.heads, configuration.dropout) = (1, 0.5)
        let attention = MHAttention(configuration, key: RandomKey(seed: 1))
        let feedForward = FeedForward(d, d, hidden: d, activation: .relu, dropout: 0.5, key: RandomKey(seed: 1))
        passOn(attention)
        passOn(feedForward)
        let mode = ForwardMode.training(RandomKey(seed: 2))
        for y in [attention(identity.unsqueezed(0), mode: mode), feedForward(.ones([1, d, d]), mode: mode)] {
            let kept = y.values.count { $0 != 0 }
            // Of 4096 a quarter: five deviations of the binomial are 139.
            #expect(abs(kept - 1024) < 139, "\(kept)")
        }
    }
}
