import Foundation
import Testing

@testable import Tensors

@Suite("What a process may use of the processors") struct ProcessorLimitsTests {
    /// A system whose files are these.
    private func quota(_ files: [String: String]) throws -> Double? {
        try withTemporaryFolder { folder in
            for (path, text) in files {
                let url = URL(fileURLWithPath: folder + "/" + path)
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(text.utf8).write(to: url)
            }
            return ProcessorLimits.quota(root: folder)
        }
    }

    @Test(
        "A part of a processor counts as one thread",
        arguments: [
            (8, nil, 8), (8, 0.5, 1), (8, 1, 1), (8, 1.5, 2), (8, 2, 2), (8, 100, 8), (1, 4, 1), (0, nil, 1),
            (4, 1e300, 4), (2, 0.01, 1),
        ] as [(Int, Double?, Int)])
    func threads(_ affinity: Int, _ quota: Double?, _ threads: Int) {
        #expect(ProcessorLimits(affinity: affinity, quota: quota).threads == threads)
    }

    @Test("Threads that can use a quota up do not look for work while they wait")
    func looking() {
        #expect(ProcessorLimits(affinity: 8, quota: nil).leavesTimeToLook(threads: 8))
        #expect(ProcessorLimits(affinity: 8, quota: 2).leavesTimeToLook(threads: 2))
        #expect(!ProcessorLimits(affinity: 8, quota: 1.5).leavesTimeToLook(threads: 2))
        #expect(!ProcessorLimits(affinity: 8, quota: 0.5).leavesTimeToLook(threads: 1))
    }

    @Test("Version 2 gives the group's own quota") func second() throws {
        #expect(
            try quota(["proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "50000 100000\n"]) == 0.5)
    }

    @Test("Version 2 gives the smallest quota of the enclosing groups") func around() throws {
        #expect(
            try quota([
                "proc/self/cgroup": "0::/pod/job\n", "sys/fs/cgroup/pod/job/cpu.max": "max 100000\n",
                "sys/fs/cgroup/pod/cpu.max": "150000 100000\n", "sys/fs/cgroup/cpu.max": "400000 100000\n",
            ]) == 1.5)
    }

    @Test("Version 2 works in a container that sees its own group as the root") func root() throws {
        #expect(
            try quota(["proc/self/cgroup": "0::/../../job\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"]) == 2)
        #expect(
            try quota(["proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"]) == 2)
    }

    @Test("Version 1 works with the controller's own mount and the joint one", arguments: ["cpu", "cpu,cpuacct"])
    func first(_ mount: String) throws {
        #expect(
            try quota([
                "proc/self/cgroup": "5:memory:/docker/0a\n4:cpu,cpuacct:/docker/0a\n",
                "sys/fs/cgroup/\(mount)/cpu.cfs_quota_us": "75000\n",
                "sys/fs/cgroup/\(mount)/cpu.cfs_period_us": "50000\n",
            ]) == 1.5)
    }

    @Test("Files without a limit give none") func none() throws {
        #expect(try quota([:]) == nil)
        #expect(try quota(["proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "max 100000\n"]) == nil)
        #expect(try quota(["sys/fs/cgroup/job/cpu.max": "nonsense"]) == nil)
        #expect(try quota(["sys/fs/cgroup/job/cpu.max": "100000 0"]) == nil)
        #expect(try quota(["proc/self/cgroup": "not a line\n\n0:\n"]) == nil)
        #expect(
            try quota([
                "proc/self/cgroup": "4:cpu:/job\n", "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            ]) == nil)
    }

    @Test("The limit of this process is at least one thread") func here() {
        let limits = ProcessorLimits.current
        #expect(limits.threads >= 1 && limits.threads <= limits.affinity)
        #expect(limits.explanation.contains("\(limits.affinity) processor"))
    }
}
