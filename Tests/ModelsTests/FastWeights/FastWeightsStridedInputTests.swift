import NN
import Tensors
import Testing

@testable import FastWeightTransformers

@Suite("Strides of the memory's inputs") struct FastWeightsStridedInputTests {
    /// Queries, keys, values and the scalars of each head, all columns of tensors of widths of their own.
    @Test(
        "Each input is read with its own strides, to the bit",
        arguments: [(UpdateRule.delta, false), (.delta, true), (.sum, false), (.sum, true)])
    func ownStrides(_ rule: UpdateRule, fades: Bool) {
        let (b, n, h, d, dv) = (2, 37, 3, 4, 5)
        func wide(_ width: Int, _ more: Int, _ seed: UInt64) -> Tensor {
            (Tensor.normal([b, n, h, width + more], key: RandomKey(seed: seed)) * 0.3).requiringGradient()
        }
        let leaves = [wide(d, 1, 1), wide(d, 3, 2), wide(dv, 2, 3), wide(1, 4, 4), wide(1, 6, 5), wide(1, 2, 6)]
        let widths = [d, d, dv, 1, 1, 1]
        func run(_ make: (Tensor) -> Tensor) -> (values: [Float], gradients: [[Float]]) {
            let x = zip(leaves, widths).map { make($0.sliced(-1, from: 1, to: 1 + $1)) }
            let result = deltaRule(
                x[0], x[1], x[2], beta: x[3].squeezed(-1), erase: rule == .delta ? x[4].squeezed(-1) : nil,
                logDecay: fades ? x[5].squeezed(-1) : nil, rule: rule, chunk: 8, segment: 2)
            let all = gradients(of: (result.output * result.output).sum() + result.state.sum())
            return (result.output.values + result.state.values, leaves.map { all[$0]?.values ?? [] })
        }
        let (views, copies) = (run { $0 }, run { $0.contiguous() })
        #expect(views.values == copies.values)
        #expect(views.gradients == copies.gradients)
        #expect(views.gradients.count { !$0.isEmpty } == 4 + (rule == .delta ? 1 : 0) + (fades ? 1 : 0))
    }
}
