import FixtureSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// Gradients that the peer has no numbers for: recomputed ones, and with dropout.
@Suite struct GradientTests {
    private static func setDropouts(_ configuration: inout LinformerLMConfiguration) {
        (configuration.stack.dropout, configuration.stack.feedForwardDropout) = (0.2, 0.3)
        configuration.tokenDropout = 0.1
    }

    /// Computing again in backward changes nothing but the order of some sums, dropout included.
    @Test(
        "Checkpoint levels give the same gradients, with dropout", arguments: Variant.some,
        [LinformerCausality.bidirectional, .causal])
    func checkpointLevelsGiveTheSameGradients(_ variant: Variant, causality: LinformerCausality) throws {
        let (tokens, targets) = (randomTokens([2, 24]), randomTokens([2, 24], seed: 5))
        func run(_ level: CheckpointLevel) -> (loss: Float, gradients: [(key: String, value: Tensor)]) {
            let model = makeModel(variant, causality) {
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
        let (source, target) = (randomTokens([2, 11]), randomTokens([2, 9], seed: 4))
        func run(_ level: CheckpointLevel) -> [(key: String, value: Tensor)] {
            var configuration = makeEncoderDecoder().configuration
            configuration.encoder.stack.checkpointLevel = level
            configuration.decoder.stack.checkpointLevel = level
            let model = LinformerEncDec(configuration, key: RandomKey(seed: 7))
            moveOffInitialValues(model)
            let all = gradients(of: crossEntropy(model(source, target), randomTokens([2, 9], seed: 5)))
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

    /// Along the gradient the loss rises as the gradient says, the same places being dropped.
    @Test(
        "The gradient with dropout is the slope of the loss", arguments: Variant.some,
        [LinformerCausality.bidirectional, .causal])
    func dropoutsGradientIsTheSlope(_ variant: Variant, causality: LinformerCausality) {
        let model = makeModel(variant, causality, change: Self.setDropouts)
        let (tokens, targets) = (randomTokens([3, 24]), randomTokens([3, 24], seed: 5))
        func loss() -> Tensor { model.loss(tokens, targets, mode: .training(RandomKey(seed: 6))) }
        #expect(loss().item == loss().item)
        #expect(loss().item != model.loss(tokens, targets, mode: .training(RandomKey(seed: 7))).item)
        #expect(loss().item != model.loss(tokens, targets, mode: .inference).item)
        let all = gradients(of: loss())
        let directions = model.trainable.compactMap { entry in all[entry.parameter].map { (entry.parameter, $0) } }
        let square = directions.reduce(0) { $0 + ($1.1 * $1.1).sum().item }
        let start = directions.map { $0.0.value.detached() + 0 }
        func lossAt(_ step: Float) -> Float {
            for ((parameter, direction), value) in zip(directions, start) {
                parameter.assign(value + direction * (step / square.squareRoot()))
            }
            return loss().item
        }
        let step: Float = 1e-2
        let slope = (lossAt(step) - lossAt(-step)) / (2 * step)
        // The curvature's share, and the rounding of two losses of about 3 (3e-7) over a step of 2e-2.
        #expect(abs(slope - square.squareRoot()) < 1e-2 * square.squareRoot(), "\(slope), \(square.squareRoot())")
    }

    /// Every place drops: with one probability above 0 the loss in training is another.
    @Test("Every dropout changes the loss in training", arguments: 0..<3) func everyDropoutWorks(_ place: Int) {
        let model = makeModel {
            let p = (0..<3).map { $0 == place ? 0.5 : 0 }
            ($0.stack.dropout, $0.stack.feedForwardDropout, $0.tokenDropout) = (p[0], p[1], p[2])
        }
        let (tokens, targets) = (randomTokens([2, 24]), randomTokens([2, 24], seed: 5))
        let with = model.loss(tokens, targets, mode: .training(RandomKey(seed: 6))).item
        #expect(with != model.loss(tokens, targets, mode: .inference).item)
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
