import NN
import Tensors
import Testing

private struct AttentionShape: Sendable, CustomTestStringConvertible {
    var b = 2, n = 5, m = 4, h = 3, d = 2, e = 3
    var isCausal = false
    var isMasked = false
    /// True for a mask of its own for each head.
    var masksHeads = false
    var dropout = 0.0

    var testDescription: String {
        "b \(b), n \(n), m \(m), h \(h), causal \(isCausal), masked \(isMasked), heads \(masksHeads), "
            + "dropout \(dropout)"
    }

    var inputs: [Tensor] {
        [sample([b, n, h, d], seed: 1), sample([b, m, h, d], seed: 2), sample([b, m, h, e], seed: 3)]
    }

    /// Hides every third key, but not the first, so that every query sees one.
    var mask: Tensor? {
        guard isMasked else { return nil }
        let rows = masksHeads ? b * h : b
        return Tensor((0..<rows * m).map { $0 % m % (3 + $0 / m % 2) == 2 ? 0 : 1 }, shape: [rows, m])
    }

    /// Compares value and gradients with those of the plain form.
    func expectSame() throws {
        let (x, y) = (inputs.map { $0.requiringGradient() }, inputs.map { $0.requiringGradient() })
        let key = RandomKey(seed: 7)
        let fused = attention(
            x[0], x[1], x[2], scale: 0.7, isCausal: isCausal, mask: mask, dropout: dropout, key: key)
        let plain = plainAttention(
            y[0], y[1], y[2], scale: 0.7, isCausal: isCausal, mask: mask, dropout: dropout, key: key)
        let weights = attentionWeights(inputs[0], inputs[1], scale: 0.7, isCausal: isCausal, mask: mask)
        let seed = sample(fused.shape, seed: 4)
        let heads = inputs.map { $0.permuted([0, 2, 1, 3]) }
        try AttentionMagnitudes(
            weights: weights / Float(1 - dropout), heads[0], heads[1], heads[2], scale: 0.7,
            seed: seed.permuted([0, 2, 1, 3])
        ).expectAgreement(of: fused, x, with: plain, y, seed: seed)
    }
}

@Suite("Attention of any queries to any keys") struct AttentionTests {
    private static let shapes: [AttentionShape] = [
        AttentionShape(), AttentionShape(n: 1), AttentionShape(m: 1), AttentionShape(b: 1, h: 1),
        AttentionShape(n: 4, m: 9, isCausal: true), AttentionShape(n: 9, m: 4, isCausal: true),
        AttentionShape(isMasked: true), AttentionShape(n: 7, m: 7, isCausal: true, isMasked: true),
        AttentionShape(isMasked: true, masksHeads: true), AttentionShape(dropout: 0.4),
        AttentionShape(n: 1, dropout: 0.2),
        AttentionShape(n: 3, m: 40, isMasked: true, masksHeads: true, dropout: 0.3),
        AttentionShape(b: 1, n: 300, m: 7, isCausal: true, dropout: 0.1),
        // Several tiles of queries, and units that share a head's keys.
        AttentionShape(b: 1, n: 700, m: 40, h: 2), AttentionShape(b: 1, n: 700, m: 40, h: 1, isCausal: true),
        // Several runs of keys.
        AttentionShape(b: 1, n: 130, m: 2100, h: 2), AttentionShape(b: 1, n: 2100, m: 2100, h: 1, isCausal: true),
        AttentionShape(b: 9, n: 70, m: 1030, h: 1, isMasked: true),
    ]

    @Test("Agrees with the plain form", arguments: shapes) private func agreesWithPlain(_ shape: AttentionShape) throws
    { try shape.expectSame() }

    @Test("Gradients are slopes, also with dropout", arguments: [false, true]) func slopes(_ isCausal: Bool) {
        let mismatches = checkGradients(
            of: {
                attention($0[0], $0[1], $0[2], scale: 0.7, isCausal: isCausal, dropout: 0.4, key: RandomKey(seed: 5))
            },
            at: AttentionShape(n: 4, m: 5).inputs)
        #expect(mismatches == [])
    }

    /// Views with strides of their own, and keys that all heads share.
    @Test("Views are read in place") func viewsAreReadInPlace() {
        let shape = AttentionShape(n: 6, m: 6)
        let packed = sample([2, 6, 3, 6], seed: 9)
        let (q, k) = (packed.sliced(3, to: 2), packed.sliced(3, from: 2, to: 4))
        let v = sample([2, 6, 1, 3], seed: 3).expanded(to: [2, 6, 3, 3])
        let got = attention(q, k, v, scale: 1)
        let dense = attention(q.contiguous(), k.contiguous(), v.contiguous(), scale: 1)
        #expect(got.values == dense.values)
        #expect(got.shape == [2, shape.n, 3, 3])
    }

    @Test("A query that sees nothing gets zeros", arguments: Implementation.allCases)
    func aQueryThatSeesNothing(_ implementation: Implementation) {
        let x = AttentionShape(b: 1, h: 1).inputs.map { $0.requiringGradient() }
        let mask = Tensor.zeros([1, 4])
        let y =
            switch implementation {
            case .plain: plainAttention(x[0], x[1], x[2], scale: 1, mask: mask)
            case .fused: attention(x[0], x[1], x[2], scale: 1, mask: mask)
            }
        #expect(y.values.allSatisfy { $0 == 0 })
        let all = gradients(of: y.sum())
        for leaf in x { #expect(all[leaf]!.values.allSatisfy { $0 == 0 }) }
    }

    @Test("Dropout drops whole weights") func dropoutActsOnWeights() {
        let (n, m) = (300, 50)
        let q = sample([1, n, 1, 2], seed: 1)
        let k = sample([1, m, 1, 2], seed: 2)
        let identity = Tensor.identity(m).reshaped([1, m, 1, m])
        let weights = attention(q, k, identity, scale: 1).values
        let dropped = attention(q, k, identity, scale: 1, dropout: 0.25, key: RandomKey(seed: 7)).values
        let zeros = dropped.count { $0 == 0 }
        // A binomial of 15,000 with 0.25: five deviations are 265.
        #expect(abs(zeros - n * m / 4) < 265)
        for (weight, kept) in zip(weights, dropped) where kept != 0 { #expect(abs(kept - weight / 0.75) < 1e-6) }
    }
}
