import CKernels
import Dispatch
import Synchronization

/// The package's use of the processor. OpenBLAS itself always runs on one thread: the package splits the work, which is
/// as fast for large products, faster for small ones, and safe from several threads at once.
public enum Threads {
    private static let setting = Atomic<Int>(0)

    /// The number of threads that operations split their work over; as many as the process can keep busy unless set. Results depend on it only
    /// through the order of floating-point sums that are split, so the same count gives the same bits.
    public static var count: Int {
        get {
            let value = setting.load(ordering: .relaxed)
            return value > 0 ? value : hardwareCount
        }
        set {
            require(newValue > 0, "Threads.count: \(newValue) threads; expected at least 1")
            setting.store(newValue, ordering: .relaxed)
        }
    }

    /// The numbers of threads that can be asked for.
    public static let counts = 1...1024

    /// The number of threads this process can keep busy: the processors it may run on, or fewer where a container's
    /// quota allows fewer. A part of a processor counts as one.
    public static let hardwareCount = limits.threads

    /// The processors that this process may use, as found at the first access.
    public static let limits = ProcessorLimits.current

    /// True if waiting threads may look for work instead of sleeping.
    static var mayLook: Bool { limits.leavesTimeToLook(threads: count) }
}

/// Runs `body(0) … body(count - 1)` on up to `Threads.count` threads, each taking the next index when it is free.
/// Bodies must write to places of their own. Do not nest. The waiting threads of `ThreadTeam` take part; where they work
/// for somebody else, threads of the system do.
public func parallelFor(_ count: Int, _ body: (Int) -> Void) {
    let workers = min(Threads.count, count)
    guard workers > 1 else {
        withDenormalsFlushed { for index in 0..<max(count, 0) { body(index) } }
        return
    }
    let next = Atomic<Int>(0)
    func share() {
        withDenormalsFlushed {
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                if index >= count { return }
                body(index)
            }
        }
    }
    if ThreadTeam.shared.run(on: workers, share) { return }
    withoutActuallyEscaping(share) { escaping in
        // The closure is shared only with the threads that this call waits for.
        nonisolated(unsafe) let share = escaping
        DispatchQueue.concurrentPerform(iterations: workers) { _ in share() }
    }
}

/// Runs `body` with denormal numbers taken for 0, and leaves the thread as it was.
private func withDenormalsFlushed(_ body: () -> Void) {
    let before = az_flush_denormals()
    body()
    az_restore_denormals(before)
}

/// Splits `0 ..< count` into ranges of at most `grain` elements and runs them in parallel; one range runs in place.
public func parallelRanges(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    let pieces = (count + grain - 1) / max(grain, 1)
    parallelFor(pieces) { piece in
        body(piece * grain..<min(count, (piece + 1) * grain))
    }
}
