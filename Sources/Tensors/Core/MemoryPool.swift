import Foundation

/// The caching allocator under every tensor. A freed buffer goes to a free list of its size class and is handed out
/// again, so a training step after the first touches no fresh pages. Safe from several threads.
public final class MemoryPool: Sendable {
    /// The pool that tensors use.
    public static let shared = MemoryPool()

    /// Bytes held by live tensors, the most there ever were at once, and bytes waiting in free lists.
    public struct Statistics: Sendable {
        /// Bytes in use.
        public var current = 0
        /// The most bytes in use at once since `resetPeak`.
        public var peak = 0
        /// Bytes of freed buffers that are kept for later.
        public var cached = 0
    }

    private struct State {
        var free: [Int: [Int]] = [:]  // size class in bytes → addresses
        var statistics = Statistics()
        /// The most bytes that were ever in use at once.
        var greatest = 0
        /// Bytes that the system was asked for since it was last asked what it has.
        var unchecked = 0

        /// Work on changing sizes (texts of many lengths) would fill the free lists with buffers nobody asks for again.
        /// Removes cached buffers, largest first, beyond a quarter more than was ever in use at once.
        mutating func takeSurplus() -> [Int] {
            let limit = greatest + greatest / 4 + (64 << 20)
            var taken: [Int] = []
            while statistics.current + statistics.cached > limit,
                let size = free.lazy.filter({ !$0.value.isEmpty }).map(\.key).max()
            {
                taken.append(free[size]!.removeLast())
                statistics.cached -= size
            }
            return taken
        }
    }
    private let state = Guarded(State())

    /// 64 bytes: a cache line and an AVX-512 register.
    static let alignment = 64
    private static let hugePage = 2 << 20

    /// The bytes in use and cached now.
    public var statistics: Statistics { state.withLock { $0.statistics } }

    /// Makes the peak equal to what is in use now.
    public func resetPeak() { state.withLock { $0.statistics.peak = $0.statistics.current } }

    /// Gives all cached buffers back to the system.
    public func releaseCached() {
        let addresses = state.withLock { state in
            defer {
                state.free = [:]
                state.statistics.cached = 0
            }
            return state.free.values.flatMap { $0 }
        }
        for address in addresses { free(UnsafeMutableRawPointer(bitPattern: address)) }
    }

    /// Size classes: eight to a doubling, so at most an eighth is wasted.
    static func sizeClass(_ bytes: Int) -> Int {
        guard bytes > 512 else { return (max(bytes, 1) + alignment - 1) & ~(alignment - 1) }
        let step = 1 << (Int.bitWidth - 1 - (bytes - 1).leadingZeroBitCount - 3)
        return (bytes + step - 1) & ~(step - 1)
    }

    /// A buffer. Ends the program (`OutOfMemory`) where there is no memory for it.
    func allocate(bytes: Int) -> UnsafeMutableRawPointer {
        guard bytes < Self.greatest else { endForWant(of: bytes) }
        let size = Self.sizeClass(bytes)
        let (cached, surplus): (Int?, [Int]) = state.withLock { state in
            state.statistics.current += size
            state.statistics.peak = max(state.statistics.peak, state.statistics.current)
            state.greatest = max(state.greatest, state.statistics.current)
            guard let cached = state.free[size]?.popLast() else { return (nil, state.takeSurplus()) }
            state.statistics.cached -= size
            return (cached, [])
        }
        if let cached { return UnsafeMutableRawPointer(bitPattern: cached)! }
        for address in surplus { free(UnsafeMutableRawPointer(bitPattern: address)) }
        if let pointer = fresh(size) { return pointer }
        releaseCached()
        guard let pointer = fresh(size) else { endForWant(of: size) }
        return pointer
    }

    /// Larger than any address space.
    private static let greatest = 1 << 48
    /// So often the system is asked what it has: what it gives and has not is taken back with the life of a process.
    private static let checkInterval = 64 << 20

    /// Memory of the system; nil where it has none.
    private func fresh(_ size: Int) -> UnsafeMutableRawPointer? {
        let checks = state.withLock { state in
            state.unchecked += size
            guard state.unchecked >= Self.checkInterval else { return false }
            state.unchecked = 0
            return true
        }
        if checks, MemoryLimits.room.bytes < size { return nil }
        var pointer: UnsafeMutableRawPointer?
        let isLarge = size >= Self.hugePage
        guard posix_memalign(&pointer, isLarge ? Self.hugePage : Self.alignment, size) == 0, let pointer else {
            return nil
        }
        #if os(Linux)
            if isLarge { madvise(pointer, size, Int32(MADV_HUGEPAGE)) }
        #endif
        return pointer
    }

    private func endForWant(of bytes: Int) -> Never {
        let (room, used) = (MemoryLimits.room, max(0, statistics.current - bytes))
        OutOfMemory.end(
            "out of memory: a tensor of \(bytes.byteText) beside the \(used.byteText) in use; there are"
                + " \(room.bytes.byteText), \(room.reason)")
    }

    func release(_ pointer: UnsafeMutableRawPointer, bytes: Int) {
        let size = Self.sizeClass(bytes)
        state.withLock { state in
            state.statistics.current -= size
            state.statistics.cached += size
            state.free[size, default: []].append(Int(bitPattern: pointer))
        }
    }
}

/// A buffer of floats that goes back to the pool when its last tensor goes.
final class Storage: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<Float>
    let count: Int

    init(count: Int) {
        self.count = count
        pointer = MemoryPool.shared.allocate(bytes: count.timesClamped(4)).bindMemory(to: Float.self, capacity: count)
    }

    deinit { MemoryPool.shared.release(pointer, bytes: count * 4) }
}
