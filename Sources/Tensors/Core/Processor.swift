import Foundation

/// The processor this program runs on.
public enum Processor {
    /// Its name as the system has it, such as Intel(R) Xeon(R) Processor.
    public static let name: String = {
        #if os(Linux)
            let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(
                whereSeparator: \.isNewline)
            func value(_ key: String) -> String? {
                lines?.first { $0.hasPrefix(key) }?.split(separator: ":").last.map {
                    $0.trimmingCharacters(in: .whitespaces)
                }
            }
            return value("model name") ?? "unknown processor"
        #else
            var size = 0
            sysctlbyname("machdep.cpu.brand_string", nil, &size, nil, 0)
            var bytes = [CChar](repeating: 0, count: max(size, 1))
            sysctlbyname("machdep.cpu.brand_string", &bytes, &size, nil, 0)
            return String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        #endif
    }()
}
