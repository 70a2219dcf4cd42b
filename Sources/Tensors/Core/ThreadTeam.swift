import CKernels
import Foundation
import Synchronization

/// Threads that wait for shares of a computation. Handing work to a waiting thread takes a fraction of a microsecond,
/// where waking one through the system takes ten or more: as long as a product of one row, of which a generated token
/// has dozens.
///
/// After its last job a worker looks for the next one for `patience`, giving way to other threads, and then sleeps.
/// Nobody waits for a worker that has not begun: on a crowded machine the caller does the work itself.
final class ThreadTeam: @unchecked Sendable {
    static let shared = ThreadTeam()

    /// Only one caller at a time has the team.
    private let isTaken = Atomic<Bool>(false)
    /// Seats of the job that workers may still take (upper half), and workers who have one (lower half). The job stays
    /// valid while anyone has a seat.
    private let seats = Atomic<UInt64>(0)
    private static let seat: UInt64 = 1 << 32
    private static let seated: UInt64 = seat - 1
    /// Written while there are no seats.
    private var job: (() -> Void)?
    /// Workers hired so far; belongs to the caller that has the team.
    private var workers = 0

    private let sleepingWorkers = Atomic<Int>(0)
    private let jobOffered = NSCondition()
    private let callerSleeps = Atomic<Bool>(false)
    private let jobLeft = NSCondition()

    /// Calls `share` on this thread and at the same time on up to `threads` − 1 workers; returns when all have finished.
    /// Workers may come late or not at all, so `share` must take its work from a common place until nothing is left.
    ///
    /// - Returns: false, with nothing done, while the team works for another caller (or for this one, further out).
    func run(on threads: Int, _ share: () -> Void) -> Bool {
        guard isTaken.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged else {
            return false
        }
        defer { isTaken.store(false, ordering: .releasing) }
        hire(threads - 1)
        withoutActuallyEscaping(share) { share in
            job = share
            offer(threads - 1)
            share()
            close()
            job = nil
        }
        return true
    }

    private func hire(_ count: Int) {
        while workers < count {
            workers += 1
            let thread = Thread { self.serve() }
            thread.name = "tensors-\(workers)"
            thread.stackSize = 8 << 20
            thread.start()
        }
    }

    // MARK: The caller

    private func offer(_ count: Int) {
        // Sequentially consistent with the count of sleepers: a worker that goes to sleep either sees the seats or is seen.
        seats.store(UInt64(count) * Self.seat, ordering: .sequentiallyConsistent)
        let sleeping = min(sleepingWorkers.load(ordering: .sequentiallyConsistent), count)
        guard sleeping > 0 else { return }
        jobOffered.lock()
        for _ in 0..<sleeping { jobOffered.signal() }
        jobOffered.unlock()
    }

    /// Lets no more workers in and waits for those who are.
    private func close() {
        if seats.bitwiseAnd(Self.seated, ordering: .sequentiallyConsistent).newValue == 0 { return }
        var patience = Patience()
        while seats.load(ordering: .acquiring) != 0 {
            if patience.wait() { continue }
            jobLeft.lock()
            callerSleeps.store(true, ordering: .sequentiallyConsistent)
            while seats.load(ordering: .sequentiallyConsistent) != 0 { jobLeft.wait() }
            callerSleeps.store(false, ordering: .sequentiallyConsistent)
            jobLeft.unlock()
        }
    }

    // MARK: A worker

    private func serve() {
        while true {
            waitForSeat()
            work()
            leave()
        }
    }

    private func waitForSeat() {
        var patience = Patience()
        while !takeSeat() {
            if patience.wait() { continue }
            jobOffered.lock()
            sleepingWorkers.wrappingAdd(1, ordering: .sequentiallyConsistent)
            while seats.load(ordering: .sequentiallyConsistent) < Self.seat { jobOffered.wait() }
            sleepingWorkers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            jobOffered.unlock()
            patience = Patience()
        }
    }

    private func takeSeat() -> Bool {
        let current = seats.load(ordering: .relaxed)
        // It does not matter if this is another job by now: the job is read after the seat is taken.
        return current >= Self.seat
            && seats.compareExchange(
                expected: current, desired: current - Self.seat + 1, ordering: .acquiringAndReleasing
            ).exchanged
    }

    // Not inlined: whatever holds the closure must have let go of it before `leave` lets the caller go.
    @inline(never) private func work() { job!() }

    private func leave() {
        let left = seats.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue
        guard left & Self.seated == 0, callerSleeps.load(ordering: .sequentiallyConsistent) else { return }
        jobLeft.lock()
        jobLeft.signal()
        jobLeft.unlock()
    }
}

/// A wait for something near: pauses of the processor, giving way to other threads now and then. It ends after 100 µs,
/// longer than what lies between two operations, and at once where another thread took the processor: then there are
/// more threads than processors, and waiting takes time from those who have work. So it does under a quota of processor
/// time (`Threads.mayLook`).
private struct Patience {
    private static let limit: UInt64 = 100_000
    private static let absence: UInt64 = 10_000
    private var count = 0
    private var start: UInt64 = 0

    /// Waits a little; false when it is time to sleep.
    mutating func wait() -> Bool {
        if count % 64 == 0 && !Threads.mayLook { return false }
        count += 1
        az_pause()
        if count % 64 != 0 { return true }
        let before = DispatchTime.now().uptimeNanoseconds
        sched_yield()
        let after = DispatchTime.now().uptimeNanoseconds
        if start == 0 { start = before }
        return after - before < Self.absence && after - start < Self.limit
    }
}
