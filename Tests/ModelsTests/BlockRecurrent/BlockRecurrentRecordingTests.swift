import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

@Suite("Recorded attention") struct BlockRecurrentRecordingTests {
    private func layers(
        _ model: BlockRecurrentTransformer, _ n: Int, after: Int = 0
    ) -> [AttentionRecorder.Layer] {
        let recorder = AttentionRecorder()
        let carries = after == 0 ? [nil, nil] : model.read(randomTokens([2, after])).carries
        _ = model.logits(randomTokens([2, n], seed: 9), carries: carries, mode: .recording(recorder))
        return recorder.layers
    }

    @Test("Recorded rows sum to 1", arguments: BlockRecurrentVariant.some, [0, 4, 12, 15]) func rowsSumToOne(
        _ variant: BlockRecurrentVariant, after: Int
    ) {
        let model = makeBlockRecurrentModel(variant)
        for layer in layers(model, 9, after: after) {
            let sums = layer.weights.sum(axes: [3]).values
            #expect(sums.allSatisfy { abs($0 - 1) < 1e-5 }, "\(layer.name)")
        }
    }

    @Test("Recorded layers are named") func layersAreNamed() {
        #expect(
            layers(makeBlockRecurrentModel(), 12).map(\.name) == ["Layer 1", "Layer 2", "Layer 2: states", "Layer 3"])
        let compressed = layers(makeBlockRecurrentModel(.compressed), 12).map(\.name)
        #expect(compressed.prefix(2) == ["Layer 1: block 1", "Layer 1: block 2"])
        let feedback = layers(
            makeBlockRecurrentModel(
                BlockRecurrentVariant("two") { ($0.recurrentLayers, $0.usesFeedback) = ([1, 3], true) }), 3)
        #expect(feedback.map(\.name).prefix(3) == ["Layer 1", "Layer 1: states 1", "Layer 1: states 2"])
    }

    @Test("Tokens see their block and the one before") func tokensSeeTheirBlockAndTheOneBefore() {
        // The block before, 2 tokens of its own, then 9.
        let weights = layers(makeBlockRecurrentModel(), 9, after: 8)[0].weights
        #expect(weights.shape == [2, 2, 9, 6 + 2 + 9])
        let values = weights.at(0, 0).at(0, 0).values
        for row in 0..<9 {
            // The first key that is seen: block 1, of which 2 tokens were read before, or block 2.
            let own = row < 4 ? 0 : 6
            for column in 0..<17 {
                let sees = (own..<8 + row + 1).contains(column)
                #expect((values[row * 17 + column] > 0) == sees, "token \(row), column \(column)")
            }
        }
    }

    @Test("Blocks show the states they begin with") func blocksShowTheStatesTheyRead() {
        let model = makeBlockRecurrentModel(BlockRecurrentVariant("two") { $0.recurrentLayers = [1, 3] })
        let tokens = randomTokens([2, 12])
        func states(_ tokens: TokenTensor, _ carries: [RecurrentMemory?]) -> [Tensor] {
            let recorder = AttentionRecorder()
            _ = model.logits(tokens, carries: carries, mode: .recording(recorder))
            return recorder.layers.filter { $0.name.hasSuffix("states") }.map(\.weights)
        }
        let whole = states(tokens, [nil, nil])
        let rest = states(tokens.columns(6..<12), model.read(tokens.columns(0..<6)).carries)
        #expect(whole.count == 2)
        for (all, second) in zip(whole, rest) {
            expectSameBlockRecurrent(all.sliced(2, from: 6), second, "the second block")
        }
        #expect(whole[0].values != whole[1].values)
    }
}
