import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Transformers

/// The weights of attention that the layers show.
@Suite struct TransformerRecordingTests {
    @Test("Layers record their weights", arguments: TransformerConfiguration.AttentionForm.allCases)
    func layersShowTheirWeights(_ form: TransformerConfiguration.AttentionForm) {
        let n = 23
        let model = makeTransformerModel { $0.attention = form }
        let tokens = randomTokens([2, n])
        let recorder = AttentionRecorder()
        #expect(model(tokens, mode: .recording(recorder)).values == model(tokens).values)
        #expect(recorder.layers.map(\.name) == ["Layer 1", "Layer 2"])
        for layer in recorder.layers {
            #expect(layer.weights.shape == [2, 2, n, n])
            // 23 positive numbers, each rounded to 6e-8 of at most 1.
            #expect(layer.weights.sum(axes: [3]).values.allSatisfy { abs($0 - 1) < 2e-6 })
            #expect(layer.weights.upperTriangle(diagonal: 1).values.allSatisfy { $0 == 0 })
            #expect(layer.weights.values.allSatisfy { $0 >= 0 })
        }
        #expect(recorder.layers[0].weights.values != recorder.layers[1].weights.values)
    }

    @Test(
        "The recorded weights times the values are the output",
        arguments: TransformerConfiguration.AttentionForm.allCases)
    func weightsTimesValuesAreTheOutput(_ form: TransformerConfiguration.AttentionForm) {
        let model = makeTransformerModel { $0.attention = form }
        let layer = model.layers[0].attention
        let x = Tensor.normal([2, 19, 12], key: RandomKey(seed: 1))
        let rotation = model.rotary.table(Array(0..<19))
        let recorder = AttentionRecorder()
        let output = layer(x, rotation, mode: .recording(recorder))
        let values = layer.toValues(layer.norm(x)).reshaped([2, 19, 2, 6]).transposed(1, 2)
        let heads = matrixProduct(recorder.layers[0].weights, values).transposed(1, 2).reshaped([2, 19, 12])
        expectClose(layer.toOut(heads) + x, output, through: layer, positions: 19, "output")
    }
}
