import Dispatch
import Tensors
import Testing

/// The pool is everybody's: each test that reads its statistics has a process of its own.
@Suite struct MemoryPoolTests {
    @Test("The pool counts live tensors, views once")
    func countsLiveTensors() async {
        await #expect(processExitsWith: .success) {
            let pool = MemoryPool.shared
            let start = pool.statistics.current
            func used() -> Int { pool.statistics.current - start }
            for count in [0, 1, 100, 129, 1000, 1_000_003] {
                do {
                    let x = Tensor.ones([count])
                    // Classes waste at most an eighth, or up to 64 bytes.
                    require(
                        used() >= 4 * count && used() <= max(4 * count + 64, 4 * count * 9 / 8), "\(count): \(used())")
                    let views = [x.reshaped([count, 1]), x.detached(), x.expanded(to: [2, count])]
                    require(used() <= max(4 * count + 64, 4 * count * 9 / 8), "views of \(count): \(used())")
                    withExtendedLifetime(views) {}
                }
                require(used() == 0, "\(used()) bytes are left of \(count) floats")
            }
        }
    }

    @Test("The pool knows its peak and its cache")
    func peakAndCache() async {
        await #expect(processExitsWith: .success) {
            let pool = MemoryPool.shared
            pool.releaseCached()
            require(pool.statistics.cached == 0, "cached after releasing")
            pool.resetPeak()
            let start = pool.statistics.current
            do {
                let (a, b) = (Tensor.zeros([1 << 20]), Tensor.zeros([1 << 20]))
                withExtendedLifetime((a, b)) {}
            }
            let after = pool.statistics
            require(after.current == start && after.peak - start == 8 << 20, "\(after)")
            require(after.cached == 8 << 20, "\(after)")
            do {
                // Out of the cache, not from the system.
                let again = Tensor.zeros([1 << 20])
                require(pool.statistics.cached == 4 << 20, "\(pool.statistics)")
                withExtendedLifetime(again) {}
            }
            pool.resetPeak()
            require(pool.statistics.peak == pool.statistics.current, "\(pool.statistics)")
            pool.releaseCached()
            require(pool.statistics.cached == 0, "\(pool.statistics)")
        }
    }

    @Test("Buffers of sizes no longer used are returned to the system")
    func surplusGoesBack() async {
        await #expect(processExitsWith: .success) {
            let megabyte = 1 << 20
            // 25 size classes from 8 to 64 MB, some 750 MB in all, one at a time.
            for eighth in 0...24 {
                let bytes = (8 + eighth % 8) * megabyte << (eighth / 8)
                withExtendedLifetime(Tensor(uninitialized: [bytes / 4])) {}
            }
            let statistics = MemoryPool.shared.statistics
            // A quarter more than the largest, and 64 MB.
            require(statistics.cached <= (64 + 16 + 64) * megabyte, "\(statistics)")
            require(statistics.cached >= 64 * megabyte, "\(statistics)")
        }
    }

    @Test("Training steps after the first take no new memory")
    func stepsDoNotGrow() async {
        await #expect(processExitsWith: .success) {
            // How many scratch buffers live at once would depend on the timing of threads.
            Threads.count = 1
            let weights = (0..<3).map { Parameter(sample([64, 64], seed: UInt64($0)) * 0.1) }
            let pool = MemoryPool.shared
            func step(_ i: Int) {
                var x = sample([2, 30, 64], seed: UInt64(i))
                for weight in weights { x = x + layerNorm(linear(x, weight: weight.value, activation: .gelu)) }
                let loss = crossEntropy(x, TokenTensor((0..<60).map { Int32($0) }, shape: [2, 30]))
                let result = gradients(of: loss)
                for weight in weights { require(result[weight] != nil, "no gradient") }
            }
            step(0)
            step(1)
            let before = pool.statistics
            for i in 2..<12 { step(i) }
            let after = pool.statistics
            require(after.current == before.current, "in use: \(before.current), then \(after.current)")
            require(after.cached == before.cached, "cached: \(before.cached), then \(after.cached)")
            require(after.peak == before.peak, "peak: \(before.peak), then \(after.peak)")
            withExtendedLifetime(weights) {}
        }
    }

    @Test("The backward pass frees saved tensors as it goes")
    func backwardReturnsMemoryAsItGoes() async {
        await #expect(processExitsWith: .success) {
            let pool = MemoryPool.shared
            let n = 1 << 18
            let leaf = Tensor.ones([n]).requiringGradient()
            let start = pool.statistics.current
            var y = leaf
            for _ in 0..<20 { y = tanh(y) }
            let loss = y.sum()
            y = leaf
            require(pool.statistics.current - start >= 20 * 4 * n, "\(pool.statistics.current - start)")
            pool.resetPeak()
            let result = gradients(of: loss)
            // The graph itself, and a few gradients at a time.
            require(pool.statistics.peak - start <= 24 * 4 * n, "peak \(pool.statistics.peak - start)")
            require(pool.statistics.current - start <= 2 * 4 * n, "left \(pool.statistics.current - start)")
            withExtendedLifetime((result, loss)) {}
        }
    }

    @Test("Buffers are aligned to 64 bytes")
    func buffersAreAligned() {
        for count in [1, 3, 16, 17, 1000, 1_000_000] {
            for _ in 0..<3 { #expect(Int(bitPattern: Tensor.zeros([count]).pointer) % 64 == 0) }
        }
    }

    @Test("Threads share the pool without overlap")
    func threadsShareThePool() async {
        await #expect(processExitsWith: .success) {
            let start = MemoryPool.shared.statistics.current
            DispatchQueue.concurrentPerform(iterations: 8) { thread in
                for i in 0..<2000 {
                    let count = (i * 37 + thread * 11) % 3000 + 1
                    let value = Float(thread * 10_000 + i)
                    let x = Tensor(repeating: value, shape: [count])
                    let y = Tensor(repeating: -value, shape: [count])
                    require(x.pointer[0] == value && x.pointer[count - 1] == value, "somebody else wrote")
                    withExtendedLifetime(y) {}
                }
            }
            require(MemoryPool.shared.statistics.current == start, "\(MemoryPool.shared.statistics)")
        }
    }
}
