import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Transformers

/// Long texts, and what the state holds. The rest of decoding is in the contract of language models.
@Suite struct TransformerDecodingTests {
    private func tokens(_ n: Int, seed: UInt64 = 2) -> [Int32] { randomTokens([n], seed: seed).values }

    private func expectDecodesAsForward(_ model: Transformer, _ text: [Int32], cuts: [Int]) {
        let all = model(TokenTensor(text, shape: [1, text.count]))
        var states = [model.startDecoding()]
        var start = 0
        for cut in cuts + [text.count] where cut > start {
            let logits = model.decode([Array(text[start..<cut])], states: &states)
            // The products are cut otherwise, so sums of some hundred terms round otherwise.
            expectClose(
                logits, all.at(0, 0).sliced(0, from: cut - 1, to: cut), through: model, positions: cut,
                "position \(cut - 1)")
            start = cut
        }
        #expect(states[0].position == text.count)
    }

    /// More keys than are worked on together, more queries than a tile has rows.
    @Test("Decoding equals the forward pass in long texts")
    func equalsTheForwardInLongTexts() {
        expectDecodesAsForward(makeTransformerModel(), tokens(2100), cuts: [3, 700, 701, 1300, 2098, 2099])
    }

    /// Without a cache: the whole text again for its last token.
    @Test(
        "The logits after a text are those of its last token",
        arguments: TransformerConfiguration.AttentionForm.allCases)
    func logitsAfterATextAreThoseOfItsLastToken(_ form: TransformerConfiguration.AttentionForm) {
        let model = makeTransformerModel { $0.attention = form }
        let text = randomTokens([2, 17])
        // The last product has fewer rows, so its sums of 12 terms may round otherwise.
        expectClose(model.logits(after: text), model(text).at(1, 16), through: model, positions: 17, "logits")
    }

    /// The state has the keys and values of every token, and at most as much room again.
    @Test("The state holds the keys and values of every token")
    func theStateGrows() {
        let model = makeTransformerModel()
        var states = [model.startDecoding()]
        // Two layers of keys and values of 2 heads of 6 floats.
        let token = 2 * 2 * 2 * 6 * 4
        #expect(states[0].bytes == 0)
        _ = model.decode([tokens(100)], states: &states)
        #expect(states[0].bytes == 100 * token)
        for read in 101...450 {
            _ = model.decode([tokens(1)], states: &states)
            #expect((read * token...2 * read * token).contains(states[0].bytes), "\(read)")
        }
        #expect(states[0].bytes == 800 * token)
    }
}
