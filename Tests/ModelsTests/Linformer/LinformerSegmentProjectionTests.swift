import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

/// A way to project segments, with sizes.
struct ProjectionCase: CustomTestStringConvertible, Sendable {
    enum Method: CaseIterable, Sendable { case dynamic, learnable, learnablePerHead, convolution, mean }
    let seed: UInt64
    let method: Method
    let b: Int, n: Int, h: Int, d: Int, length: Int, slots: Int
    let isMasked: Bool
    /// True where x is some columns of a wider projection.
    let isView: Bool

    init(_ seed: Int) {
        self.seed = UInt64(seed)
        let draws = RandomKey(seed: UInt64(seed)).integers(8)
        func one<Value>(_ index: Int, of values: [Value]) -> Value { values[Int(draws[index] % UInt64(values.count))] }
        method = Method.allCases[seed % Method.allCases.count]
        (b, h, d) = (one(0, of: [1, 2, 3]), one(1, of: [1, 2, 3]), one(2, of: [1, 3, 4, 17]))
        slots = one(3, of: [1, 1, 2, 3])
        length = slots * one(4, of: [1, 2, 5, 16])
        n = one(5, of: [length, length + 1, 4 * length - 1, length + 37, 200, 1000])
        (isMasked, isView) = (one(6, of: [true, false]), one(7, of: [true, false]))
    }

    var testDescription: String {
        "\(seed): \(method) of [\(b), \(n), \(h), \(d)], \(slots) of \(length)\(isMasked ? " masked" : "")"
            + "\(isView ? " view" : "")"
    }

    /// x (or what it is a view of) and the projection's own.
    func inputs() -> [Tensor] {
        func random(_ shape: [Int], _ index: Int) -> Tensor {
            .normal(shape, key: RandomKey(seed: seed).child(index))
        }
        let own: [Tensor] =
            switch method {
            case .dynamic: [random([b, n, h, slots], 2)]
            case .learnable: [random([slots, length], 2)]
            case .learnablePerHead: [random([h, slots, length], 2)]
            case .convolution: [random([slots * d, d, length], 2), random([slots * d], 3)]
            case .mean: []
            }
        return [random([b, n, isView ? h * d + 3 : h * d], 1)] + own
    }

    var mask: Tensor? {
        isMasked ? Tensor.uniform([b, n], key: RandomKey(seed: seed).child(8)) .> 0.5 : nil
    }

    func run(_ x: [Tensor], _ implementation: Implementation = .fused) -> Tensor {
        let projection: SegmentProjection =
            switch method {
            case .dynamic: .dynamic(scores: x[1])
            case .learnable, .learnablePerHead: .learnable(x[1])
            case .convolution: .convolution(weight: x[1], bias: x[2])
            case .mean: .mean(slots: slots)
            }
        let tokens = isView ? x[0].sliced(2, from: 2, to: 2 + h * d) : x[0]
        return projectSegments(
            tokens.reshaped([b, n, h, d]), projection, segmentLength: length, mask: mask,
            implementation: implementation)
    }
}

@Suite("Projections of segments") struct LinformerSegmentProjectionTests {
    @Test("Plain and fused forms agree, gradients included", arguments: (0..<150).map(ProjectionCase.init))
    func formsAgree(_ test: ProjectionCase) throws {
        func run(_ implementation: Implementation) throws -> (output: Tensor, gradients: [Tensor]) {
            let leaves = test.inputs().map { $0.requiringGradient() }
            let output = test.run(leaves, implementation)
            let all = gradients(of: output, seed: .normal(output.shape, key: RandomKey(seed: 9)))
            return (output, try leaves.map { try #require(all[$0]) })
        }
        let (got, expected) = (try run(.fused), try run(.plain))
        let widest = max(test.length * test.d, test.h * test.d)
        let lengths = SumLengths(path: 4 * test.length * test.d, rows: test.b * test.n, widest: widest)
        #expect(got.output.shape == [test.b, test.n / test.length * test.slots, test.h, test.d])
        expectClose(
            got.output.values, expected.output.values.map(Double.init),
            within: lengths.tolerance(largest: largest(expected.output.values)), "output")
        expectGradients(
            zip(got.gradients, expected.gradients).enumerated().map { ("\($0)", $1.0.values, $1.1.values) }, lengths)
    }

    @Test("Each method makes the slots that its formula says", arguments: Implementation.allCases)
    func formulas(_ implementation: Implementation) {
        // One head of one column: two segments of tokens 1, 2 and 3, 5; the last token is in none.
        let x = Tensor([1, 2, 3, 5, 100], shape: [1, 5, 1, 1])
        func slots(_ projection: SegmentProjection, mask: [Float]? = nil) -> [Float] {
            projectSegments(
                x, projection, segmentLength: 2, mask: mask.map { Tensor($0, shape: [1, 5]) },
                implementation: implementation
            ).values
        }
        #expect(slots(.mean(slots: 1)) == [1.5, 4])
        #expect(slots(.mean(slots: 2)) == [1, 2, 3, 5])
        #expect(slots(.learnable(Tensor([1, 10, 0, -1], shape: [2, 2]))) == [21, -2, 53, -5])
        let kernel = Tensor([1, 10], shape: [1, 1, 2])
        #expect(slots(.convolution(weight: kernel, bias: Tensor([0.5]))) == [21.5, 53.5])
        // Scores 0 and log 3 weigh one quarter and three.
        let scores = Tensor([0, 1.0986123, 1.0986123, 0, 0], shape: [1, 5, 1, 1])
        expectClose(slots(.dynamic(scores: scores)), [1.75, 3.5], relative: 1e-6)
        let mask: [Float] = [0, 1, 0, 0, 1]
        #expect(slots(.mean(slots: 1), mask: mask) == [2, 0])
        #expect(slots(.dynamic(scores: scores), mask: mask) == [2, 0])
        #expect(slots(.convolution(weight: kernel, bias: nil), mask: mask) == [20, 0])
        #expect(segmentMask(Tensor(mask, shape: [1, 5]), segmentLength: 2).values == [1, 0])
    }

    @Test("The slots of a sequence do not depend on later tokens") func laterTokens() {
        for seed in 0..<20 {
            let test = ProjectionCase(seed)
            var inputs = test.inputs()
            let finished = (test.n / 2) / test.length * test.slots
            let before = test.run(inputs).sliced(1, to: finished)
            let cut = test.n / 2
            for index in inputs.indices where inputs[index].shape.prefix(2) == [test.b, test.n] {
                let x = inputs[index]
                inputs[index] = concatenate([x.sliced(1, to: cut), x.sliced(1, from: cut) * -3], axis: 1)
            }
            #expect(test.run(inputs).sliced(1, to: finished).values == before.values, "\(test)")
        }
    }

    @Test("A sequence shorter than a segment has no slots", arguments: Implementation.allCases)
    func noSegments(_ implementation: Implementation) {
        for n in [0, 1, 3] {
            let slots = projectSegments(
                .ones([2, n, 3, 5]), .mean(slots: 2), segmentLength: 4, implementation: implementation)
            #expect(slots.shape == [2, 0, 3, 5])
            #expect(segmentMask(.ones([2, n]), segmentLength: 4).shape == [2, 0])
        }
    }
}
