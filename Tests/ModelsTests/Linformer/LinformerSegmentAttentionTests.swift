import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

@Suite("Attention by segments") struct LinformerSegmentAttentionTests {
    typealias Case = SegmentCase

    private func normal(_ shape: [Int], seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }

    @Test("Plain and fused forms agree, gradients of all inputs included", arguments: (0..<240).map(Case.init(drawn:)))
    func formsAgree(_ test: Case) throws {
        func run(_ implementation: Implementation) throws -> (output: Tensor, gradients: [Tensor]) {
            let leaves = test.inputs().map { $0.requiringGradient() }
            let output = test.attend(leaves, implementation: implementation)
            let all = gradients(of: output, seed: normal(output.shape, seed: 9))
            return (output, try leaves.map { try #require(all[$0]) })
        }
        let (got, expected) = (try run(.fused), try run(.plain))
        test.expectValues(got.output, expected.output, "output")
        for (got, expected) in zip(got.gradients, expected.gradients) { #expect(got.shape == expected.shape) }
        expectGradients(
            zip(test.names, zip(got.gradients, expected.gradients)).map { ($0, $1.0.values, $1.1.values) },
            test.lengths)
    }

    private static let long: [Case] = {
        // More columns than a tile takes at once, in the window and in the slots.
        var wide = Case(n: 1300)
        (wide.window, wide.length, wide.h, wide.reach) = (1100, 2, 1, .allFinished)
        (wide.hasWindowBias, wide.hasSlotBias, wide.distances) = (true, true, 700)
        // Several units, which share keys and slots, with keys before the first query.
        var shared = Case(n: 1100)
        (shared.window, shared.h, shared.earlierKeys, shared.dropout) = (70, 1, 33, 0.2)
        (shared.hasWindowBias, shared.hasSlotBias, shared.hasSlotQueries, shared.distances) = (true, true, true, 40)
        var capped = shared
        (capped.most, capped.isMasked, capped.reach) = (9, true, .allFinished)
        return [wide, shared, capped]
    }()

    @Test("Long sequences of many tiles, chunks and units agree", arguments: long)
    func longSequencesAgree(_ test: Case) throws {
        let leaves = test.inputs().map { $0.requiringGradient() }
        let (fused, plain) = (test.attend(leaves), test.attend(leaves, implementation: .plain))
        test.expectValues(fused, plain, "output")
        let seed = normal(fused.shape, seed: 9)
        let (got, expected) = (gradients(of: fused, seed: seed), gradients(of: plain, seed: seed))
        expectGradients(
            try zip(test.names, leaves).map {
                ($0, try #require(got[$1]).values, try #require(expected[$1]).values)
            }, test.lengths)
    }
}
