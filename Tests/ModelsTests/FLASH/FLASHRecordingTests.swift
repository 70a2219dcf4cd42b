import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FLASHTransformers

/// The weights of attention that the layers show.
@Suite struct FLASHRecordingTests {
    @Test("Recorded weights change nothing and are named after their layers", arguments: [true, false], [true, false])
    func modelsShowTheirWeights(causal: Bool, laplace: Bool) {
        let model = makeFLASHModel(causal: causal, laplace: laplace)
        let tokens = randomTokens([2, 23])
        let recorder = AttentionRecorder()
        #expect(model(tokens, mode: .recording(recorder)).values == model(tokens).values)
        let label = laplace ? "Laplace" : "relu²"
        #expect(recorder.layers.map(\.name) == ["Layer 1: \(label) in groups", "Layer 2: \(label) in groups"])
        #expect(recorder.layers.allSatisfy { $0.weights.shape == [2, 1, 23, 23] })
        #expect(recorder.layers[0].weights.values != recorder.layers[1].weights.values)
    }

    @Test("GAU records the weights that it uses", arguments: [true, false]) func gatedAttentionUnit(causal: Bool) {
        var options = GAU.Options(dimension: 8)
        (options.queryKeyDimension, options.isCausal, options.attentionFunction) = (4, causal, .laplace)
        let layer = GAU(options, key: RandomKey(seed: 1))
        let x = Tensor.normal([2, 9, 8], key: RandomKey(seed: 2))
        let recorder = AttentionRecorder()
        let output = layer(x, mode: .recording(recorder))
        #expect(output.values == layer(x).values)
        #expect(recorder.layers.map(\.name) == ["Layer 1: Laplace"])
        // What is left of the layer, on these weights.
        let halves = silu(layer.toHidden(layer.norm(x))).split(count: 2, axis: 2)
        let byHand = layer.toOut(matrixProduct(recorder.layers[0].weights.squeezed(1), halves[0]) * halves[1]) + x
        expectClose(byHand, output, through: layer, positions: 9, "output")
        #expect((recorder.layers[0].weights.upperTriangle(diagonal: 1).values.allSatisfy { $0 == 0 }) == causal)
    }
}
