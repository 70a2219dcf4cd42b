import AttentionZooTestSupport
import Foundation
import Linformers
import NN
import Tensors
import Testing

/// Attention with bounded memory against its plain form, the recurrence token by token.
@Suite struct LinformerBoundedMemoryAttentionTests {
    typealias Case = BoundedMemoryCase

    /// Lengths below, at and above a chunk (32) and several of them; odd sizes everywhere.
    static let cases: [Case] = {
        var all: [Case] = []
        for n in [1, 2, 19, 32, 33, 75] {
            all.append(Case(b: 2, n: n, perHead: n % 2 == 1, more: 3))
            all.append(Case(n: n, h: 3, d: 1, k: 1, isOne: true))
            all.append(Case(b: 3, n: n, h: 1, d: 7, k: 9, isOne: n % 2 == 0, dropout: 0.3))
        }
        all.append(Case(b: 2, n: 70, h: 3, perHead: true, isOne: true, more: 1))
        // Several segments of 512 tokens: one after another, and where sequences are few, at the same time.
        all.append(Case(b: 2, n: 1100, h: 2, d: 2, k: 3, dropout: 0.2))
        all.append(Case(n: 2500, h: 1, d: 2, k: 3, more: 5))
        all.append(Case(n: 1300, h: 3, d: 2, k: 3, isOne: true, dropout: 0.2))
        all.append(Case(b: 3, n: 300, h: 1, d: 3, k: 4, perHead: true))
        // So many slots that a segment is longer: 4 k tokens.
        all.append(Case(n: 1300, h: 2, d: 1, k: 300))
        return all
    }()

    @Test("The fused form equals the recurrence of the plain form, gradients included", arguments: cases)
    func equalsTheRecurrence(_ test: Case) throws {
        let leaves = test.inputs().map { $0.requiringGradient() }
        let (plain, fused) = (test.attend(leaves, implementation: .plain), test.attend(leaves))
        test.expectValues(fused, plain, "output")
        let seed = Tensor.normal(fused.shape, key: RandomKey(seed: 9))
        let (got, expected) = (gradients(of: fused, seed: seed), gradients(of: plain, seed: seed))
        test.expectLinformerGradients(
            try leaves.map { try #require(got[$0]) }, try leaves.map { try #require(expected[$0]) })
    }

    /// Parts of a packed projection are read in place, and the gradient of the output may be an expanded view.
    @Test("Views are read like dense inputs") func viewsAreInputsLikeOthers() throws {
        let test = Case(b: 2, n: 70, h: 3, d: 4, k: 5)
        let inputs = test.inputs()
        let packed = stack(Array(inputs[..<3]), axis: 2).requiringGradient()  // [b, n, 3, h, d]
        let views = (0..<3).map { packed.at(2, $0) } + inputs[3...]
        let seed = Tensor.normal([1, 1, 1, 4], key: RandomKey(seed: 9)).expanded(to: inputs[0].shape)
        let got = gradients(of: test.attend(views), seed: seed)
        let leaves = inputs.map { $0.requiringGradient() }
        let output = test.attend(leaves)
        let expected = gradients(of: output, seed: seed.contiguous())
        #expect(test.attend(views).values == output.values)
        let parts = try (0..<3).map { try #require(expected[leaves[$0]]) }
        #expect(try #require(got[packed]).values == stack(parts, axis: 2).values)
    }

    /// One token, or one slot, whose axis may have any stride: products refuse rows that overlap.
    @Test("Axes of one element may have any stride") func axesOfOneElement() throws {
        let test = Case(b: 2, n: 1, h: 3, d: 4, k: 1)
        let inputs = test.inputs()
        let leaves = inputs.map { $0.requiringGradient() }
        let tokens = leaves[..<3].map { $0.reshaped([2, 3, 4, 1]).permuted([0, 3, 1, 2]) }
        #expect(tokens[0].strides[1] == 1)
        let weights = leaves[5...].map { $0.reshaped([1]).expanded(to: [1, 1]) }
        let views = tokens + leaves[3..<5] + weights
        let (plain, output) = (test.attend(leaves, implementation: .plain), test.attend(views))
        test.expectValues(output, plain, "output")
        let seed = Tensor.normal(output.shape, key: RandomKey(seed: 9))
        let (got, expected) = (gradients(of: output, seed: seed), gradients(of: plain, seed: seed))
        test.expectLinformerGradients(
            try leaves.map { try #require(got[$0]) }, try leaves.map { try #require(expected[$0]) })
    }

    /// F given as E itself has the same gradient in two parts.
    @Test("E given again as F has the same gradient in two parts") func theSameTensorTwiceIsOne() throws {
        let test = Case(b: 2, n: 90, isOne: true)
        let leaves = test.inputs().map { $0.requiringGradient() }
        let (one, two) = (test.attend(leaves), test.attend(leaves + [leaves[5]]))
        #expect(one.values == two.values)
        let seed = Tensor.normal(one.shape, key: RandomKey(seed: 9))
        let (a, b) = (gradients(of: one, seed: seed), gradients(of: two, seed: seed))
        // Two sums added in another order.
        expectClose(try #require(a[leaves[5]]), try #require(b[leaves[5]]), roundings: 2 * 90, "e")
    }

    /// Gradients nobody wants are not made, and those that are stay the same.
    @Test("Gradients that are not needed are not made, and the others stay the same") func frozenProjections() throws {
        let test = Case(b: 2, n: 90)
        let inputs = test.inputs()
        let leaves = inputs.map { $0.requiringGradient() }
        let frozen = leaves[..<3] + inputs[3...]
        let seed = Tensor.normal(inputs[0].shape, key: RandomKey(seed: 9))
        let all = gradients(of: test.attend(leaves), seed: seed)
        let some = gradients(of: test.attend(Array(frozen)), seed: seed)
        for index in 0..<3 {
            #expect(try #require(some[leaves[index]]).values == #require(all[leaves[index]]).values)
        }
        #expect(some[leaves[5]] == nil)
    }

    /// Neither queries nor keys, values or columns of E and F of later tokens change anything, to the bit.
    @Test(
        "Nothing of a later token changes an earlier output by a bit",
        arguments: [Case(b: 2, n: 200, h: 2), Case(n: 1500, h: 1)]) func theFutureDoesNotLeak(_ test: Case)
    {
        let inputs = test.inputs()
        let before = test.attend(inputs).values
        for token in [0, 1, 31, 32, 100, test.n - 1] {
            var changed = inputs
            for index in [0, 1, 2] {
                let kept = inputs[index].sliced(1, to: token)
                changed[index] = concatenate([kept, inputs[index].sliced(1, from: token) * -3], axis: 1)
            }
            for index in [5, 6] {
                let kept = inputs[index].sliced(1, to: token)
                changed[index] = concatenate([kept, inputs[index].sliced(1, from: token) * -3], axis: 1)
            }
            let (after, width) = (test.attend(changed).values, test.h * test.d)
            for row in 0..<test.b {
                let (start, cut) = (row * test.n * width, (row * test.n + token) * width)
                #expect(after[start..<cut] == before[start..<cut], "token \(token)")
                #expect(after[cut..<cut + width] != before[cut..<cut + width], "token \(token) is changed itself")
            }
        }
    }

    /// The same inputs give the same bits, gradients included, whatever the threads' timing.
    @Test(
        "The same inputs give the same bits, gradients included",
        arguments: [Case(b: 3, n: 1200, h: 2, dropout: 0.5), Case(n: 1200, h: 1, dropout: 0.5)])
    func sameBitsAgain(_ test: Case) {
        let leaves = test.inputs().map { $0.requiringGradient() }
        func run() -> [[Float]] {
            let output = test.attend(leaves)
            let all = gradients(of: output, seed: output.detached())
            return [output.values] + leaves.map { all[$0]!.values }
        }
        #expect(run() == run())
    }

    /// P of every token.
    @Test(
        "The weights that are shown are those of the plain form",
        arguments: [Case(b: 2, n: 150, h: 3, perHead: true, more: 2), Case(n: 1100, h: 1)])
    func weightsAreThoseOfTheRecurrence(_ test: Case) {
        let inputs = test.inputs()
        func weights(_ implementation: Implementation) -> Tensor {
            boundedMemoryWeights(
                inputs[0], inputs[1], inputs[5].sliced(-1, to: test.n), initialKeys: inputs[3], scale: Case.scale,
                implementation: implementation)
        }
        #expect(weights(.fused).shape == [test.b, test.h, test.n, test.k])
        test.expectValues(weights(.fused), weights(.plain), "weights")
    }

    /// Forward keeps less than a quarter of the queries: nothing by token and token, or token and slot. In a process of
    /// its own, as the pool is everybody's.
    @Test("Forward keeps less than a quarter of the queries") func keepsNoScores() async {
        await #expect(processExitsWith: .success) {
            let (n, d, k) = (8192, 16, 32)
            let tokens = (0..<3).map {
                Tensor.normal([1, n, 1, d], key: RandomKey(seed: UInt64($0))).requiringGradient()
            }
            let e = Tensor.normal([k, n], standardDeviation: 0.01, key: RandomKey(seed: 5)).requiringGradient()
            let initial = Tensor.zeros([k, d])
            let before = MemoryPool.shared.statistics.current
            let output = boundedMemoryAttention(
                tokens[0], tokens[1], tokens[2], e: e, initialKeys: initial, initialValues: initial, scale: 0.25)
            let held = MemoryPool.shared.statistics.current - before
            require(held < n * d * 4 * 5 / 4, "\(held) bytes are held")
            MemoryPool.shared.resetPeak()
            _ = gradients(of: output, seed: output.detached())
            // Backward makes the gradients of q, k, v and E; beyond them it takes less than one of these.
            let peak = MemoryPool.shared.statistics.peak - before
            require(peak < n * (5 * d + k) * 4 + 4_000_000, "\(peak) bytes in backward")
        }
    }

    @Test("No tokens give an empty output and gradients of zeros") func noTokensGiveNothing() throws {
        let test = Case(b: 2, n: 0)
        let leaves = test.inputs().map { $0.requiringGradient() }
        let output = test.attend(leaves)
        #expect(output.shape == [2, 0, 2, 3])
        let all = gradients(of: output.sum())
        #expect(try #require(all[leaves[3]]).values == [Float](repeating: 0, count: 15))
        #expect(try #require(all[leaves[5]]).shape == [5, 0])
    }

    @Test("Shapes that do not fit stop with a message") func shapesThatDoNotFitStop() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let (x, slots) = (Tensor.zeros([1, 4, 2, 3]), Tensor.zeros([5, 3]))
            _ = boundedMemoryAttention(
                x, x, x, e: .zeros([5, 6]), initialKeys: slots, initialValues: slots, scale: 1)
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("boundedMemoryAttention: q [1, 4, 2, 3], e [5, 6]"))
    }
}
