import AttentionZooTestSupport
import Tensors
import Testing

@testable import LocalTransformers
@testable import NN

/// The weights of attention that the layers show.
@Suite struct LocalRecordingTests {
    @Test("Models record their weights of attention", arguments: LocalVariant.some, [true, false])
    func modelsShowTheirWeights(_ variant: LocalVariant, causal: Bool) {
        let (n, window) = (23, 4)
        let model = makeLocalModel(variant, causal: causal, window: window)
        let tokens = randomTokens([2, n])
        let recorder = AttentionRecorder()
        #expect(model(tokens, mode: .recording(recorder)).values == model(tokens).values)
        #expect(recorder.layers.map(\.name) == ["Layer 1", "Layer 2"])
        let pattern = model.configuration.pattern
        for layer in recorder.layers {
            #expect(layer.weights.shape == [2, 2, n, n])
            // 23 positive numbers, each rounded to 6e-8 of at most 1.
            #expect(layer.weights.sum(axes: [3]).values.allSatisfy { abs($0 - 1) < 2e-6 })
            let weights = layer.weights.values
            #expect(weights.allSatisfy { $0 >= 0 })
            for place in weights.indices where !pattern.keys(place / n % n, of: n).contains(place % n) {
                #expect(weights[place] == 0, "query \(place / n % n), key \(place % n)")
            }
        }
        // The weights of two layers differ, unless each query sees one key.
        let isAlone = pattern.windows == 1 && pattern.isExact
        #expect((recorder.layers[0].weights.values == recorder.layers[1].weights.values) == isAlone)
    }

    /// With them the layer's output can be made by hand.
    @Test("Recorded weights times values are the output", arguments: LocalVariant.some, [true, false])
    func weightsTimesValuesAreTheOutput(_ variant: LocalVariant, masked: Bool) {
        let (n, window) = (19, 4)
        let model = makeLocalModel(variant, causal: false, window: window)
        let layer = model.stack.layers[0].attention.branch
        let x = Tensor.normal([2, n, 12], key: RandomKey(seed: 1))
        var mask: Tensor?
        // Every query sees a key: what it would take of places outside the sequence is the weight of no token.
        if masked { mask = Tensor((0..<2 * n).map { $0 % n % 3 == 1 ? 0 : 1 }, shape: [2, n]) }
        let bias = model.stack.dynamicBias.map { $0(model.configuration.pattern, tokens: n) }
        let recorder = AttentionRecorder()
        let output = layer(x, mask: mask, bias: bias, mode: .recording(recorder))
        #expect(output.values == layer(x, mask: mask, bias: bias).values)
        let (qkv, gates) = layer.projected(x)
        let values = layer.heads(qkv).2.transposed(1, 2)  // [2, h, n, d]
        let attended = matrixProduct(recorder.layers[0].weights, values).transposed(1, 2).reshaped([2, n, 12])
        expectClose(
            layer.output(attended, gates, residual: nil), output, through: layer, positions: 23, "output")
    }

    /// Both layouts of the layer without projections.
    @Test("Attention alone records its weights", arguments: [3, 4]) func attentionAloneShowsItsWeights(rank: Int) {
        var options = LocalAttentionOptions(windowSize: 5)
        (options.isCausal, options.autopads, options.dimension) = (true, true, 6)
        let layer = LocalAttention(options)
        let shape = rank == 3 ? [4, 13, 6] : [2, 2, 13, 6]
        let parts = (0..<3).map { Tensor.normal(shape, key: RandomKey(seed: UInt64($0))) }
        let recorder = AttentionRecorder()
        let output = layer(parts[0], parts[1], parts[2], mode: .recording(recorder))
        let weights = recorder.layers[0].weights
        #expect(weights.shape == (rank == 3 ? [4, 1, 13, 13] : [2, 2, 13, 13]))
        let product = matrixProduct(weights.reshaped(Array(shape.dropLast()) + [13]), parts[2])
        expectClose(product, output, roundings: 10 + 6, "output")
    }
}
