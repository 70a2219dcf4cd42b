import CKernels
import Foundation

/// The memory that this process may still take.
public struct MemoryLimits: Sendable {
    /// A number of bytes, and by whose word it is no more.
    public struct Room: Sendable, Equatable {
        /// The number of bytes.
        public let bytes: Int
        /// Such as "the memory that is available".
        public let reason: String
    }

    /// The least of what the system has available, what the control groups around the process leave, and what its limits
    /// of address space and data leave. It changes with every process of the machine.
    public static var room: Room { room(root: "") }

    /// The room for new tensors: what is cached for them counts too.
    public static var tensorRoom: Room {
        let room = room
        return Room(bytes: room.bytes.plusClamped(MemoryPool.shared.statistics.cached), reason: room.reason)
    }

    /// Checks that there is memory for something.
    /// - Parameters:
    ///   - bytes: how much.
    ///   - subject: what needs it, as the subject of a sentence.
    ///   - remedy: which options or keys to lower.
    /// - Throws: `InputError` that says how much it is, how much there is, and what to do.
    public static func requireRoom(for bytes: Int, _ subject: String, remedy: @autoclosure () throws -> String) throws {
        let room = tensorRoom
        guard bytes > room.bytes else { return }
        throw InputError(
            "\(subject) \(bytes.byteText); expected at most \(room.bytes.byteText), \(room.reason): \(try remedy())")
    }

    /// Keeps the heaps of threads from taking the address space that is left, where there is a limit of it. For programs, at
    /// their start, while they have one thread.
    public static func saveAddressSpace() {
        if az_address_space_limit() >= 0 { az_share_heap() }
    }

    /// - Parameters:
    ///   - root: a folder that holds `proc` and `sys`, "" for the system's.
    ///   - addressSpace, data: the process's limits, −1 for none; nil for those that it has.
    static func room(root: String, addressSpace: Int? = nil, data: Int? = nil) -> Room {
        let memory = fields(of: "\(root)/proc/meminfo")
        let swap = memory["SwapFree"] ?? 0
        var rooms: [Room] = []
        // MemAvailable is younger than some systems.
        if let free = memory["MemAvailable"] ?? memory["MemTotal"] {
            rooms.append(Room(bytes: free.plusClamped(swap), reason: "the memory that is available"))
        }
        rooms += ControlGroups(root: root).values(of: "memory", current: current, legacy: legacy)
            .map { Room(bytes: $0.plusClamped(swap), reason: "what the process's control group leaves it") }
        if let used = used(root: root) {
            for (limit, used, name) in [
                (addressSpace ?? Int(az_address_space_limit()), used.space, "address space (ulimit -v)"),
                (data ?? Int(az_data_limit()), used.data, "data (ulimit -d)"),
            ] where limit >= 0 {
                rooms.append(Room(bytes: max(0, limit - used), reason: "what the process's limit of \(name) leaves"))
            }
        }
        return rooms.min { $0.bytes < $1.bytes } ?? Room(bytes: .max, reason: "without a limit that is known")
    }

    /// The numbers of a file of lines such as "MemAvailable: 1024 kB", in bytes.
    private static func fields(of path: String) -> [String: Int] {
        var fields: [String: Int] = [:]
        for line in ControlGroups.read(path)?.split(whereSeparator: \.isNewline) ?? [] {
            let parts = line.split(whereSeparator: { $0 == ":" || $0.isWhitespace })
            if parts.count == 3, parts[2] == "kB", let number = Int(parts[1]) {
                fields[String(parts[0])] = number.timesClamped(1024)
            }
        }
        return fields
    }

    /// Bytes that the process has mapped, and of these what it may write.
    private static func used(root: String) -> (space: Int, data: Int)? {
        let pages = ControlGroups.read("\(root)/proc/self/statm")?.split(whereSeparator: \.isWhitespace).map { Int($0) }
        guard let pages, pages.count >= 6, let space = pages[0], let data = pages[5] else { return nil }
        let size = Int(sysconf(Int32(_SC_PAGESIZE)))
        return (space.timesClamped(size), data.timesClamped(size))
    }

    /// Version 2: memory.max ("max" for none) without what is used beside the files that are cached.
    private static func current(_ folder: String) -> Int? {
        room(of: folder, limit: "memory.max", used: "memory.current", files: ["active_file", "inactive_file"])
    }

    /// Version 1.
    private static func legacy(_ folder: String) -> Int? {
        room(
            of: folder, limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes",
            files: ["total_active_file", "total_inactive_file"])
    }

    private static func room(of folder: String, limit: String, used: String, files: [String]) -> Int? {
        guard let limit = ControlGroups.number("\(folder)/\(limit)"), limit.isFinite, limit < 0x1p62,
            let used = ControlGroups.number("\(folder)/\(used)")
        else { return nil }
        let lines = ControlGroups.read("\(folder)/memory.stat")?.split(whereSeparator: \.isNewline) ?? []
        let cached = lines.reduce(0.0) { sum, line in
            let parts = line.split(separator: " ")
            guard parts.count == 2, files.contains(String(parts[0])) else { return sum }
            return sum + (Double(parts[1]) ?? 0)
        }
        return Int(min(max(0, limit - max(0, used - cached)), 0x1p62))
    }
}
