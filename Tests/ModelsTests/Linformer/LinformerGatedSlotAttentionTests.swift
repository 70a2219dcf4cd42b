import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

/// Gated slots in chunks against their plain form, the recurrence token by token.
@Suite struct LinformerGatedSlotAttentionTests {
    typealias Case = GatedSlotCase

    /// Lengths below, at and above a chunk (32) and several of them; odd sizes everywhere; each way of forgetting.
    static let cases: [Case] = {
        var all: [Case] = []
        for (number, forgetting) in Forgetting.allCases.enumerated() {
            for n in [1, 2, 19, 32, 33, 75] {
                let isOdd = (number + n) % 2 == 1
                all.append(Case(b: 2, n: n, dv: 4, forgetting: forgetting, hasState: isOdd, readsState: !isOdd))
                all.append(Case(n: n, h: 3, d: 1, dv: 2, m: 1, forgetting: forgetting, readsState: true))
                all.append(
                    Case(b: 3, n: n, h: 1, d: 7, dv: 5, m: 18, forgetting: forgetting, hasState: true, dropout: 0.3))
            }
            all.append(Case(n: 40, h: 1, d: 4, dv: 3, m: 83, forgetting: forgetting, hasState: true, readsState: true))
            all.append(Case(n: 37, h: 1, d: 4, dv: 3, m: 130, forgetting: forgetting, readsState: true))
        }
        all += [16, 17, 32, 33, 48, 49, 64, 65].map { Case(n: 35, h: 1, d: 2, dv: 2, m: $0, hasState: true) }
        // Several segments of 512 tokens.
        all.append(Case(n: 1100, d: 2, dv: 3, m: 3, forgetting: .mixed, hasState: true, readsState: true))
        all.append(Case(b: 2, n: 513, d: 2, dv: 2, m: 3, readsState: true, dropout: 0.2))
        // So many slots that a segment is longer.
        all.append(Case(n: 700, h: 1, d: 1, dv: 1, m: 150, forgetting: .slow, readsState: true))
        return all
    }()

    @Test("Slots in chunks equal the loop over tokens, gradients included", arguments: cases)
    func equalsTheLoop(_ test: Case) {
        let (got, expected) = (test.results(.fused), test.results(.plain))
        for (index, name) in ["output", "state.keys", "state.values"].enumerated() {
            expectClose(got.values[index], expected.values[index], roundings: test.lengths.path, name)
        }
        expectGradients(
            zip(Case.names, zip(got.gradients, expected.gradients)).map { ($0, $1.0, $1.1) }, test.lengths)
    }

    /// Parts of a packed projection are read in place, and the gradient of the output may be an expanded view.
    @Test("Views are read like dense inputs") func viewsAreRead() throws {
        let test = Case(b: 2, n: 70, h: 3, d: 4, dv: 4, m: 4)
        let inputs = test.inputs()
        let packed = stack(inputs, axis: 2).requiringGradient()  // [b, n, 4, h, d]
        let views = (0..<4).map { packed.at(2, $0) }
        let seed = Tensor.normal([1, 1, 1, 4], key: RandomKey(seed: 9)).expanded(to: inputs[0].shape)
        let got = gradients(of: test.attend(views).output, seed: seed)
        let leaves = inputs.map { $0.requiringGradient() }
        let output = test.attend(leaves).output
        let expected = gradients(of: output, seed: seed.contiguous())
        #expect(test.attend(views).output.values == output.values)
        let parts = try leaves.map { try #require(expected[$0]) }
        #expect(try #require(got[packed]).values == stack(parts, axis: 2).values)
    }

    @Test("Nothing of a later token changes an earlier output by a bit") func theFutureDoesNotLeak() {
        let test = Case(b: 2, n: 200)
        let inputs = test.inputs()
        let before = test.attend(inputs).output.values
        for token in [0, 1, 31, 32, 100, test.n - 1] {
            let changed = inputs.map {
                concatenate([$0.sliced(1, to: token), $0.sliced(1, from: token) * 3], axis: 1)
            }
            let (after, width) = (test.attend(changed).output.values, test.h * test.dv)
            for row in 0..<test.b {
                let (start, cut) = (row * test.n * width, (row * test.n + token) * width)
                #expect(after[start..<cut] == before[start..<cut], "token \(token)")
                #expect(after[cut..<cut + width] != before[cut..<cut + width], "token \(token) is changed itself")
            }
        }
    }

    @Test("Tokens that keep all leave the slots as they are", arguments: Implementation.allCases)
    func keepingLeavesSlots(_ implementation: Implementation) {
        let test = Case(n: 80, hasState: true)
        var inputs = test.inputs()
        let expected = test.attend(
            inputs.prefix(3).map { $0.sliced(1, to: 50) } + [inputs[3].sliced(1, to: 50)] + inputs[4...], implementation
        )
        inputs[3] = concatenate([inputs[3].sliced(1, to: 50), .zeros([1, 30, 2, 5])], axis: 1)
        let state = test.attend(inputs, implementation).state
        expectClose(state.keys, expected.state.keys, roundings: 80, "keys")
        expectClose(state.values, expected.state.values, roundings: 80, "values")
    }

    @Test("The weights that are shown are those of the plain form", arguments: [false, true])
    func weightsAreThoseOfTheLoop(_ hasState: Bool) {
        let test = Case(b: 2, n: 150, h: 3, dv: 5, hasState: hasState)
        let x = test.inputs()
        func weights(_ implementation: Implementation) -> Tensor {
            gatedSlotWeights(
                x[0], x[1], logForget: x[3], state: hasState ? GatedSlots(keys: x[4], values: x[5]) : nil,
                scale: Case.scale, implementation: implementation)
        }
        #expect(weights(.fused).shape == [2, 3, 150, 5])
        expectClose(weights(.fused), weights(.plain), roundings: test.lengths.path, "weights")
    }

    /// In a process of its own, as the number of threads is one for all tests.
    @Test("Threads that share the heads give the same bits") func threadsAgree() async {
        await #expect(processExitsWith: .success) {
            func run(threads: Int) -> [[Float]] {
                Threads.count = threads
                let test = GatedSlotCase(b: 2, n: 70, h: 3, hasState: true, readsState: true, dropout: 0.2)
                let results = test.results(.fused)
                return (results.values + results.gradients).map(\.values)
            }
            require(run(threads: 3) == run(threads: 1), "three threads differ from one")
        }
    }

    /// In a process of its own: the pool is everybody's.
    @Test("Forward keeps nothing by token and token, or by token and slot") func keepsNoScores() async {
        await #expect(processExitsWith: .success) {
            let (n, d, m) = (8192, 16, 32)
            func random(_ width: Int, _ seed: UInt64) -> Tensor {
                .normal([1, n, 1, width], key: RandomKey(seed: seed))
            }
            let tokens = (0..<3).map { random(d, $0).requiringGradient() }
            let logForget = (sigmoid(random(m, 4)) * -0.1).detached().requiringGradient()
            let before = MemoryPool.shared.statistics.current
            let result = gatedSlotAttention(tokens[0], tokens[1], tokens[2], logForget: logForget, scale: 0.25)
            let held = MemoryPool.shared.statistics.current - before
            require(held < n * d * 4 * 3 / 2, "\(held) bytes are held")
            MemoryPool.shared.resetPeak()
            _ = gradients(of: result.output, seed: result.output.detached())
            // Backward makes the gradients of q, k, v and ln α; beyond them it takes less than one of these.
            let peak = MemoryPool.shared.statistics.peak - before
            require(peak < n * (6 * d + m) * 4 + 4_000_000, "\(peak) bytes in backward")
        }
    }

    @Test("No tokens leave the slots as they are", arguments: Implementation.allCases)
    func noTokens(_ implementation: Implementation) throws {
        let test = Case(b: 2, n: 0, dv: 4, hasState: true)
        let leaves = test.inputs().map { $0.requiringGradient() }
        let (output, state) = test.attend(leaves, implementation)
        #expect(output.shape == [2, 0, 2, 4] && state.keys.values == leaves[4].values)
        let all = gradients(of: state.values.sum())
        #expect(try #require(all[leaves[5]]).values == [Float](repeating: 1, count: 80))
    }

    @Test("Shapes that do not fit stop with a message") func shapesThatDoNotFitStop() async {
        func message(_ result: ExitTest.Result?) -> String {
            String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        }
        let forget = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let x = Tensor.zeros([1, 4, 2, 3])
            _ = gatedSlotAttention(x, x, x, logForget: .zeros([1, 4, 3, 5]), scale: 1)
        }
        #expect(message(forget).contains("gatedSlotAttention: q [1, 4, 2, 3]"))
        #expect(message(forget).contains("logForget [1, 4, 3, 5]; expected q and k [b, n, h, d]"))
        let state = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let x = Tensor.zeros([1, 4, 2, 3])
            let slots = GatedSlots(keys: .zeros([1, 2, 5, 3]), values: .zeros([1, 2, 4, 3]))
            _ = gatedSlotAttention(x, x, x, logForget: .zeros([1, 4, 2, 5]), state: slots, scale: 1)
        }
        #expect(message(state).contains("state [1, 2, 5, 3], [1, 2, 4, 3]; expected [1, 2, 5, 3], [1, 2, 5, 3]"))
    }
}
