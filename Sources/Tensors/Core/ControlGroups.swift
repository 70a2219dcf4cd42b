import Foundation

/// The control groups of this process, of either version, and those around them: what a container limits.
struct ControlGroups {
    private let root: String

    /// - Parameter root: a folder that holds `proc` and `sys`, "" for the system's.
    init(root: String) { self.root = root }

    /// Reads a value from each folder of a controller's groups that has it.
    /// - Parameters:
    ///   - mounts: where version 1 mounts the controller, beside its own name.
    ///   - current, legacy: read a group's folder, of version 2 and of version 1.
    func values<Value>(
        of controller: String, mounts others: [String] = [], current: (String) -> Value?, legacy: (String) -> Value?
    ) -> [Value] {
        let groups = Self.read("\(root)/proc/self/cgroup")?.split(whereSeparator: \.isNewline) ?? []
        return groups.flatMap { line -> [Value] in
            // Such as 0::/user.slice (version 2) or 4:cpu,cpuacct:/docker/0a1b (version 1).
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return [] }
            let controllers = parts[1].split(separator: ",")
            if parts[0] == "0" && controllers.isEmpty {
                return Self.along(
                    String(parts[2]), in: ["\(root)/sys/fs/cgroup", "\(root)/sys/fs/cgroup/unified"], current)
            }
            guard controllers.contains(Substring(controller)) else { return [] }
            let mounts = ([controller, String(parts[1])] + others).map { "\(root)/sys/fs/cgroup/\($0)" }
            return Self.along(String(parts[2]), in: mounts, legacy)
        }
    }

    /// Reads a value from a group's folder and all folders around it. A container may see its own group as the root,
    /// under whatever name the outside gives it.
    private static func along<Value>(_ group: String, in mounts: [String], _ value: (String) -> Value?) -> [Value] {
        var parts = group.split(separator: "/").filter { $0 != ".." }
        var folders: [String] = []
        while true {
            folders.append(parts.map { "/" + $0 }.joined())
            if parts.isEmpty { break }
            parts.removeLast()
        }
        return mounts.flatMap { mount in folders.compactMap { value(mount + $0) } }
    }

    /// The text of a file, nil where it cannot be read.
    static func read(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

    /// The number that a file holds, nil where it is none.
    static func number(_ path: String) -> Double? {
        read(path).flatMap { Double($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    }
}
