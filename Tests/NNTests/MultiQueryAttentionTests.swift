import NN
import Tensors
import Testing

private struct Shape: Sendable, CustomTestStringConvertible {
    var b = 2, n = 5, m = 8, h = 3, d = 2, e = 3
    var isCausal = true
    var reach: Int?

    var testDescription: String { "b \(b), n \(n), m \(m), h \(h), causal \(isCausal), reach \(reach ?? 0)" }

    var inputs: [Tensor] {
        [sample([b, n, h, d], seed: 1), sample([b, m, d], seed: 2), sample([b, m, e], seed: 3)]
    }

    /// Compares value and gradients with those of the plain form.
    func expectSame() throws {
        let (x, y) = (inputs.map { $0.requiringGradient() }, inputs.map { $0.requiringGradient() })
        func attend(_ x: [Tensor], _ implementation: Implementation) -> Tensor {
            multiQueryAttention(
                x[0], x[1], x[2], scale: 0.7, isCausal: isCausal, reach: reach, implementation: implementation)
        }
        let (fused, plain) = (attend(x, .fused), attend(y, .plain))
        let seed = sample(fused.shape, seed: 4)
        try AttentionMagnitudes(
            weights: multiQueryAttentionWeights(inputs[0], inputs[1], scale: 0.7, isCausal: isCausal, reach: reach),
            inputs[0].permuted([0, 2, 1, 3]), inputs[1].unsqueezed(1),
            inputs[2].unsqueezed(1), scale: 0.7, seed: seed.permuted([0, 2, 1, 3])
        ).expectAgreement(of: fused, x, with: plain, y, seed: seed)
    }
}

@Suite("Attention of heads that share keys and values") struct MultiQueryAttentionTests {
    private static let shapes: [Shape] = [
        Shape(), Shape(n: 1, m: 1), Shape(n: 1), Shape(n: 8), Shape(b: 1, h: 1), Shape(isCausal: false),
        Shape(n: 9, m: 2, isCausal: false), Shape(reach: 2), Shape(n: 8, reach: 4), Shape(reach: 100),
        // Several tiles of queries, several runs of keys, units that share the keys.
        Shape(b: 1, n: 300, m: 340, h: 5), Shape(b: 1, n: 130, m: 2100, h: 2), Shape(b: 1, n: 700, m: 700, h: 1),
        Shape(b: 9, n: 70, m: 1100, h: 2), Shape(b: 1, n: 200, m: 1400, h: 3, reach: 300),
        Shape(b: 1, n: 400, m: 30, h: 2, isCausal: false),
    ]

    @Test("Agrees with the plain form", arguments: shapes) private func agreesWithPlain(_ shape: Shape) throws {
        try shape.expectSame()
    }

    /// Keys and values repeated over the batch, and parts of a wider tensor, are read in place; their gradients are sums.
    @Test("Views are read in place") func readsViews() {
        let q = sample([3, 4, 2, 2], seed: 1)
        let both = sample([1, 6, 4], seed: 2).requiringGradient()
        func attend(_ isDense: Bool) -> (Tensor, Tensor) {
            let parts = both.split(count: 2).map { $0.expanded(to: [3, 6, 2]) }.map { isDense ? $0 + 0 : $0 }
            let y = multiQueryAttention(q, parts[0], parts[1], scale: 1, isCausal: true)
            return (y, gradients(of: y, seed: sample(y.shape, seed: 3))[both]!)
        }
        let (views, dense) = (attend(false), attend(true))
        #expect(views.0.values == dense.0.values && views.1.values == dense.1.values)
    }

    @Test("Gradients are slopes", arguments: [nil, 3]) func slopes(_ reach: Int?) {
        let mismatches = checkGradients(
            of: { multiQueryAttention($0[0], $0[1], $0[2], scale: 0.7, isCausal: true, reach: reach) },
            at: Shape(n: 3, m: 5, h: 2).inputs)
        #expect(mismatches == [])
    }
}
