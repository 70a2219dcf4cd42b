import AttentionZooTestSupport
import Tensors
import Testing

/// Numbers between −1 and 1.
func sample(_ shape: [Int], seed: UInt64) -> Tensor {
    .uniform(shape, low: -1, high: 1, key: RandomKey(seed: seed))
}

/// The sums of softmax attention and of its gradients: how many terms, and the largest of what each adds up to without
/// signs. With P the weights, dY the gradient of the value and all else without signs,
///
///     dP = dY Vᵀ    dS = scale · P ⊙ (dP + Σ P ⊙ dP)    dQ = dS K    dK = dSᵀ Q    dV = Pᵀ dY
///
/// The two parts of dS cancel: where a query sees one key, all of it is rounding.
struct AttentionMagnitudes {
    /// Roundings on the way to a weight and a sum over keys. A score's error changes its weight by as much, so a score's
    /// roundings count by the square of its magnitude.
    let terms: Int
    let queries: Int
    let value: Double
    let ofQuery: Double, ofKey: Double, ofValue: Double
    /// The magnitudes of each score, and of a bias that is added to one.
    let ofScore: Tensor

    /// - Parameters:
    ///   - weights: P, [b, h, n, m].
    ///   - q, k, v: [b, h, n or m, any]; h = 1 where all heads share them.
    ///   - seed: dY.
    init(weights p: Tensor, _ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, seed: Tensor) {
        let (p, q, k, v, dy) = (p.detached(), unsigned(q), unsigned(k), unsigned(v), unsigned(seed))
        func sum(_ x: Tensor, like shared: Tensor) -> Tensor { shared.shape[1] == 1 ? x.sum(axes: [1]) : x }
        let dp = matrixProduct(dy, v, transposeB: true)
        ofScore = p * (dp + (p * dp).sum(axes: [-1], keepAxes: true))
        value = largest(matrixProduct(p, v).values)
        ofQuery = largest((matrixProduct(ofScore, k) * scale).values)
        ofKey = largest((sum(matrixProduct(ofScore, q, transposeA: true), like: k) * scale).values)
        ofValue = largest(sum(matrixProduct(p, dy, transposeA: true), like: v).values)
        let score = largest(matrixProduct(q, k, transposeB: true).values) * Double(scale)
        terms = p.shape[3] + Int((Double(q.shape[3]) * max(1, score * score)).rounded(.up))
        queries = p.shape[2] * (k.shape[1] == 1 ? p.shape[1] : 1)
    }

    /// Expects a fused operation to have the value and the gradients of its composition.
    /// - Parameters:
    ///   - inputs, others: q, k and v on both sides.
    ///   - factor: what queries are multiplied by at most.
    /// - Returns: the gradients of both sides.
    @discardableResult
    func expectAgreement(
        of value: Tensor, _ inputs: [Tensor], with reference: Tensor, _ others: [Tensor], seed: Tensor,
        factor: Double = 1, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> (Gradients, Gradients) {
        let (first, second) = (gradients(of: value, seed: seed), gradients(of: reference, seed: seed))
        func expect(_ got: Tensor, _ expected: Tensor, _ terms: Int, _ magnitude: Double, _ what: String) {
            #expect(got.shape == expected.shape, "\(what)", sourceLocation: sourceLocation)
            expectClose(
                got.values, expected.values, terms: terms, magnitude: magnitude, what, sourceLocation: sourceLocation)
        }
        expect(value, reference, terms, self.value, "value")
        for (index, (name, magnitude)) in [("q", ofQuery), ("k", ofKey), ("v", ofValue)].enumerated() {
            expect(
                try #require(first[inputs[index]]), try #require(second[others[index]]),
                index == 0 ? 2 * terms : 2 * terms + queries, index == 2 ? magnitude : factor * magnitude,
                "gradient of \(name)")
        }
        return (first, second)
    }
}

/// The values without their signs.
func unsigned(_ x: Tensor) -> Tensor { Tensor(x.values.map { abs($0) }, shape: x.shape) }
