import AttentionZooTestSupport
import Foundation
import Synchronization
import Testing

@testable import Tensors

/// The memory of the system and of its groups, and errors without enough of it.
@Suite("Memory limits") struct MemoryLimitsTests {
    private let folder = try! TemporaryFolder()

    private func write(_ text: String, _ name: String) throws { try folder.write(text.utf8, name) }

    private func room(addressSpace: Int = -1, data: Int = -1) -> MemoryLimits.Room {
        MemoryLimits.room(root: folder.path, addressSpace: addressSpace, data: data)
    }

    @Test("What the system has available, and its swap")
    func system() throws {
        #expect(room().bytes == .max)
        try write("MemTotal:       4000 kB\nMemAvailable:   3000 kB\nSwapFree:  500 kB\n", "proc/meminfo")
        #expect(room() == .init(bytes: 3500 * 1024, reason: "the memory that is available"))
        try write("MemTotal:       4000 kB\nnonsense\nSwapFree:  x kB\n", "proc/meminfo")
        #expect(room().bytes == 4000 * 1024)
    }

    @Test("The least of the control groups around the process, of either version")
    func controlGroups() throws {
        try write("MemAvailable: 9000000 kB\n", "proc/meminfo")
        try write("0::/outer/inner\n5:cpu,memory:/box\n", "proc/self/cgroup")
        try write("max\n", "sys/fs/cgroup/outer/inner/memory.max")
        try write("100000\n", "sys/fs/cgroup/outer/inner/memory.current")
        #expect(room().bytes == 9_000_000 * 1024)
        try write("500000\n", "sys/fs/cgroup/outer/memory.max")
        try write("300000\n", "sys/fs/cgroup/outer/memory.current")
        try write("anon 100\nactive_file 40000\ninactive_file 60000\n", "sys/fs/cgroup/outer/memory.stat")
        #expect(room() == .init(bytes: 300_000, reason: "what the process's control group leaves it"))
        try write("200000\n", "sys/fs/cgroup/memory/box/memory.limit_in_bytes")
        try write("50000\n", "sys/fs/cgroup/memory/box/memory.usage_in_bytes")
        #expect(room().bytes == 150_000)
        try write("9223372036854771712\n", "sys/fs/cgroup/memory/box/memory.limit_in_bytes")
        #expect(room().bytes == 300_000)
        try write("900000\n", "sys/fs/cgroup/outer/memory.current")
        #expect(room().bytes == 0)
    }

    @Test("The process's own limits, without what it has mapped")
    func limits() throws {
        try write("MemAvailable: 9000000 kB\n", "proc/meminfo")
        try write("1000 200 30 4 0 300 0\n", "proc/self/statm")
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        #expect(room(addressSpace: 1500 * page).bytes == 500 * page)
        #expect(room(data: 310 * page).bytes == 10 * page)
        #expect(room(addressSpace: 1500 * page, data: 310 * page).reason.contains("ulimit -d"))
        #expect(room(addressSpace: 10).bytes == 0)
        #expect(room(addressSpace: 10).reason == "what the process's limit of address space (ulimit -v) leaves")
    }

    @Test("This machine has some memory, and no more than there is anywhere")
    func here() {
        #expect((1 << 20..<1 << 50).contains(MemoryLimits.room.bytes))
        #expect(throws: Never.self) { try MemoryLimits.requireRoom(for: 1, "a test takes", remedy: "nothing") }
        let error = #expect(throws: InputError.self) {
            try MemoryLimits.requireRoom(for: .max, "a test takes", remedy: "lower it")
        }
        #expect(error?.message.hasPrefix("a test takes more than 9.2 EB; expected at most ") ?? false)
        #expect(error?.message.hasSuffix(": lower it") ?? false)
    }

    @Test("Sums and products that do not fit are the greatest number")
    func clamped() {
        #expect(3.timesClamped(4) == 12 && 3.plusClamped(4) == 7)
        #expect(
            Int.max.timesClamped(2) == .max && Int.max.plusClamped(1) == .max && (1 << 32).timesClamped(1 << 31) == .max
        )
        #expect(Int.clampedProduct([1 << 40, 1 << 40, 0]) == 0)
        #expect(Int.clampedProduct([1 << 40, 1 << 40, 2]) == .max && Int.clampedProduct([]) == 1)
        #expect(Shape.count([1 << 24, 1 << 24, 1 << 24]) == .max && Shape.count([2, 3]) == 6)
    }

    @Test(
        "Bytes for people",
        arguments: [
            (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1 kB"), (1500, "1.5 kB"), (9_960, "10 kB"),
            (999_600, "1 MB"), (134_217_728, "134 MB"), (16_800_000_000_000, "17 TB"), (.max, "more than 9.2 EB"),
        ])
    func text(_ bytes: Int, _ expected: String) { #expect(bytes.byteText == expected) }
}

/// Ends as the commands do.
private func endWithALine() {
    OutOfMemory.setEnd { line in
        FileHandle.standardError.write(Data("error: \(line)\n".utf8))
        _exit(1)
    }
}

#if os(Linux)
    /// Limits what this process may map to so many bytes more.
    private func leaveAddressSpace(of bytes: Int) {
        func limit(to bytes: Int) {
            let pages = Int(ControlGroups.read("/proc/self/statm")!.split(separator: " ")[0])!
            var limit = rlimit()
            require(getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0, "getrlimit")
            limit.rlim_cur = min(rlim_t(pages * Int(getpagesize()) + bytes), limit.rlim_max)
            require(setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0, "setrlimit")
        }
        // Any limit first: with it, heaps are shared. A thread that made its own later would take 64 MB of what is left.
        limit(to: 1 << 40)
        MemoryLimits.saveAddressSpace()
        limit(to: bytes)
    }
#endif

/// Allocations that fail all the same: each in a process of its own, which ends.
@Suite("Want of memory") struct OutOfMemoryTests {
    private func lines(_ result: ExitTest.Result?) -> [Substring] {
        String(decoding: result?.standardErrorContent ?? [], as: UTF8.self).split(separator: "\n")
    }

    @Test("A tensor larger than any memory is one line, with what is safe")
    func aTensor() async {
        let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
            endWithALine()
            let note = OutOfMemory.Note("step 1 is saved")
            let gone = OutOfMemory.Note("something that is over")
            note.update("step 2 is saved")
            _ = consume gone
            withExtendedLifetime(note) { withExtendedLifetime(Tensor(uninitialized: [1 << 20, 1 << 25])) {} }
        }
        #expect(lines(result).count == 1)
        #expect(lines(result).first?.hasPrefix("error: out of memory: a tensor of 141 TB beside the ") ?? false)
        #expect(lines(result).first?.hasSuffix("; step 2 is saved") ?? false)
    }

    @Test("A shape whose size is no number is one line too")
    func aShape() async {
        let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
            endWithALine()
            _ = Tensor.zeros([1 << 30, 1 << 30, 1 << 30])
        }
        #expect(lines(result).first?.hasPrefix("error: out of memory: a tensor of more than 9.2 EB ") ?? false)
    }

    // Under a limit of address space the address sanitizer fails first, as it reserves some for its own records.
    #if os(Linux) && !ADDRESS_SANITIZER
        @Test("Under a limit of address space, tensors end the program in one line, on any thread")
        func underALimit() async {
            let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
                endWithALine()
                Threads.count = 2
                _ = matrixProduct(Tensor.ones([64, 64]), Tensor.ones([64, 64]))
                leaveAddressSpace(of: 64 << 20)
                let kept = Mutex([Tensor]())
                parallelFor(1000) { _ in
                    let tensor = Tensor.ones([1 << 20])
                    kept.withLock { $0.append(tensor) }
                }
            }
            #expect(lines(result).count == 1)
            #expect(lines(result).first?.contains("(ulimit -v) leaves") ?? false)
        }

        @Test("Where OpenBLAS cannot have its buffer, the first product ends the program instead of waiting for ever")
        func openBLAS() async {
            let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
                endWithALine()
                leaveAddressSpace(of: 100 << 20)
                _ = matrixProduct(Tensor.ones([64, 64]), Tensor.ones([64, 64]))
            }
            #expect(lines(result).count == 1)
            #expect(
                lines(result).first?.hasPrefix("error: out of memory: OpenBLAS needs 134 MB of address space ") ?? false
            )
        }

        @Test("Where it can have only one, products of several threads take turns")
        func oneBuffer() async {
            await #expect(processExitsWith: .success) {
                Threads.count = 4
                leaveAddressSpace(of: 260 << 20)
                let product = matrixProduct(Tensor.ones([256, 300]), Tensor.ones([300, 256]))
                require(product.values.allSatisfy { $0 == 300 }, "a wrong product")
            }
        }
    #endif
}
