import AttentionZooTestSupport
import NN
import Tensors
import Testing

/// Sliding-window attention and its plain form: values, and the gradients of everything.
@Suite struct WindowAttentionTests {
    /// A case, which is tried in two layouts.
    struct Case: CustomTestStringConvertible, Sendable {
        var pattern: WindowPattern
        var n: Int
        var b = 2, h = 2, d = 4, dv = 3
        var bias = ""
        var masked = false
        var factors = false
        var selfLast = false
        var drops = false
        var testDescription: String {
            "\(pattern.window) n \(n) \(pattern.isCausal ? "causal" : "") \(pattern.lookBackward)/\(pattern.lookForward) "
                + "\(pattern.isExact ? "exact" : "") \(bias) \(masked ? "masked" : "") \(factors ? "factors" : "") "
                + "\(selfLast ? "self last" : "") \(drops ? "dropout" : "") b \(b) h \(h)"
        }
    }

    private static func pattern(_ w: Int, _ causal: Bool, _ back: Int, _ forward: Int, exact: Bool) -> WindowPattern {
        WindowPattern(window: w, isCausal: causal, lookBackward: back, lookForward: forward, isExact: exact)
    }

    static let cases: [Case] = {
        var all: [Case] = []
        for exact in [false, true] {
            for (w, back, forward, n) in [(3, 1, 1, 11), (1, 2, 1, 5), (5, 0, 0, 13), (4, 3, 2, 8), (70, 1, 1, 150)] {
                all.append(Case(pattern: pattern(w, false, back, forward, exact: exact), n: n))
                all.append(Case(pattern: pattern(w, true, back, 0, exact: exact), n: n, bias: "distance"))
                all.append(
                    Case(pattern: pattern(w, true, back, 0, exact: exact), n: n, bias: "place", factors: true))
                all.append(
                    Case(
                        pattern: pattern(w, false, back, forward, exact: exact), n: n, bias: "distance", masked: true,
                        drops: true))
                all.append(
                    Case(
                        pattern: pattern(w, w < 4, back, w < 4 ? 0 : forward, exact: exact), n: n, factors: true,
                        selfLast: true, drops: w < 5))
            }
            // Sequences that are cut among threads, with keys that two units share; a window of more columns than a tile.
            all.append(Case(pattern: pattern(16, false, 2, 1, exact: exact), n: 1100, b: 1, h: 1, bias: "distance"))
            all.append(Case(pattern: pattern(50, true, 1, 0, exact: exact), n: 900, b: 1, h: 1, factors: true))
            all.append(Case(pattern: pattern(1500, true, 1, 0, exact: exact), n: 1300, b: 1, h: 1, bias: "distance"))
            all.append(Case(pattern: pattern(600, false, 1, 1, exact: exact), n: 1300, b: 1, h: 1, masked: true))
        }
        return all
    }()

    @Test("The fused form agrees with the plain form", arguments: cases, [false, true])
    func formsAgree(_ test: Case, headsFirst: Bool) throws {
        let inputs = CaseInputs(test)
        // As the caller lays them out; magnitudes are of [b, h, n, d].
        let leaves = inputs.leaves.map {
            ($0.rank == 4 && !headsFirst ? $0.transposed(1, 2).contiguous() : $0).requiringGradient()
        }
        func inOrder(_ x: Tensor) -> Tensor { x.rank == 4 && !headsFirst ? x.transposed(1, 2) : x }
        let options = inputs.options(bias: leaves.count > 3 ? leaves[3] : nil)
        func attend(_ implementation: Implementation) -> Tensor {
            inOrder(
                windowAttention(
                    leaves[0], leaves[1], leaves[2], headsFirst: headsFirst, options: options,
                    implementation: implementation))
        }
        let (fused, plain) = (attend(.fused), attend(.plain))
        let weights = windowAttentionWeights(
            leaves[0], leaves[1], headsFirst: headsFirst, options: options, implementation: .plain)
        let probe = Tensor.normal(plain.shape, key: RandomKey(seed: 9))
        let ordered = leaves.map(inOrder)
        // Dropout makes the weights that are left larger; window factors are below 1.5.
        let kept: Float = test.drops ? 1 / (1 - 0.25) : 1
        let magnitudes = AttentionMagnitudes(
            weights: weights, ordered[0], ordered[1], ordered[2] * kept, scale: 0.6, seed: probe * kept)
        let (a, b) = try magnitudes.expectAgreement(
            of: fused, leaves, with: plain, leaves, seed: probe, factor: test.factors ? 1.5 : 1)
        if leaves.count > 3 {
            let (bias, reference) = (try #require(a[leaves[3]]), try #require(b[leaves[3]]))
            expectClose(
                bias.values, reference.values, terms: 2 * magnitudes.terms + test.b * test.n,
                magnitude: inputs.largestOfBias(magnitudes.ofScore), "gradient of the bias")
        }
    }

    /// They are those that are used, also without keeping a gradient.
    @Test("The weights that are shown agree with the plain form's", arguments: cases, [false, true])
    func showsItsWeights(_ test: Case, headsFirst: Bool) {
        if test.n > 500 { return }  // n² weights; longer ones are cut into the same tiles
        let inputs = CaseInputs(test)
        let (q, k) = (inputs.leaves[0].requiringGradient(), inputs.leaves[1])  // [b, h, n, d]
        let options = inputs.options(bias: inputs.leaves.count > 3 ? inputs.leaves[3] : nil)
        let expected = windowAttentionWeights(q, k, headsFirst: true, options: options, implementation: .plain)
        let parts = headsFirst ? [q, k] : [q, k].map { $0.transposed(1, 2).contiguous() }
        let weights = windowAttentionWeights(parts[0], parts[1], headsFirst: headsFirst, options: options)
        #expect(!weights.requiresGradient)
        // A weight's error is that of its score, of d products and the sums of all n exponentials, of at most 1.
        let scores = matrixProduct(unsigned(q), unsigned(k), transposeB: true).values
        expectClose(
            weights.values, expected.values, terms: test.n + test.d, magnitude: max(1, largest(scores)), "weights")
    }

    @Test("The weights of a query that sees nothing are uniform over its windows", arguments: Implementation.allCases)
    func weightsOfAQueryThatSeesNothing(_ implementation: Implementation) {
        var options = WindowAttentionOptions(WindowPattern(window: 2, isCausal: true), scale: 1)
        options.mask = Tensor([0, 1, 0, 0, 0], shape: [1, 5])
        let q = Tensor.ones([1, 5, 1, 1])
        let weights = windowAttentionWeights(q, q, options: options, implementation: implementation)
        // Token 0 averages over the places −2 … 1, token 4 over 2 … 5.
        let (sees, half): ([Float], Float) = ([0, 1, 0, 0, 0], 0.25)
        #expect(weights.shape == [1, 1, 5, 5])
        #expect(weights.values == [half, half, 0, 0, 0] + sees + sees + sees + [0, 0, half, half, half])
    }

    @Test("Packed queries, keys, and values give the bits of separate ones", arguments: Implementation.allCases)
    func packedEqualsSeparate(_ implementation: Implementation) throws {
        let (b, n, h, d) = (2, 37, 3, 4)
        let options = WindowAttentionOptions(WindowPattern(window: 5, isCausal: true, isExact: true), scale: 0.5)
        let qkv = Tensor.normal([b, n, 3 * h * d], key: RandomKey(seed: 1)).requiringGradient()
        let parts = qkv.reshaped([b, n, 3, h, d])
        let separate = windowAttention(
            parts.at(2, 0), parts.at(2, 1), parts.at(2, 2), options: options, implementation: implementation
        ).reshaped([b, n, h * d])
        let packed = windowAttention(packed: qkv, heads: h, options: options, implementation: implementation)
        #expect(packed.values == separate.values)
        let probe = Tensor.normal(packed.shape, key: RandomKey(seed: 2))
        let (x, y) = (gradients(of: (packed * probe).sum())[qkv], gradients(of: (separate * probe).sum())[qkv])
        #expect(try #require(x).values == #require(y).values)
    }

    /// Places before and after the sequence count as −1, those that only fill the last window as 0, whatever causality says.
    @Test("A query whose keys are all masked averages its windows", arguments: Implementation.allCases)
    func aQueryThatSeesNothingAverages(_ implementation: Implementation)
        throws
    {
        var options = WindowAttentionOptions(WindowPattern(window: 2, isCausal: true), scale: 1)
        options.mask = Tensor([0, 1, 0, 0, 0], shape: [1, 5])
        let v = Tensor([1, 2, 4, 8, 16], shape: [1, 5, 1, 1]).requiringGradient()
        let q = Tensor.ones([1, 5, 1, 1])
        let got = windowAttention(q, q, v, options: options, implementation: implementation)
        // Tokens 0, 1: slots −2 … 1. Token 1 sees itself. Tokens 2, 3 see token 1. Token 4: slots 2 … 5, of which 5 is 0.
        let expected: [Float] = [0.25, 2, 2, 2, 7]
        #expect(got.values == expected)
        let gradient = try #require(gradients(of: got.sum())[v])
        #expect(gradient.values == [0.25, 0.25 + 3, 0.25, 0.25, 0.25])
    }

    /// Every second weight is dropped and the others doubled: the output is linear in the values, so with them as 0 and 1
    /// both can be read off.
    @Test("The backward pass drops the same weights")
    func dropoutDropsTheSameInBackward() throws {
        let (n, w) = (256, 64)
        var options = WindowAttentionOptions(WindowPattern(window: w, isCausal: true, isExact: true), scale: 0)
        (options.dropout, options.key) = (0.5, RandomKey(seed: 3))
        let q = Tensor.ones([1, n, 1, 1])
        var dropped = 0
        for key in [0, 10, 70] {
            let v = Tensor((0..<n).map { $0 == key ? 1 : 0 }, shape: [1, n, 1, 1]).requiringGradient()
            let output = windowAttention(q, q, v, options: options)
            let weights = output.values
            for query in 0..<n {
                let seen = options.pattern.isExact && query >= key && query <= key + w
                let even = Float(1) / Float(min(query, w) + 1)
                #expect(weights[query] == 0 || seen && abs(weights[query] - 2 * even) < 1e-6)
                if seen && weights[query] == 0 { dropped += 1 }
            }
            let gradient = try #require(gradients(of: output.sum())[v])
            // The gradient of this key's value is the sum of what it was weighed with.
            #expect(abs(gradient.values[key] - weights.reduce(0, +)) < 1e-5)
        }
        // 195 weights, each dropped with 1/2: six standard deviations are 42.
        #expect((56...139).contains(dropped))
        #expect(windowAttention(q, q, q, options: options).values == windowAttention(q, q, q, options: options).values)
    }

    /// Dropout draws the same weights each time.
    @Test("Gradients of queries and keys with dropout agree with central differences")
    func gradientsWithDropout() {
        var options = WindowAttentionOptions(WindowPattern(window: 3, isCausal: false), scale: 0.7)
        (options.dropout, options.key) = (0.4, RandomKey(seed: 5))
        let inputs = (0..<3).map { Tensor.normal([1, 7, 2, 2], key: RandomKey(seed: UInt64($0))) }
        let mismatches = checkGradients(
            of: { [options] in windowAttention($0[0], $0[1], $0[2], options: options) }, at: inputs)
        #expect(mismatches == [])
    }

    /// Not even one window's for each window. In a process of its own, as the pool is shared.
    @Test("No scores are kept for the backward pass")
    func keepsNoScores() async {
        await #expect(processExitsWith: .success) {
            let (n, w) = (4096, 128)
            let qkv = Tensor.normal([1, n, 3 * 16], key: RandomKey(seed: 1)).requiringGradient()
            let options = WindowAttentionOptions(WindowPattern(window: w, isCausal: true, isExact: true), scale: 0.25)
            let before = MemoryPool.shared.statistics.current
            let output = windowAttention(packed: qkv, heads: 1, options: options)
            let held = MemoryPool.shared.statistics.current - before
            // The output [n, 16] and the log-sums [n]. Scores [windows, W, 2 W] would be 4 MB.
            require(held < n * 4 * (16 + 1) + 100_000, "\(held) bytes are held")
            _ = gradients(of: output.sum())
        }
    }

    @Test("Shapes that do not fit stop with a message")
    func shapesThatDoNotFitStop() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let x = Tensor.zeros([1, 4, 2, 3])
            var options = WindowAttentionOptions(WindowPattern(window: 2, isCausal: true), scale: 1)
            options.bias = .byDistance(.zeros([2, 3]), origin: 2)
            _ = windowAttention(x, x, x, options: options)
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("windowAttention: bias [2, 3] for 2 sequences of 4 tokens and windows of 2 × 2"))
    }
}
