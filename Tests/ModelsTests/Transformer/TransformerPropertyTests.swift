import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import Transformers

@Suite struct TransformerPropertyTests {
    @Test(
        "Every token changes all later logits", arguments: TransformerConfiguration.AttentionForm.allCases)
    func everyTokenIsSeen(_ form: TransformerConfiguration.AttentionForm) {
        let model = makeTransformerModel { $0.attention = form }
        let n = 23
        let tokens = randomTokens([1, n])
        let before = model(tokens).at(0, 0)
        for t in [0, 1, 11, 22] {
            let after = model(tokens.changed(at: t, vocabulary)).at(0, 0)
            for later in t..<n { #expect(after.at(0, later).values != before.at(0, later).values, "\(t) → \(later)") }
        }
    }

    /// Positions are relative.
    @Test("Logits depend on the order of tokens")
    func theOrderCounts() {
        let model = makeTransformerModel()
        var swapped = randomTokens([1, 9])
        let before = model(swapped)
        swapped.values[2] = (swapped.values[1] + 1) % Int32(vocabulary)
        let first = model(swapped)
        swapped.values.swapAt(1, 2)
        let second = model(swapped)
        // The last query sees the same tokens in both, in another order.
        #expect(Fixture.difference(first.at(1, 8), second.at(1, 8)).difference > 1e-3)
        #expect(before.at(1, 0).values == second.at(1, 0).values)
    }
}
