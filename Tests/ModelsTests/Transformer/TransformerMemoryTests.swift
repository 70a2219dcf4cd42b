import NN
import Tensors
import Testing

@testable import Transformers

/// In a process of its own: the memory of tensors is everybody's.
@Suite struct TransformerMemoryTests {
    /// The most bytes that a pass with gradients holds at once, beyond what is there before.
    private static func peak(_ form: TransformerConfiguration.AttentionForm, _ n: Int) -> Double {
        let model = makeTransformerModel(depth: 3) { ($0.attention, $0.heads, $0.headDimension) = (form, 4, 2) }
        let (tokens, targets) = (randomTokens([1, n]), randomTokens([1, n], seed: 4))
        let before = MemoryPool.shared.statistics.current
        MemoryPool.shared.resetPeak()
        _ = gradients(of: model.loss(tokens, targets))
        return Double(MemoryPool.shared.statistics.peak - before)
    }

    /// Four times as much would be n².
    @Test("The memory of the fused form grows with n")
    func theFusedFormStoresNoWeights() async {
        await #expect(processExitsWith: .success) {
            let bytes = [4096, 8192].map { TransformerMemoryTests.peak(.fused, $0) }
            require(bytes[1] < 2.1 * bytes[0], "\(bytes)")
        }
    }

    /// n² of each of 3 layers' 4 heads, and the mask; while one layer is worked on there are three more. All else is some
    /// 220 floats a token.
    @Test("The naive form stores the weights of every layer")
    func theNaiveFormStoresWeights() async {
        await #expect(processExitsWith: .success) {
            let floats = TransformerMemoryTests.peak(.naive, 2048) / Double(4 * 2048 * 2048)
            let expected = Double(4 * (3 + 3) + 3)
            require((expected...1.02 * expected).contains(floats), "\(floats) · n² floats, expected \(expected)")
        }
    }
}
