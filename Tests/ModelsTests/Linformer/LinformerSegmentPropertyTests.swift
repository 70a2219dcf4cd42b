import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

/// The promises of attention by segments beside its formula.
@Suite("Properties of attention by segments") struct LinformerSegmentPropertyTests {
    typealias Case = SegmentCase

    private func window(_ w: Int, bias: Tensor?) -> WindowAttentionOptions {
        let pattern = WindowPattern(window: max(1, w - 1), isCausal: true, lookBackward: min(1, w - 1), isExact: true)
        var options = WindowAttentionOptions(pattern, scale: Case.scale)
        // Window attention's entries go from the farthest key to the nearest.
        options.bias = bias.map { bias in
            let farthestFirst = TokenTensor((0..<Int32(w)).reversed())
            return .byDistance(bias.taking(farthestFirst, axis: 1), origin: w - 1)
        }
        return options
    }

    @Test("Without slots it is sliding-window attention, gradients included", arguments: [1, 2, 7, 64, 100, 300])
    func noSlotsIsWindowAttention(_ w: Int) throws {
        var test = Case(n: 201)
        (test.b, test.h, test.d, test.slots, test.window, test.hasWindowBias) = (2, 3, 5, 0, w, true)
        let leaves = test.inputs().map { $0.requiringGradient() }
        let output = test.attend(leaves)
        let expected = windowAttention(leaves[0], leaves[1], leaves[2], options: window(w, bias: leaves[5]))
        test.expectValues(output, expected, "output")
        let seed = Tensor.normal(output.shape, key: RandomKey(seed: 9))
        let (got, others) = (gradients(of: output, seed: seed), gradients(of: expected, seed: seed))
        expectGradients(
            try [0, 1, 2, 5].map {
                (test.names[$0], try #require(got[leaves[$0]]).values, try #require(others[leaves[$0]]).values)
            }, test.lengths)
    }

    /// A sequence whose slots are made of its keys and values, so that anything of a later token could leak.
    private func attend(_ x: [Tensor], _ test: Case, scores: Tensor) -> Tensor {
        let slots = x[1...2].map { projectSegments($0, .dynamic(scores: scores), segmentLength: test.length) }
        return segmentAttention(
            x[0], x[1], x[2], slotKeys: slots[0], slotValues: slots[1], options: test.options())
    }

    @Test(
        "Later tokens do not change earlier outputs by a bit, and change their own",
        arguments: SegmentReach.allCases, [1, 5, 100])
    func laterTokens(_ reach: SegmentReach, window: Int) {
        var test = Case(n: 150)
        (test.b, test.window, test.length, test.e, test.reach) = (2, window, 4, 3, reach)
        let inputs = test.inputs()
        let scores = Tensor.normal([2, 150, 2, 2], key: RandomKey(seed: 4))
        let before = attend(inputs, test, scores: scores)
        func changed(_ x: Tensor, from t: Int) -> Tensor {
            concatenate([x.sliced(1, to: t), x.sliced(1, from: t) * -3], axis: 1)
        }
        for t in [0, 1, 3, 4, 63, 64, 71, 100, 149] {
            let after = attend(
                inputs[...2].map { changed($0, from: t) }, test, scores: changed(scores, from: t))
            #expect(after.sliced(1, to: t).values == before.sliced(1, to: t).values, "token \(t)")
            #expect(after.at(1, t).values != before.at(1, t).values, "token \(t)")
        }
    }

    @Test("A query sees its window, and the segments in reach, of those the newest", arguments: Implementation.allCases)
    func whatIsSeen(_ implementation: Implementation) {
        // Values are one-hot, and so the output has the weights: of equal scores, equal ones.
        let (n, l, w) = (12, 2, 3)
        func seen(_ t: Int, _ reach: SegmentReach, most: Int?) -> Set<Int> {
            var options = SegmentAttentionOptions(window: w, segmentLength: l, slots: 1, scale: 1)
            (options.reach, options.maxSegments) = (reach, most)
            let all = Tensor.identity(n + n / l)
            let zeros = Tensor.zeros([1, n, 1, 1])
            let output = segmentAttention(
                zeros, zeros, all.sliced(0, to: n).reshaped([1, n, 1, n + n / l]), slotKeys: .zeros([1, n / l, 1, 1]),
                slotValues: all.sliced(0, from: n).reshaped([1, n / l, 1, n + n / l]), options: options,
                implementation: implementation)
            return Set(output.at(1, t).values.enumerated().filter { $0.element > 0 }.map(\.offset))
        }
        #expect(seen(0, .beforeWindow, most: nil) == [0])
        #expect(seen(1, .allFinished, most: nil) == [0, 1, 12])
        #expect(seen(3, .beforeWindow, most: nil) == [1, 2, 3])
        #expect(seen(4, .beforeWindow, most: nil) == [2, 3, 4, 12])
        #expect(seen(4, .allFinished, most: nil) == [2, 3, 4, 12, 13])
        #expect(seen(5, .allFinished, most: 2) == [3, 4, 5, 13, 14])
        #expect(seen(11, .beforeWindow, most: nil) == [9, 10, 11, 12, 13, 14, 15])
        #expect(seen(11, .beforeWindow, most: 1) == [9, 10, 11, 15])
    }

    @Test("Part by part, with what a part needs of those before, gives the whole", arguments: SegmentReach.allCases)
    func continues(_ reach: SegmentReach) {
        var test = Case(n: 97)
        (test.reach, test.most, test.hasWindowBias, test.hasSlotBias) = (reach, 5, true, true)
        let x = test.inputs()
        let whole = test.attend(x)
        for cuts in [[1, 2, 3, 4, 5, 40, 41, 42, 43, 44, 97], [33, 97], Array(1...97)] {
            var start = 0
            for end in cuts {
                var options = test.options(x)
                options.firstKey = max(0, start + 1 - test.window)
                options.firstSegment = max(0, options.segmentsInReach(of: start) - 5)
                let given = end / test.length
                let part = segmentAttention(
                    x[0].sliced(1, from: start, to: end), x[1].sliced(1, from: options.firstKey, to: end),
                    x[2].sliced(1, from: options.firstKey, to: end),
                    slotKeys: x[3].sliced(1, from: options.firstSegment * 2, to: given * 2),
                    slotValues: x[4].sliced(1, from: options.firstSegment * 2, to: given * 2), options: options)
                test.expectValues(part, whole.sliced(1, from: start, to: end), "\(start) ..< \(end)")
                start = end
            }
        }
    }

    @Test("A query whose keys and slots are all masked gets zeros", arguments: Implementation.allCases)
    func allMasked(_ implementation: Implementation) throws {
        var test = Case(n: 30)
        test.hasSlotBias = true
        let x = test.inputs()
        var options = test.options(x)
        options.mask = Tensor((0..<30).map { $0 < 20 ? 0 : 1 }, shape: [1, 30])
        options.slotMask = .zeros([1, 8])
        let q = x[0].requiringGradient()
        let output = segmentAttention(
            q, x[1], x[2], slotKeys: x[3], slotValues: x[4], options: options, implementation: implementation)
        #expect(output.sliced(1, to: 20).values.allSatisfy { $0 == 0 })
        #expect(output.sliced(1, from: 20).values.allSatisfy { $0 != 0 })
        let gradient = try #require(gradients(of: output.sum())[q])
        #expect(gradient.sliced(1, to: 20).values.allSatisfy { $0 == 0 })
    }

    @Test("Weights that are shown give the output") func shownWeights() {
        for seed: UInt64 in 0..<40 {
            var test = Case(drawn: seed)
            test.dropout = 0
            let x = test.inputs()
            let weights = segmentAttentionWeights(
                x[0], x[1], slotQueries: test.hasSlotQueries ? x[5] : nil, slotKeys: x[3], options: test.options(x))
            #expect(weights.shape == [test.b, test.h, test.n, test.m + test.segments * test.slots])
            let values = concatenate([x[2], x[4]], axis: 1).permuted([0, 2, 1, 3])
            test.expectValues(matrixProduct(weights, values).permuted([0, 2, 1, 3]), test.attend(x), "\(test)")
        }
    }

    @Test("Views are read like dense inputs") func views() throws {
        var test = Case(n: 90)
        (test.b, test.d, test.e) = (2, 4, 4)
        let x = test.inputs()
        let packed = stack(Array(x[..<3]), axis: 2).requiringGradient()  // [b, n, 3, h, d]
        let parts = (0..<3).map { packed.at(2, $0) }
        let output = test.attend(parts + x[3...])
        #expect(output.values == test.attend(x).values)
        let leaves = x[..<3].map { $0.requiringGradient() }
        let seed = Tensor.normal([1, 1, 1, 4], key: RandomKey(seed: 9)).expanded(to: output.shape)
        let got = gradients(of: output, seed: seed)
        let expected = gradients(of: test.attend(leaves + x[3...]), seed: seed.contiguous())
        let apart = try leaves.map { try #require(expected[$0]) }
        #expect(try #require(got[packed]).values == stack(apart, axis: 2).values)
    }

    @Test("The same inputs give the same bits, gradients included") func sameBits() {
        var test = Case(n: 1200)
        (test.b, test.h, test.dropout, test.most) = (1, 1, 0.5, 20)
        (test.hasWindowBias, test.hasSlotBias) = (true, true)
        let leaves = test.inputs().map { $0.requiringGradient() }
        func run() -> [[Float]] {
            let output = test.attend(leaves)
            let all = gradients(of: output, seed: output.detached())
            return [output.values] + leaves.map { all[$0]!.values }
        }
        #expect(run() == run())
    }

    @Test("No tokens give an empty output and gradients of zeros") func noTokens() throws {
        var test = Case(n: 0)
        (test.hasWindowBias, test.earlierKeys) = (true, 3)
        let leaves = test.inputs().map { $0.requiringGradient() }
        let output = test.attend(leaves)
        #expect(output.shape == [1, 0, 2, 3])
        #expect(test.attend(leaves, implementation: .plain).shape == [1, 0, 2, 3])
        let all = gradients(of: output.sum())
        for leaf in leaves[1...] { #expect(try #require(all[leaf]).values.allSatisfy { $0 == 0 }) }
    }

    @Test("One token sees itself") func oneToken() {
        let test = Case(n: 1)
        let x = test.inputs()
        #expect(test.attend(x).values == x[2].values)
    }

    /// In a process of its own: the pool is everybody's.
    @Test("Forward keeps the output and little more, and backward makes little beside the gradients")
    func keepsNoScores() async {
        await #expect(processExitsWith: .success) {
            let (n, d) = (16384, 16)
            let tokens = (0..<3).map {
                Tensor.normal([1, n, 1, d], key: RandomKey(seed: UInt64($0))).requiringGradient()
            }
            let slots = projectSegments(tokens[1], .mean(slots: 1), segmentLength: 16).detached()
            var options = SegmentAttentionOptions(window: 128, segmentLength: 16, slots: 1, scale: 0.25)
            options.maxSegments = 128
            let before = MemoryPool.shared.statistics.current
            let output = segmentAttention(
                tokens[0], tokens[1], tokens[2], slotKeys: slots, slotValues: slots, options: options)
            let held = MemoryPool.shared.statistics.current - before
            require(held < n * d * 4 * 5 / 4, "\(held) bytes are held")
            MemoryPool.shared.resetPeak()
            _ = gradients(of: output, seed: output.detached())
            let peak = MemoryPool.shared.statistics.peak - before
            require(peak < n * 5 * d * 4 + 4_000_000, "\(peak) bytes in backward")
        }
    }
}
