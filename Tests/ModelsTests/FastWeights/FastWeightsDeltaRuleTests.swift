import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// Sizes and variants of the memory.
struct DeltaRuleCase: CustomTestStringConvertible, Sendable {
    var b = 2
    var n: Int
    var h = 2, d = 3, dv = 5
    var chunk = 32, segment = 4
    var rule = UpdateRule.delta
    var hasErase = false, hasState = false, readsState = false
    var nu = 0
    var epsilon: Float? = 1e-6

    var testDescription: String {
        "b \(b) n \(n) h \(h) d \(d) dv \(dv) \(rule) nu \(nu) chunks \(chunk) × \(segment)"
            + "\(hasErase ? " erase" : "")\(hasState ? " state" : "")\(readsState ? " reads state" : "")"
    }

    var features: Features { nu == 0 ? .identity : Features(.dpfp, nu: nu, epsilon: epsilon) }

    /// A token's sums are of as many products as there are features, and each token reads what those before have written.
    var lengths: SumLengths {
        let width = features.width(d)
        return SumLengths(path: n * (width + 2), rows: n, widest: max(width, dv))
    }

    /// q, k, v, beta, and where there are any erase and state.
    func inputs() -> [Tensor] {
        func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }
        // Keys about as long as 1: longer ones would be erased more than once over, and the memory would grow.
        let scale = nu == 0 ? 0.7 / Float(d).squareRoot() : 1
        var inputs = [random([b, n, h, d], 1), random([b, n, h, d], 2) * scale, random([b, n, h, dv], 3)]
        inputs.append(sigmoid(random([b, n, h], 4)))
        if hasErase { inputs.append(sigmoid(random([b, n, h], 5))) }
        if hasState { inputs.append(random([b, h, features.width(d), dv], 6)) }
        return inputs
    }

    func run(_ x: [Tensor], _ implementation: Implementation = .fused) -> (output: Tensor, state: Tensor) {
        deltaRule(
            x[0], x[1], x[2], beta: x[3], erase: hasErase ? x[4] : nil, rule: rule, features: features,
            state: hasState ? x[x.count - 1] : nil, chunk: chunk, segment: segment, implementation: implementation)
    }
}

@Suite struct FastWeightsDeltaRuleTests {
    typealias Case = DeltaRuleCase

    static let cases: [Case] = {
        var all: [Case] = []
        for n in [1, 2, 31, 32, 33, 75, 150] {
            all.append(Case(n: n))
            all.append(Case(n: n, hasErase: true, hasState: true, readsState: true))
            all.append(Case(n: n, rule: .sum, hasState: n % 2 == 0, readsState: n % 3 == 0))
            all.append(Case(b: 1, n: n, h: 3, d: 4, dv: 1, hasState: true, nu: 2))
        }
        // Chunks and segments of any size, the last ones not full.
        for (chunk, segment) in [(1, 1), (1, 5), (3, 2), (7, 1), (16, 3), (64, 4)] {
            all.append(Case(n: 50, chunk: chunk, segment: segment, hasState: true, readsState: true))
            all.append(Case(b: 1, n: 40, chunk: chunk, segment: segment, rule: .sum, nu: 1))
            all.append(Case(n: 33, chunk: chunk, segment: segment, hasErase: true))
        }
        all.append(Case(b: 1, n: 5, h: 1, d: 1, dv: 1, hasState: true, readsState: true))
        all.append(Case(b: 3, n: 130, h: 1, d: 5, dv: 4, hasState: true, nu: 3))
        // Features whose sums are not 1; so long ones would be erased more than once over.
        all.append(Case(n: 70, rule: .sum, nu: 2, epsilon: nil))
        return all
    }()

    /// Compares output, state and all gradients: through the output alone, and through the state as well.
    @Test("The chunked memory equals the loop over tokens", arguments: cases)
    func formsAgree(_ test: Case) throws {
        let inputs = test.inputs()
        let (leaves, references) = (inputs.map { $0.requiringGradient() }, inputs.map { $0.requiringGradient() })
        let (got, expected) = (test.run(leaves), test.run(references, .plain))
        expectClose(got.output, expected.output, roundings: test.lengths.path, "output")
        expectClose(got.state, expected.state, roundings: test.lengths.path, "state")
        let seeds = [got.output, got.state].enumerated().map {
            Tensor.normal($1.shape, key: RandomKey(seed: 9 + UInt64($0)))
        }
        func loss(_ result: (output: Tensor, state: Tensor)) -> Tensor {
            let sum = (result.output * seeds[0]).sum()
            return test.readsState ? sum + (result.state * seeds[1]).sum() : sum
        }
        let (gradients, others) = (gradients(of: loss(got)), gradients(of: loss(expected)))
        let names = ["q", "k", "v", "beta"] + (test.hasErase ? ["erase"] : []) + ["state"]
        expectGradients(
            try zip(names, zip(leaves, references)).map { name, pair in
                (name, try #require(gradients[pair.0]), try #require(others[pair.1]))
            }, test.lengths)
    }

    @Test("A loss of the last state alone has gradients")
    func theStateAloneHasGradients() throws {
        let test = Case(n: 40, hasState: true)
        let inputs = test.inputs()
        let (leaves, references) = (inputs.map { $0.requiringGradient() }, inputs.map { $0.requiringGradient() })
        let gradients = gradients(of: (test.run(leaves).state * 0.5).sum())
        let others = Tensors.gradients(of: (test.run(references, .plain).state * 0.5).sum())
        expectGradients(
            try zip(leaves.dropFirst(), references.dropFirst()).map {
                ("\($0.shape)", try #require(gradients[$0]), try #require(others[$1]))
            }, test.lengths)
        #expect(try #require(gradients[leaves[0]]).values.allSatisfy { $0 == 0 })
    }

    /// Views, expanded ones too, are read in place, and gradients may be expanded.
    @Test("Views are read in place")
    func viewsAreInputsLikeOthers() throws {
        let test = Case(n: 70, h: 3, d: 4, dv: 4)
        let inputs = test.inputs()
        let packed = stack(Array(inputs[..<3]), axis: 2).requiringGradient()  // [b, n, 3, h, d]
        let beta = Tensor([0.5]).requiringGradient()
        let views = (0..<3).map { packed.at(2, $0) } + [beta.expanded(to: [2, 70, 3])]
        let dense =
            inputs[..<3].map { $0.requiringGradient() } + [
                Tensor(repeating: 0.5, shape: [2, 70, 3])
                    .requiringGradient()
            ]
        let seed = Tensor.normal([1, 1, 1, 4], key: RandomKey(seed: 9)).expanded(to: inputs[2].shape)
        let (output, expected) = (test.run(views).output, test.run(dense).output)
        #expect(output.values == expected.values)
        let (got, others) = (gradients(of: output, seed: seed), gradients(of: expected, seed: seed.contiguous()))
        let parts = try (0..<3).map { try #require(others[dense[$0]]) }
        #expect(try #require(got[packed]).values == stack(parts, axis: 2).values)
        let sum = try #require(others[dense[3]]).sum()
        expectClose(try #require(got[beta]).reshaped([]), sum, roundings: test.lengths.path + 2 * 70 * 3, "beta")
    }

    /// Keys, values, a state and its gradient that are the same at all places, and lie in memory once.
    @Test("Expanded inputs add up their gradients")
    func expandedInputs() throws {
        let key = Tensor.normal([1, 1, 1, 3], key: RandomKey(seed: 2)) * 0.4
        let value = Tensor.normal([1, 1, 2, 5], key: RandomKey(seed: 3))
        let state = Tensor.normal([1, 1, 3, 5], key: RandomKey(seed: 6))
        let dense = Case(n: 40, hasState: true).inputs()
        let shapes = [dense[1].shape, dense[2].shape, dense[4].shape]
        func run(_ isView: Bool) throws -> (values: [Float], gradients: [[Float]]) {
            let leaves = zip([key, value, state], shapes).map { tensor, shape in
                (isView ? tensor : tensor.expanded(to: shape).contiguous()).requiringGradient()
            }
            let inputs = zip(leaves, shapes).map { $0.expanded(to: $1) }
            let result = deltaRule(dense[0], inputs[0], inputs[1], beta: dense[3], state: inputs[2])
            // A sum's gradient is one number, expanded.
            let all = gradients(of: result.output.sum() + result.state.sum())
            let sums = try zip(leaves, [key, value, state]).map { leaf, tensor -> [Float] in
                let gradient = try #require(all[leaf])
                let axes = (0..<4).filter { tensor.shape[$0] != gradient.shape[$0] }
                return (axes.isEmpty ? gradient : gradient.sum(axes: axes)).values
            }
            return (result.output.values + result.state.values, sums)
        }
        let (views, copies) = (try run(true), try run(false))
        #expect(views.values == copies.values)
        for (got, expected) in zip(views.gradients, copies.gradients) {
            expectClose(Tensor(got), Tensor(expected), roundings: Case(n: 40).lengths.path + 160, "gradient")
        }
    }

    @Test("A sequence in two parts is the sequence", arguments: [1, 20, 32, 69])
    func splitsAnywhere(_ cut: Int) throws {
        let test = Case(n: 70, hasState: true, nu: 2)
        let inputs = test.inputs()
        let (leaves, references) = (inputs.map { $0.requiringGradient() }, inputs.map { $0.requiringGradient() })
        func part(_ range: Range<Int>, _ state: Tensor) -> (output: Tensor, state: Tensor) {
            let x = leaves[..<4].map { $0.sliced(1, from: range.lowerBound, to: range.upperBound) }
            return deltaRule(x[0], x[1], x[2], beta: x[3], features: test.features, state: state)
        }
        let first = part(0..<cut, leaves[4])
        let second = part(cut..<70, first.state)
        let output = concatenate([first.output, second.output], axis: 1)
        let whole = test.run(references)
        expectClose(output, whole.output, roundings: test.lengths.path, "output")
        expectClose(second.state, whole.state, roundings: test.lengths.path, "state")
        let seed = Tensor.normal(output.shape, key: RandomKey(seed: 9))
        let (got, expected) = (gradients(of: output, seed: seed), gradients(of: whole.output, seed: seed))
        expectGradients(
            try zip(leaves, references).map {
                ("\($0.shape)", try #require(got[$0]), try #require(expected[$1]))
            }, test.lengths)
    }

    @Test("No tokens leave the state as it is")
    func nothingIsNothing() {
        for state in [nil, Tensor.normal([2, 2, 3, 5], key: RandomKey(seed: 1))] {
            let empty = Case(n: 0).inputs()
            let (output, after) = deltaRule(empty[0], empty[1], empty[2], beta: empty[3], state: state)
            #expect(output.shape == [2, 0, 2, 5])
            #expect(after.values == (state ?? .zeros([2, 2, 3, 5])).values)
        }
    }
}
