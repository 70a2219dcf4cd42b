import Dispatch
import Foundation
import Synchronization
import Tensors
import Testing

/// Each in a process of its own: the number of threads is everybody's.
@Suite struct ParallelTests {
    /// Every piece waits for all others, so this ends only if all come.
    @Test("Every piece of a loop has a thread, awake or asleep")
    func asManyThreadsAsPieces() async {
        await #expect(processExitsWith: .success) {
            for threads in [2, 4, 3] {
                Threads.count = threads
                for milliseconds in [0, 0, 1, 20] {
                    usleep(UInt32(milliseconds * 1000))
                    let arrived = Atomic<Int>(0)
                    parallelFor(threads) { _ in
                        arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
                        while arrived.load(ordering: .sequentiallyConsistent) < threads { sched_yield() }
                    }
                }
            }
        }
    }

    private static func sum(_ count: Int) -> Int {
        let total = Atomic<Int>(0)
        parallelFor(count) { total.wrappingAdd($0 + 1, ordering: .relaxed) }
        return total.load(ordering: .relaxed)
    }

    @Test("Many small loops are complete")
    func manySmallLoops() async {
        await #expect(processExitsWith: .success) {
            for threads in [1, 2, 5, 3] {
                Threads.count = threads
                for round in 0..<20_000 {
                    let count = round % 7
                    require(ParallelTests.sum(count) == count * (count + 1) / 2, "round \(round), \(threads) threads")
                    // Long enough for threads to fall asleep, in some rounds.
                    if round % 5000 == 0 { usleep(2000) }
                }
            }
        }
    }

    /// One of them has the waiting threads, the others those of the system.
    @Test("Several callers run loops at once")
    func severalCallersAtOnce() async {
        await #expect(processExitsWith: .success) {
            Threads.count = 3
            DispatchQueue.concurrentPerform(iterations: 8) { caller in
                for round in 0..<2000 {
                    let count = (round + caller) % 9
                    require(ParallelTests.sum(count) == count * (count + 1) / 2, "caller \(caller), round \(round)")
                }
            }
        }
    }

    @Test("A loop inside a loop ends")
    func aLoopInsideALoop() async {
        await #expect(processExitsWith: .success) {
            Threads.count = 3
            for _ in 0..<200 {
                let total = Atomic<Int>(0)
                parallelFor(5) { _ in total.wrappingAdd(ParallelTests.sum(4), ordering: .relaxed) }
                require(total.load(ordering: .relaxed) == 50, "\(total.load(ordering: .relaxed))")
            }
        }
    }

    @Test("Loops flush denormals, their caller does not afterwards")
    func denormalsOutsideOfLoops() async {
        await #expect(processExitsWith: .success) {
            Threads.count = 2
            let half = Atomic<UInt32>(Float(0.5).bitPattern)
            func halved() -> Float {
                Float.leastNormalMagnitude * Float(bitPattern: half.load(ordering: .relaxed))
            }
            require(halved() > 0, "before")
            parallelFor(2) { _ in require(halved() == 0, "inside") }
            require(halved() > 0, "after")
        }
    }
}
