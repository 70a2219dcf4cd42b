import Foundation
import NN
import Tensors
import Testing

private struct Shape: Sendable, CustomTestStringConvertible {
    var n = 5, m = 8, h = 4, g = 2
    var isCausal = true
    var reach: Int?

    var testDescription: String { "n \(n), m \(m), h \(h), g \(g), causal \(isCausal), reach \(reach ?? 0)" }

    func inputs() -> [Tensor] {
        [sample([2, n, h, 3], seed: 1), sample([2, m, g, 3], seed: 2), sample([2, m, g, 5], seed: 3)]
            .map { $0.requiringGradient() }
    }

    func attend(_ x: [Tensor], _ implementation: Implementation) -> Tensor {
        groupedQueryAttention(
            x[0], x[1], x[2], scale: 0.7, isCausal: isCausal, reach: reach, implementation: implementation)
    }
}

@Suite("Attention of groups of heads that share keys and values") struct GroupedQueryAttentionTests {
    private static let shapes: [Shape] = [
        Shape(), Shape(g: 4), Shape(g: 1), Shape(h: 6, g: 3), Shape(n: 1), Shape(n: 8, g: 4), Shape(isCausal: false),
        Shape(n: 9, m: 2, g: 4, isCausal: false), Shape(reach: 3), Shape(n: 8, g: 4, reach: 4),
        Shape(n: 300, m: 340), Shape(n: 300, m: 700, g: 4, reach: 130),
    ]

    /// Every head is the multi-query attention of its own queries to its group's keys.
    @Test("Each head is multi-query attention to its group's keys", arguments: shapes, Implementation.allCases)
    private func headsAreMultiQuery(_ shape: Shape, _ implementation: Implementation) {
        let (x, y) = (shape.inputs(), shape.inputs())
        let got = shape.attend(x, implementation)
        let heads = (0..<shape.h).map { head in
            let group = head * shape.g / shape.h
            return multiQueryAttention(
                y[0].sliced(2, from: head, to: head + 1), y[1].at(2, group), y[2].at(2, group), scale: 0.7,
                isCausal: shape.isCausal, reach: shape.reach, implementation: .plain)
        }
        let expected = concatenate(heads, axis: 2)
        expectNear(got, expected, "output")
        let seed = sample(got.shape, seed: 4)
        let (a, b) = (gradients(of: got, seed: seed), gradients(of: expected, seed: seed))
        for (index, (x, y)) in zip(x, y).enumerated() { expectNear(a[x]!, b[y]!, "gradient of input \(index)") }
    }

    /// Scores with a bias, one by one, in double precision.
    private static func biased(_ x: [Tensor], _ shape: Shape) -> [Double] {
        let (n, m, h, g, r) = (shape.n, shape.m, shape.h, shape.g, x[3].shape[1])
        let (q, k, v, bias) = (x[0].values, x[1].values, x[2].values, x[3].values)
        var result: [Double] = []
        for b in 0..<2 {
            for i in 0..<n {
                for head in 0..<h {
                    let (group, own) = (head * g / h, m - n + i)
                    let seen = max(0, own + 1 - (shape.reach ?? m))...own
                    let weights = seen.map { j in
                        let score = (0..<3).reduce(0.0) {
                            $0 + Double(q[((b * n + i) * h + head) * 3 + $1])
                                * Double(k[((b * m + j) * g + group) * 3 + $1])
                        }
                        return exp(0.7 * score + Double(bias[head * r + r - 1 - (own - j)]))
                    }
                    for column in 0..<5 {
                        let sum = zip(seen, weights).reduce(0.0) {
                            $0 + $1.1 * Double(v[((b * m + $1.0) * g + group) * 5 + column])
                        }
                        result.append(sum / weights.reduce(0, +))
                    }
                }
            }
        }
        return result
    }

    @Test(
        "A bias by distance is added to the scores, and both forms have the same gradients",
        arguments: [
            Shape(), Shape(g: 4), Shape(g: 1), Shape(h: 6, g: 3), Shape(n: 1), Shape(n: 1, m: 1), Shape(n: 8, g: 4),
            Shape(reach: 3), Shape(n: 8, g: 1, reach: 4), Shape(n: 70, m: 150, reach: 80),
        ])
    private func biases(_ shape: Shape) {
        func run(_ implementation: Implementation) -> (inputs: [Tensor], output: Tensor, gradients: Gradients) {
            let bias = sample([shape.h, shape.m + 3], seed: 4).requiringGradient()
            let x = shape.inputs() + [bias]
            let y = groupedQueryAttention(
                x[0], x[1], x[2], scale: 0.7, isCausal: true, reach: shape.reach, bias: bias,
                implementation: implementation)
            return (x, y, gradients(of: y, seed: sample(y.shape, seed: 5)))
        }
        let (plain, fused) = (run(.plain), run(.fused))
        for (got, expected) in zip(plain.output.values, Self.biased(plain.inputs, shape)) {
            #expect(abs(Double(got) - expected) < 2e-5)
        }
        expectNear(fused.output, plain.output, "output")
        for (index, (x, y)) in zip(fused.inputs, plain.inputs).enumerated() {
            expectNear(fused.gradients[x]!, plain.gradients[y]!, "gradient of input \(index)")
        }
    }

    /// Sums of at most some hundred products of numbers of about 1, in another order.
    private func expectNear(_ got: Tensor, _ expected: Tensor, _ what: String) {
        #expect(got.shape == expected.shape, "\(what)")
        let largest = zip(got.values, expected.values).map { abs($0 - $1) }.max() ?? 0
        #expect(largest < 2e-5, "\(what): off by \(largest)")
    }
}
