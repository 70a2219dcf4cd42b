import FixtureSupport
import Foundation
import NN
import Tensors
import Testing

@testable import Transformers

@Suite struct PropertyTests {
    @Test(
        "Later tokens do not change earlier logits, earlier ones change later",
        arguments: TransformerConfiguration.AttentionForm.allCases)
    func laterTokensDoNotChangeEarlierLogits(_ form: TransformerConfiguration.AttentionForm) {
        let model = makeModel { $0.attention = form }
        let n = 23
        let tokens = randomTokens([2, n])
        let before = model(tokens)
        for t in [0, 1, 11, 22] {
            let after = model(tokens.changed(at: n + t, vocabulary))
            #expect(after.at(0, 0).values == before.at(0, 0).values, "the other row")
            #expect(after.at(0, 1).sliced(0, to: t).values == before.at(0, 1).sliced(0, to: t).values, "position \(t)")
            for later in t..<n {
                #expect(after.at(0, 1).at(0, later).values != before.at(0, 1).at(0, later).values, "\(t) → \(later)")
            }
        }
    }

    /// Positions are relative.
    @Test("Logits depend on the order of tokens")
    func theOrderCounts() {
        let model = makeModel()
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
