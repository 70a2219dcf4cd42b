import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// Decoding of more tokens than a tile has, and by encoder–decoders. The rest is in the contract of language models.
@Suite struct LinformerDecodingTests {
    private func tokens(_ n: Int, seed: UInt64 = 2) -> [Int32] { randomLinformerTokens([n], seed: seed).values }

    /// Two ways through the small model, with logits of about 1.
    private func expectSame(_ got: Tensor, _ expected: Tensor, positions n: Int = 24, _ what: String) {
        let shapes = makeLinformerModel(LinformerVariant(), inputSize: n).state.map(\.parameter.shape)
        let lengths = SumLengths(shapes: shapes + [[1, n]], rows: 1)
        expectClose(got, expected, roundings: lengths.path, magnitude: 1, what)
    }

    /// The calls have more tokens than are worked on together.
    @Test(
        "Decoding equals the forward pass in calls of more tokens than a tile",
        arguments: [LinformerVariant(), LinformerVariant(sharing: .none), LinformerVariant(full: true)])
    func equalsTheForwardOfManyTokens(_ variant: LinformerVariant) {
        let n = 700
        let model = makeLinformerModel(variant, inputSize: n)
        let text = tokens(n)
        let all = model(TokenTensor(text, shape: [1, n]))
        var states = [model.startDecoding()]
        var start = 0
        for cut in [300, 301, 302, 640, n] {
            let logits = model.decode([Array(text[start..<cut])], states: &states)
            expectSame(logits.at(0, 0), all.at(0, 0).at(0, cut - 1), positions: n, "position \(cut - 1)")
            start = cut
        }
    }

    @Test("Encoder–decoders decode as their forward pass", arguments: LinformerVariant.some)
    func encoderDecodersEqualTheForward(_ variant: LinformerVariant) {
        let model = makeEncoderDecoder(variant)
        let text = tokens(11) + [Int32(vocabulary - 1)] + tokens(16, seed: 4)
        let all = model(TokenTensor(text, shape: [1, text.count]))
        for cuts in [Array(1...text.count), [text.count], [5, 11, 13, text.count], [12, 20, text.count]] {
            var states = [model.startDecoding()]
            var start = 0
            for cut in cuts {
                let logits = model.decode([Array(text[start..<cut])], states: &states)
                expectSame(logits.at(0, 0), all.at(0, 0).at(0, cut - 1), "position \(cut - 1)")
                start = cut
            }
        }
    }

    /// Sources of unequal length, one of which has not come to its end.
    @Test("Sources of unequal length decode in one batch") func encoderDecodersDecodeRaggedBatches() {
        let model = makeEncoderDecoder()
        let start = Int32(vocabulary - 1)
        let texts = [tokens(9, seed: 3) + [start], tokens(4, seed: 4) + [start] + tokens(3), tokens(2, seed: 5)]
        var states = texts.map { _ in model.startDecoding() }
        let logits = model.decode(texts, states: &states)
        for row in 0..<2 {
            let all = model(TokenTensor(texts[row], shape: [1, texts[row].count]))
            expectSame(logits.at(0, row), all.at(0, 0).at(0, texts[row].count - 1), "row \(row)")
        }
        #expect(logits.at(0, 2).values.allSatisfy { $0 == 0 })
        let whole = texts[2] + tokens(3, seed: 6) + [start, 4]
        let next = model.decode([[1], [2], tokens(3, seed: 6) + [start, 4]], states: &states)
        let all = model(TokenTensor(whole, shape: [1, whole.count]))
        expectSame(next.at(0, 2), all.at(0, 0).at(0, whole.count - 1), "row 2")
    }

    /// Rows of a batch may have their start token at different places.
    @Test("Rows may have their start token at different places") func encoderDecodersTakeSourcesOfUnequalLength() {
        let model = makeEncoderDecoder()
        var tokens = randomLinformerTokens([3, 16])
        for (row, place) in [9, 2, 9].enumerated() { tokens.values[row * 16 + place] = Int32(vocabulary - 1) }
        let together = model(tokens)
        for row in 0..<3 {
            let alone = model(TokenTensor(Array(tokens.values[row * 16..<row * 16 + 16]), shape: [1, 16]))
            expectSame(together.at(0, row), alone.at(0, 0), "row \(row)")
        }
    }

    /// Generated tokens are the likeliest by the logits of the whole sequence.
    @Test("Generation writes the likeliest tokens") func generationIsTheLikeliest() {
        let model = makeEncoderDecoder(LinformerVariant(sharing: .kv))
        let sources = [tokens(11), tokens(5, seed: 4)]
        let written = model.generate(sources, length: 9)
        for (source, target) in zip(sources, written) {
            #expect(target.count == 9)
            let row = source + [Int32(vocabulary - 1)] + target
            let logits = model(TokenTensor(row, shape: [1, row.count]))
            let likeliest = logits.sliced(1, from: source.count, to: row.count - 1).argmax().values
            #expect(likeliest == target)
        }
        let end = written[0][3]
        let ended = model.generate(sources, length: 9, endToken: end)
        #expect(ended[0] == Array(written[0].prefix { $0 != end }))
    }
}
