import CKernels
import Foundation

/// What a process may use of the machine's processors.
public struct ProcessorLimits: Sendable, Equatable {
    /// Processors that the system may run this process on.
    public let affinity: Int
    /// Processors' worth of time that a container (control group) may use, such as 1.5; nil without a limit.
    public let quota: Double?

    /// - Parameters: as the properties.
    public init(affinity: Int, quota: Double?) {
        self.affinity = max(1, affinity)
        self.quota = quota
    }

    /// Threads that can be kept busy: a part of a processor counts as one.
    public var threads: Int { min(affinity, quota.map { max(1, Int(min($0, 1e6).rounded(.up))) } ?? affinity) }

    /// Whether so many threads may look for work while they wait: under a quota that they can use up, looking takes from
    /// the time there is for work.
    func leavesTimeToLook(threads: Int) -> Bool { quota.map { Double(threads) <= $0 } ?? true }

    /// In words: what limits the threads.
    public var explanation: String {
        let processors = "\(affinity) processor\(affinity == 1 ? "" : "s")"
        guard let quota else { return "\(processors) to run on" }
        return "\(processors) to run on, a quota of \(quota.formatted()) of their time"
    }

    static var current: ProcessorLimits {
        ProcessorLimits(affinity: Int(az_processor_count()), quota: quota(root: ""))
    }

    /// The smallest quota of this process's control groups and those around them, of either version.
    ///
    /// - Parameter root: a folder that holds `proc` and `sys`, "" for the system's.
    static func quota(root: String) -> Double? {
        let groups = read("\(root)/proc/self/cgroup")?.split(whereSeparator: \.isNewline) ?? []
        let quotas = groups.flatMap { line -> [Double] in
            // Such as 0::/user.slice (version 2) or 4:cpu,cpuacct:/docker/0a1b (version 1).
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return [] }
            let controllers = parts[1].split(separator: ",")
            if parts[0] == "0" && controllers.isEmpty {
                return along(String(parts[2]), in: ["\(root)/sys/fs/cgroup", "\(root)/sys/fs/cgroup/unified"]) {
                    current($0)
                }
            }
            guard controllers.contains("cpu") else { return [] }
            let mounts = ["cpu", String(parts[1]), "cpu,cpuacct"].map { "\(root)/sys/fs/cgroup/\($0)" }
            return along(String(parts[2]), in: mounts) { legacy($0) }
        }
        return quotas.min()
    }

    /// The quotas of a group's folder and all folders around it. A container may see its own group as the root, under
    /// whatever name the outside gives it.
    private static func along(_ group: String, in mounts: [String], _ quota: (String) -> Double?) -> [Double] {
        var parts = group.split(separator: "/").filter { $0 != ".." }
        var folders: [String] = []
        while true {
            folders.append(parts.map { "/" + $0 }.joined())
            if parts.isEmpty { break }
            parts.removeLast()
        }
        return mounts.flatMap { mount in folders.compactMap { quota(mount + $0) } }
    }

    /// Version 2: cpu.max, "50000 100000" or "max 100000".
    private static func current(_ folder: String) -> Double? {
        guard let parts = read("\(folder)/cpu.max")?.split(whereSeparator: \.isWhitespace), parts.count == 2 else {
            return nil
        }
        return share(Double(parts[0]), Double(parts[1]))
    }

    /// Version 1: microseconds of a period, −1 without a limit.
    private static func legacy(_ folder: String) -> Double? {
        func number(_ name: String) -> Double? {
            read("\(folder)/\(name)").flatMap { Double($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        }
        return share(number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"))
    }

    private static func share(_ quota: Double?, _ period: Double?) -> Double? {
        guard let quota, let period, quota.isFinite, quota > 0, period > 0 else { return nil }
        return quota / period
    }

    private static func read(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
}
