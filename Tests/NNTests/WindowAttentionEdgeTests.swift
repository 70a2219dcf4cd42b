import NN
import Tensors
import Testing

/// Sliding-window attention where queries see nothing, where there is nothing, and far out.
@Suite struct WindowAttentionEdgeTests {
    /// Every query averages the 2200 places of its windows. Windows of so many tokens are cut among threads, so a query
    /// averages values that belong to others: a value of the first window counts in all 2200 queries, of the second in
    /// the 1100 of its own. One thread comes to the others' values later; several may in any order.
    @Test("Averages of large windows are whole, however threads cut them", arguments: [1, 2])
    func averagesReachOverTheCutsOfAWindow(threads: Int) async {
        await #expect(processExitsWith: .success) { [threads] in
            Threads.count = threads
            let (w, n) = (1100, 2200)
            for exact in [false, true] {
                var options = WindowAttentionOptions(WindowPattern(window: w, isCausal: true, isExact: exact), scale: 1)
                options.mask = .zeros([1, n])
                let x = Tensor.ones([1, n, 1, 1])
                let v = Tensor.ones([1, n, 1, 1]).requiringGradient()
                let output = windowAttention(x, x, v, options: options)
                // Before the first window lie as many places that count as −1.
                require(output.values == Array(repeating: 0, count: w) + Array(repeating: 1, count: w), "output")
                let gradient = gradients(of: output.sum())[v]!.values
                for (token, value) in gradient.enumerated() {
                    // A sum of 2200 terms in float32.
                    require(abs(value - (token < w ? 1 : 0.5)) < 1e-4, "token \(token), exact \(exact): \(value)")
                }
            }
        }
    }

    /// With a unit vector as each key's value the output is the weights: among 64, of which half are dropped, no two patterns
    /// are the same.
    @Test("Every query of every head drops other weights")
    func everyQueryDropsOtherWeights() {
        let w = 64
        let pattern = WindowPattern(window: w, isCausal: false, lookBackward: 0, lookForward: 0)
        var options = WindowAttentionOptions(pattern, scale: 0)
        (options.dropout, options.key) = (0.5, RandomKey(seed: 4))
        let units = (0..<w * w).map { Float($0 / w == $0 % w ? 1 : 0) }
        let values = Tensor(units + units, shape: [1, 1, 2 * w, w]).expanded(to: [2, 3, 2 * w, w])
        let x = Tensor.ones([2, 3, 2 * w, 1])
        let weights = windowAttention(x, x, values, headsFirst: true, options: options).values
        let rows = stride(from: 0, to: weights.count, by: w).map { weights[$0..<$0 + w].map { $0 != 0 } }
        #expect(Set(rows).count == 2 * 3 * 2 * w)
    }

    @Test(
        "Empty batches and empty sequences give empty outputs", arguments: [[0, 5], [2, 0]], Implementation.allCases)
    func nothingGivesNothing(_ shape: [Int], _ implementation: Implementation) throws {
        var options = WindowAttentionOptions(WindowPattern(window: 2, isCausal: true), scale: 1)
        options.mask = .ones(shape)
        options.bias = .byDistance(.ones([3, 8]), origin: 7)
        let x = Tensor.zeros([shape[0], shape[1], 3, 4]).requiringGradient()
        let output = windowAttention(x, x, x, options: options, implementation: implementation)
        #expect(output.shape == x.shape)
        #expect(try #require(gradients(of: output.sum())[x]).shape == x.shape)
    }

    /// Angles of a million radians are known to less than 1e-6 of a turn only in float64.
    @Test("Scores depend on the distance of tokens, even at positions of millions")
    func rotationsGoByDistanceFarOut() {
        let rotary = Rotary(2)
        let (q, k) = (Tensor([0.6, 0.8], shape: [1, 1, 1, 2]), Tensor([1, 0], shape: [1, 1, 1, 2]))
        func score(_ query: Int, _ key: Int) -> Float {
            (rotary.table([query]).rotate(q) * rotary.table([key]).rotate(k)).sum().item
        }
        for far in [1_000, 1_000_003, 16_777_217] {
            // Rounding of a few products of numbers up to 1.
            #expect(abs(score(far + 5, far) - score(5, 0)) < 1e-6, "at \(far)")
        }
    }
}
