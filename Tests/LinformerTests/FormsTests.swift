import FixtureSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// The fused operations against their plain forms.
@Suite struct FormsTests {
    @Test("the fused and the plain model agree", arguments: Variant.some, 0..<6)
    func formsAgree(_ variant: Variant, _ draw: Int) {
        let causality = [LinformerCausality.bidirectional, .causal, .compatible][draw % 3]
        let model = makeModel(variant, causality) {
            if draw >= 3 { ($0.stack.dropout, $0.stack.feedForwardDropout, $0.tokenDropout) = (0.2, 0.3, 0.1) }
            $0.stack.includesFeedForward = draw != 1 || variant.uneven
        }
        let n = [24, 17, 1, 9, 23, 5][draw]
        expectFormsAgree(
            of: model, randomTokens([2, n]), randomTokens([2, n], seed: 5),
            dropout: draw >= 3 ? RandomKey(seed: 6) : nil, "\(causality), \(n) tokens")
    }

    @Test(
        "the fused and the plain causal attention agree",
        arguments: BoundedMemoryAttentionTests.cases.filter { $0.n < 80 })
    func boundedMemory(_ test: BoundedMemoryCase) throws {
        let leaves = test.inputs().map { $0.requiringGradient() }
        func columns(_ x: Tensor) -> Tensor { x.sliced(-1, to: test.n) }
        let plain = plainBoundedMemoryAttention(
            leaves[0], leaves[1], leaves[2], e: columns(leaves[5]), f: leaves.count > 6 ? columns(leaves[6]) : nil,
            initialKeys: leaves[3], initialValues: leaves[4], scale: BoundedMemoryCase.scale, dropout: test.dropout,
            key: test.key)
        let fused = test.attend(leaves)
        test.expectValues(fused, plain.values.map(Double.init), "output")
        let seed = Tensor.normal(fused.shape, key: RandomKey(seed: 9))
        let (got, expected) = (gradients(of: fused, seed: seed), gradients(of: plain, seed: seed))
        try test.expectGradients(
            leaves.map { try #require(got[$0]) },
            leaves.map { try #require(expected[$0]).values.map(Double.init) })
    }
}
