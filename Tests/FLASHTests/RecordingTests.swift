import FixtureSupport
import NN
import Tensors
import Testing

@testable import FLASHTransformers

/// The weights of attention that the layers show.
@Suite struct RecordingTests {
    @Test(arguments: [true, false], [true, false]) func modelsShowTheirWeights(causal: Bool, laplace: Bool) {
        let model = makeModel(causal: causal, laplace: laplace)
        let tokens = randomTokens([2, 23])
        let recorder = AttentionRecorder()
        #expect(model(tokens, mode: .recording(recorder)).values == model(tokens).values)
        let label = laplace ? "Laplace" : "relu²"
        #expect(recorder.layers.map(\.name) == ["Layer 1: \(label) in groups", "Layer 2: \(label) in groups"])
        #expect(recorder.layers.allSatisfy { $0.weights.shape == [2, 1, 23, 23] })
        #expect(recorder.layers[0].weights.values != recorder.layers[1].weights.values)
    }

    /// f(q₁ k₁ᵀ / g + B) within groups, by single operations. Groups of 70 are worked on in blocks of 64 rows.
    @Test(arguments: [5, 70], [true, false])
    func weightsAreTheQuadraticPart(groupSize: Int, causal: Bool) throws {
        for laplace in [true, false] {
            let model = makeModel(causal: causal, laplace: laplace, groupSize: groupSize, shift: false)
            let layer = model.layers[0]
            let n = 2 * groupSize + 3
            let x = Tensor.normal([2, n, 16], key: RandomKey(seed: 1))
            let mask = Tensor((0..<2 * n).map { $0 % 7 == 2 ? 0 : 1 }, shape: [2, n])
            let recorder = AttentionRecorder()
            _ = layer(x, mask: mask, mode: .recording(recorder))

            let heads = layer.offsetScale(silu(layer.toQK(layer.norm(x))))
            let table = try #require(layer.rotary).table(n)
            let scores = matrixProduct(table.rotate(heads[0]), table.rotate(heads[2]), transposeB: true)
            var weights = layer.configuration.attentionFunction.activation(
                scores * (1 / Float(groupSize)) + layer.relativeBias(n))
            let groups = (0..<n).map { $0 / groupSize }
            let together = groups.flatMap { a in groups.map { $0 == a ? Float(1) : 0 } }
            weights = weights * Tensor(together, shape: [n, n]) * mask.unsqueezed(1)
            if causal { weights = weights.lowerTriangle() }

            let shown = recorder.layers[0].weights.squeezed(1)
            #expect(largest(weights.values) > 0)
            expectClose(shown, weights, through: layer, positions: 12, "weights")
        }
    }

    @Test(arguments: [true, false]) func gatedAttentionUnit(causal: Bool) {
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
