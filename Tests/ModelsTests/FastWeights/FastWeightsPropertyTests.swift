import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

@Suite struct FastWeightsPropertyTests {
    @Test("The last token sees the first", arguments: FastWeightsVariant.some)
    func earlierTokensAreRemembered(_ variant: FastWeightsVariant) {
        let model = makeFastWeightsModel(variant)
        let tokens = randomTokens([1, 40])
        #expect(model(tokens.changed(at: 0, vocabulary)).at(1, 39).values != model(tokens).at(1, 39).values)
    }

    /// Layers begin each for itself, or with identical_layers as labml-nn's copies of one.
    @Test("Layers begin on their own, or as copies")
    func layersBeginOnTheirOwn() {
        func weights(_ isIdentical: Bool) -> [[Float]] {
            makeFastWeightsModel { $0.startsIdentical = isIdentical }.transformer.layers.map { layer in
                layer.state.flatMap(\.parameter.value.values)
            }
        }
        let (own, copied) = (weights(false), weights(true))
        #expect(own[0] != own[1] && copied[0] == copied[1] && own[0] == copied[0])
    }

    @Test("The norm before the attention works where it is wanted", arguments: [false, true])
    func theFirstNormWorksWhereItIsWanted(_ isWanted: Bool) {
        let model = makeFastWeightsModel(FastWeightsVariant(preNorm: isWanted))
        let tokens = randomTokens([1, 9])
        let before = model(tokens).values
        let gradients = gradients(of: model.loss(tokens, randomTokens([1, 9], seed: 4)))
        for layer in model.transformer.layers {
            for (_, parameter) in layer.attentionNorm.state { #expect((gradients[parameter] != nil) == isWanted) }
            for (_, parameter) in layer.attentionNorm.state { parameter.assign(parameter.value + 0.5) }
        }
        #expect((model(tokens).values != before) == isWanted)
    }

    /// Keeping states or computing them again gives the same gradients, to the bit, and other amounts of memory
    /// (FastWeightsMemoryTests).
    @Test("States kept or computed again give the same gradients", arguments: FastWeightsVariant.remembering)
    func statesAreKeptOrComputedAgain(_ variant: FastWeightsVariant) {
        let (tokens, targets) = (randomTokens([2, 150]), randomTokens([2, 150], seed: 4))
        func step(_ recomputes: Bool) -> [Float] {
            let model = makeFastWeightsModel(variant) { $0.recomputesStates = recomputes }
            let gradients = gradients(of: model.loss(tokens, targets))
            return model.trainable.flatMap { gradients[$0.parameter]?.values ?? [] }
        }
        #expect(step(true) == step(false))
    }

    @Test("FAVOR+ draws directions again for each step where that is wanted")
    func directionsAreDrawnAgain() {
        let tokens = randomTokens([1, 9])
        for isWanted in [false, true] {
            let model = makeFastWeightsModel(FastWeightsVariant(map: .favor)) { $0.redrawsFavor = isWanted }
            func logits(_ seed: UInt64) -> [Float] { model(tokens, mode: .training(RandomKey(seed: seed))).values }
            #expect((logits(1) != logits(2)) == isWanted && logits(1) == logits(1))
            #expect((model(tokens).values == logits(1)) == !isWanted)
        }
    }

    /// The share of zeros in what dropout is applied to: heads' outputs, the branch's output, inside the feed-forward and
    /// after it. Each place draws for itself, each layer as well.
    @Test("Dropout is in all four places, each with draws of its own")
    func dropoutIsEverywhere() {
        let x = Tensor.ones([1, 8, 12])
        let layer = FastWeightsTransformerLayer(
            makeFastWeightsConfiguration { $0.dropout = 0.5 }, key: RandomKey(seed: 1))
        let mode = ForwardMode.training(RandomKey(seed: 2))
        let branch = layer.attention.finish(x, gate: nil, residual: nil, mode)
        #expect(abs(branch.values.count { $0 == 0 } - 48) < 25)  // of 96, five deviations
        // Rows are alike, so without a dropout further inside what is kept of a column would be alike as well.
        func differsInside(_ y: Tensor) -> Bool {
            (0..<12).contains { column in
                let kept = (0..<8).map { y.values[$0 * 12 + column] }.filter { $0 != 0 }
                return kept.contains { abs($0 - kept[0]) > 1e-4 }
            }
        }
        #expect(differsInside(branch))
        let fed = layer.feed(x, mode) - x
        #expect(abs(fed.values.count { $0 == 0 } - 48) < 25)
        #expect(differsInside(fed))
        let plain = FastWeightsTransformerLayer(makeFastWeightsConfiguration(), key: RandomKey(seed: 1))
        #expect(
            !differsInside(plain.attention.finish(x, gate: nil, residual: nil, mode))
                && !differsInside(plain.feed(x, mode) - x))
        let stack = FastWeightsTransformer(
            makeFastWeightsConfiguration { ($0.dropout, $0.startsIdentical) = (0.5, true) }, key: RandomKey(seed: 1))
        let (first, second) = (stack.layers[0](x, mode: mode.child(0)).output, stack.layers[1](x, mode: mode.child(1)))
        #expect(first.values != second.output.values)
        #expect(stack.run(x, nil, mode).output.values == stack.layers[1](first, mode: mode.child(1)).output.values)
    }
}
