import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Transformers

/// The model in plain operations, as its card lists it, and the fused one.
@Suite("Plain and fused transformer") struct TransformerFormsTests {
    @Test("Both agree for random configurations", arguments: 0..<40)
    func agree(_ draw: Int) {
        let numbers = RandomKey(seed: 11).child(draw).integers(10).map { Int($0 % 1000) }
        let model = makeTransformerModel(depth: numbers[0] % 4) {
            ($0.heads, $0.headDimension) = (1 + numbers[1] % 4, 2 * (1 + numbers[2] % 5))
            $0.feedForwardMultiple = [0.5, 1, 2.5, 4][numbers[3] % 4]
            ($0.attentionDropout, $0.feedForwardDropout) = ([0, 0.3][numbers[4] % 2], [0, 0.2][numbers[5] % 2])
            $0.attention = numbers[6] % 4 == 0 ? .naive : .fused
        }
        let (b, n) = (1 + numbers[7] % 3, draw == 0 ? 300 : 1 + numbers[8] % 40)
        expectFormsAgree(
            of: model, randomTokens([b, n], seed: UInt64(draw)), randomTokens([b, n], seed: UInt64(draw) + 100),
            dropout: numbers[9] % 3 == 0 ? nil : RandomKey(seed: 5), "\(model.configuration) on \(b) × \(n)")
    }

    @Test("The card lists the code")
    func listing() throws {
        try expectListing(inCard: "Models/Transformer/README.md", of: "Models/Transformer/Transformer.swift", lines: 40)
    }
}
