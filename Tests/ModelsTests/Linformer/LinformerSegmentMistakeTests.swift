import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

private let tokens = Tensor.zeros([2, 6, 3, 4])
private let slots = Tensor.zeros([2, 4, 3, 4])

private func attend(
    k: Tensor = tokens, slotQueries: Tensor? = nil, slotKeys: Tensor = slots,
    _ change: (inout SegmentAttentionOptions) -> Void = { _ in }
) -> Tensor {
    var options = SegmentAttentionOptions(window: 2, segmentLength: 3, slots: 2, scale: 1)
    change(&options)
    return segmentAttention(
        tokens, k, k, slotQueries: slotQueries, slotKeys: slotKeys, slotValues: slots, options: options)
}

private func project(_ projection: SegmentProjection, length: Int = 3, mask: Tensor? = nil) -> Tensor {
    projectSegments(tokens, projection, segmentLength: length, mask: mask)
}

private var mistakes: [Mistake] {
    [
        Mistake("segmentAttention: q [2, 6, 3, 4], k [2, 5, 3, 4], v [2, 5, 3, 4]; expected [b, n, h, d]") {
            attend(k: .zeros([2, 5, 3, 4]))
        },
        Mistake("segmentAttention: slot queries [2, 6, 3, 5]; expected those of q, [2, 6, 3, 4]") {
            attend(slotQueries: .zeros([2, 6, 3, 5]))
        },
        Mistake(
            "segmentAttention: slot keys [2, 3, 3, 4], slot values [2, 4, 3, 4]; expected [2, any multiple of 2, 3, 4]"
        ) {
            attend(slotKeys: .zeros([2, 3, 3, 4]))
        },
        Mistake("segmentAttention: window 0, segment length 3, slots 2, at most all segments") {
            attend { $0.window = 0 }
        },
        Mistake("segmentAttention: window 2, segment length 0, slots 2") { attend { $0.segmentLength = 0 } },
        Mistake("slots 2, at most 0 segments, first key 0, first segment 0") { attend { $0.maxSegments = 0 } },
        Mistake("at most all segments, first key -1, first segment 0") { attend { $0.firstKey = -1 } },
        Mistake("at most all segments, first key 0, first segment -2") { attend { $0.firstSegment = -2 } },
        Mistake("segmentAttention: dropout 1.0; expected at least 0, less than 1") { attend { $0.dropout = 1 } },
        Mistake("segmentAttention: window bias [3, 3]; expected [3, 2] or 1 for 3") {
            attend { $0.windowBias = .zeros([3, 3]) }
        },
        Mistake("segmentAttention: slot bias [2, 3]; expected [3, distances] or 1 for 3") {
            attend { $0.slotBias = .zeros([2, 3]) }
        },
        Mistake("segmentAttention: mask [2, 5]; expected [2, 6]") { attend { $0.mask = .zeros([2, 5]) } },
        Mistake("segmentAttention: slot mask [2, 4]; expected [2, 2]") { attend { $0.slotMask = .zeros([2, 4]) } },
        Mistake("projectSegments: x [2, 6, 3, 4], segment length 0; expected [b, n, h, d], at least 1") {
            project(.mean(slots: 1), length: 0)
        },
        Mistake("projectSegments: scores [2, 6, 4, 1] for x [2, 6, 3, 4]; expected [2, 6, 3, slots]") {
            project(.dynamic(scores: .zeros([2, 6, 4, 1])))
        },
        Mistake("projectSegments: E [1, 4] for x [2, 6, 3, 4]; expected [slots, 3] or [3, slots, 3]") {
            project(.learnable(.zeros([1, 4])))
        },
        Mistake("projectSegments: convolution [6, 4, 3], bias [] for x [2, 6, 3, 4]; expected [slots · 4, 4, 3]") {
            project(.convolution(weight: .zeros([6, 4, 3]), bias: nil))
        },
        Mistake("projectSegments: means of 2 parts of a segment of 3 tokens; expected equal parts") {
            project(.mean(slots: 2))
        },
        Mistake("projectSegments: mask [2, 5]; expected [2, 6]") { project(.mean(slots: 1), mask: .zeros([2, 5])) },
        Mistake("segmentMask: mask [6], segment length 3; expected [b, n], at least 1") {
            segmentMask(.zeros([6]), segmentLength: 3)
        },
    ]
}

@Suite("Mistakes with segments") struct LinformerSegmentMistakeTests {
    @Test("A mistake stops with a message that says what was expected", arguments: mistakes.indices)
    func stops(_ index: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [index] in
            mistakes[index].make()
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains(mistakes[index].message), "\(message)")
    }
}
