import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// The weights of attention that the layers show.
@Suite struct LinformerRecordingTests {
    @Test(
        "Every layer records its weights", arguments: LinformerVariant.some,
        [LinformerCausality.bidirectional, .causal, .compatible])
    func modelsShowTheirWeights(_ variant: LinformerVariant, _ causality: LinformerCausality) {
        let model = makeLinformerModel(variant, causality)
        let tokens = randomLinformerTokens([2, 19])
        let recorder = AttentionRecorder()
        #expect(model(tokens, mode: .recording(recorder)).values == model(tokens, mode: .inference).values)
        #expect(recorder.layers.map(\.name) == ["Layer 1", "Layer 2"])
        for (index, layer) in recorder.layers.enumerated() {
            let reduction = variant.uneven ? model.configuration.stack.slotReduction * index : 0
            let columns = variant.full ? 19 : 6 - reduction
            #expect(layer.weights.shape == [2, variant.heads, 19, columns])
            #expect(layer.weights.values.allSatisfy { $0 >= 0 })
            // Up to 19 positive numbers, each rounded to 6e-8 of at most 1.
            #expect(layer.weights.sum(axes: [3]).values.allSatisfy { abs($0 - 1) < 2e-6 })
        }
    }

    /// P̄ = softmax(Q (E K + b)ᵀ / √d), and of the causal form row t with E and K up to t.
    @Test("A head's weights and output are those computed by hand", arguments: [false, true]) func weightsOfAHeadByHand(
        causal: Bool
    ) throws {
        let (n, k, d) = (7, 4, 3)
        var options = LinformerConfiguration(inputSize: n, channels: d, slots: k)
        (options.heads, options.dropout) = (1, 0)
        options.causality = causal ? .causal : .bidirectional
        let configuration = makeLinformerConfiguration(inputSize: n) { $0.stack.slots = k }
        let layer = MHAttention(configuration.stack, key: RandomKey(seed: 1))
        moveLinformerOffInitialValues(layer)
        let head = LinearAttentionHead(options, layer.heads[0].keyProjection, layer.heads[0].valueProjection)
        let x = (0..<3).map { Tensor.normal([2, n, d], key: RandomKey(seed: UInt64($0))) }
        let recorder = AttentionRecorder()
        let output = head(x[0], x[1], x[2], mode: .recording(recorder))
        let state = Dictionary(head.state.map { ($0.key, $0.parameter.value) }) { first, _ in first }
        func slots(_ x: Tensor, _ name: String, upTo end: Int) throws -> Tensor {
            let weight = try #require(state["\(name).weight"]).sliced(1, to: end)  // [k, end]
            let bias = try #require(state["\(name).bias"]).unsqueezed(1)  // [k, 1]
            return matrixProduct(weight, x.sliced(1, to: end)) + bias  // [2, k, d]
        }
        for t in 0..<n {
            let end = causal ? t + 1 : n
            let query = x[0].sliced(1, from: t, to: t + 1)  // [2, 1, d]
            let keys = try slots(x[1], "E", upTo: end)
            let weights = softmax(matrixProduct(query, keys, transposeB: true) * (1 / Float(d).squareRoot()))
            let shown = recorder.layers[0].weights.squeezed(1).sliced(1, from: t, to: t + 1)
            expectClose(shown, weights, through: head, positions: n + d, "row \(t)")
            let attended = matrixProduct(weights, try slots(x[2], "F", upTo: end))
            expectClose(output.sliced(1, from: t, to: t + 1), attended, through: head, positions: n + d, "output \(t)")
        }
    }

    /// In order, under the names of their parts, and once each whatever is computed again in backward.
    @Test("Recorded layers are named after their part", arguments: [CheckpointLevel.none, .layers, .heads])
    func partsOfAnEncoderDecoderAreNamed(_ level: CheckpointLevel) {
        let model = makeEncoderDecoder()
        var configuration = model.configuration
        configuration.encoder.stack.checkpointLevel = level
        configuration.decoder.stack.checkpointLevel = level
        let checkpointing = LinformerEncDec(configuration, key: RandomKey(seed: 7))
        let (source, target) = (randomLinformerTokens([1, 13]), randomLinformerTokens([1, 8]))
        let recorder = AttentionRecorder()
        _ = checkpointing(source, target, mode: .recording(recorder))
        #expect(
            recorder.layers.map(\.name) == [
                "Encoder 1", "Encoder 2", "Decoder 1", "Decoder cross 1", "Decoder 2", "Decoder cross 2",
            ])
        #expect(recorder.layers.map { $0.weights.shape[2] } == [13, 13, 8, 8, 8, 8])
    }
}
