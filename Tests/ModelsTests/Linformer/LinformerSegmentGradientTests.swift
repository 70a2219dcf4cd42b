import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

/// The plain forms' gradients against central differences.
@Suite("Gradients of attention by segments") struct LinformerSegmentGradientTests {
    /// Expects the gradient of a randomly weighted sum of the output to be its slope along each input's elements.
    private func expectSlopes(
        _ inputs: [Tensor], _ names: [String], sourceLocation: SourceLocation = #_sourceLocation,
        _ run: ([Tensor]) -> Tensor
    ) throws {
        let leaves = inputs.map { $0.requiringGradient() }
        let output = run(leaves)
        let weights = Tensor.normal(output.shape, key: RandomKey(seed: 5))
        let all = gradients(of: output, seed: weights)
        func loss(_ inputs: [Tensor]) -> Double {
            zip(run(inputs).values, weights.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        }
        let step: Float = 1 / 64
        for (index, input) in inputs.enumerated() {
            let slopes = input.values.indices.map { place -> Double in
                func moved(_ by: Float) -> Double {
                    var values = input.values
                    values[place] += by
                    var changed = inputs
                    changed[index] = Tensor(values, shape: input.shape)
                    return loss(changed)
                }
                return (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * Double(step))
            }
            // Some 8 roundings of each of the sum's outputs, over the step; and step⁴ / 30 = 2e-9 of a fifth derivative.
            let bound = Rounding.bound(8 * output.count, of: largest(output.values)) / Double(step) + 1e-6
            expectClose(
                try #require(all[leaves[index]]).values, slopes, within: bound, names[index],
                sourceLocation: sourceLocation)
        }
    }

    private static let cases: [SegmentCase] = {
        var plain = SegmentCase(n: 9)
        (plain.window, plain.length, plain.slots) = (3, 2, 2)
        var all = plain
        (all.b, all.hasWindowBias, all.hasSlotBias, all.hasSlotQueries) = (2, true, true, true)
        (all.reach, all.most, all.dropout, all.d, all.e) = (.allFinished, 3, 0.3, 2, 3)
        var continued = all
        (continued.skippedKeys, continued.earlierKeys, continued.skippedSegments) = (3, 2, 1)
        (continued.sharesBiases, continued.isMasked) = (true, true)
        return [plain, all, continued]
    }()

    @Test(
        "The gradient of the attention is its slope in every input", arguments: cases, Implementation.allCases)
    func attentionSlopes(_ test: SegmentCase, _ implementation: Implementation) throws {
        try expectSlopes(test.inputs(), test.names) { test.attend($0, implementation: implementation) }
    }

    @Test(
        "The gradient of each projection is its slope in every input", arguments: ProjectionCase.Method.allCases,
        [false, true])
    func projectionSlopes(_ method: ProjectionCase.Method, isMasked: Bool) throws {
        let test = try #require(
            (0..<500).map(ProjectionCase.init).first {
                $0.method == method && $0.isMasked == isMasked && $0.n < 50 && $0.slots > 1 && $0.d < 5
            })
        let inputs = test.inputs()
        try expectSlopes(inputs, inputs.indices.map { "input \($0)" }) { test.run($0, .plain) }
    }
}
