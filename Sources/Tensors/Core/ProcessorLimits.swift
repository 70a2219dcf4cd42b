import CKernels
import Foundation

/// The processors that a process may use.
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

    /// Returns true if so many threads may look for work while they wait: under a quota that they can use up, looking
    /// takes from the time there is for work.
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
        ControlGroups(root: root).values(of: "cpu", mounts: ["cpu,cpuacct"], current: current, legacy: legacy).min()
    }

    /// Version 2: cpu.max, "50000 100000" or "max 100000".
    private static func current(_ folder: String) -> Double? {
        guard let parts = ControlGroups.read("\(folder)/cpu.max")?.split(whereSeparator: \.isWhitespace),
            parts.count == 2
        else {
            return nil
        }
        return share(Double(parts[0]), Double(parts[1]))
    }

    /// Version 1: microseconds of a period, −1 without a limit.
    private static func legacy(_ folder: String) -> Double? {
        share(
            ControlGroups.number("\(folder)/cpu.cfs_quota_us"), ControlGroups.number("\(folder)/cpu.cfs_period_us"))
    }

    private static func share(_ quota: Double?, _ period: Double?) -> Double? {
        guard let quota, let period, quota.isFinite, quota > 0, period > 0 else { return nil }
        return quota / period
    }
}
