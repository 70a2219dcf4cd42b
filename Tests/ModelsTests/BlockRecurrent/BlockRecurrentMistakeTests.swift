import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

private var mistakes: [Mistake] {
    [
        Mistake("BlockRecurrentTransformer: tokens [1, 0], expected [b, n], both at least 1") {
            makeBlockRecurrentModel()(randomTokens([1, 0]))
        },
        Mistake("BlockRecurrentTransformer: tokens [0, 3], 0 carries; expected [b, n], b carries") {
            makeBlockRecurrentModel().logits(randomTokens([0, 3]), carries: [], mode: .inference).logits
        },
        Mistake("BlockRecurrentTransformer: recurrent_layers: 7 is no layer; expected 1 to 3") {
            makeBlockRecurrentModel(BlockRecurrentVariant("wrong") { $0.recurrentLayers = [7] })
        },
        Mistake("BlockRecurrentTransformer: state_window: expected 1 to 12 with block_width 6, found 0") {
            makeBlockRecurrentModel(BlockRecurrentVariant("wrong") { $0.stateWindow = 0 })
        },
        Mistake("memories [[2, 1, 6, 4]], expected none or 3 of [2, 1, 1…6, 4]") {
            makeBlockRecurrentModel()(randomTokens([1, 5]), xlMemories: [.zeros([2, 1, 6, 4])], states: []).logits
        },
        Mistake("memories [[2, 1, 7, 4], [2, 1, 7, 4], [2, 1, 7, 4]], expected none or 3 of [2, 1, 1…6, 4]") {
            let memories = (0..<3).map { _ in Tensor.zeros([2, 1, 7, 4]) }
            return makeBlockRecurrentModel()(randomTokens([1, 5]), xlMemories: memories, states: []).logits
        },
        Mistake("states [[5, 11]], expected none or 1 of [1, 5, 12] or [5, 12]") {
            makeBlockRecurrentModel()(randomTokens([1, 5]), xlMemories: [], states: [.zeros([5, 11])]).logits
        },
        Mistake("RecurrentTrainerWrapper: tokens [2, 1], expected [b, n + 1]") {
            RecurrentTrainerWrapper(makeBlockRecurrentModel())(randomTokens([2, 1]))
        },
        Mistake("multiQueryAttention: q [1, 4, 2, 4], k [1, 3, 4], v [1, 3, 4]: too few keys") {
            multiQueryAttention(
                .zeros([1, 4, 2, 4]), .zeros([1, 3, 4]), .zeros([1, 3, 4]), scale: 1, isCausal: true)
        },
        Mistake("multiQueryAttention: q [1, 4, 2, 4], k [1, 5, 3], v [1, 5, 4]") {
            multiQueryAttention(.zeros([1, 4, 2, 4]), .zeros([1, 5, 3]), .zeros([1, 5, 4]), scale: 1)
        },
        Mistake("reach 1, expected at least 2, causal") {
            multiQueryAttention(
                .zeros([1, 4, 2, 4]), .zeros([1, 5, 4]), .zeros([1, 5, 4]), scale: 1, isCausal: true, reach: 1)
        },
    ]
}

/// Each mistake is made in a process of its own, which must fail with the message.
@Suite("Mistakes") struct BlockRecurrentMistakeTests {
    @Test("Programming errors stop with a message", arguments: mistakes.indices) func stops(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            mistakes[i].make()
        }
        let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(said.contains(mistakes[i].message), "\(mistakes[i].message) — \(said)")
    }
}
