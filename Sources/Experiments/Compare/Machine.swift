import Foundation
import ModelZoo

/// The machine that numbers were measured on.
package struct Machine: Codable, Sendable, Equatable {
    /// The processor's name.
    package var processor: String
    /// Such as Debian GNU/Linux 12 (bookworm).
    package var system: String
    /// Used by the package.
    package var threads: Int
    /// Whose kernels OpenBLAS multiplies with, such as Haswell.
    package var blas: String
    /// The day of the first cell, as in 2026-11-22.
    package var date: String

    /// A machine by what is said of it.
    package init(processor: String, system: String, threads: Int, blas: String, date: String) {
        (self.processor, self.system, self.threads, self.blas) = (processor, system, threads, blas)
        self.date = date
    }

    /// This one, today.
    package static var current: Machine {
        Machine(
            processor: Processor.name, system: systemName, threads: Threads.count, blas: BLAS.kernels,
            date: Date.now.formatted(.iso8601.year().month().day()))
    }

    /// Tells whether numbers of both may share a table.
    func isSame(as other: Machine) -> Bool {
        (processor, threads, blas) == (other.processor, other.threads, other.blas)
    }

    /// For people, in a line.
    package var description: String {
        "\(processor), \(threads) thread\(threads == 1 ? "" : "s"), OpenBLAS kernels for \(blas), \(system)"
    }

    private static var systemName: String {
        value("PRETTY_NAME", in: "/etc/os-release", separator: "=")
            ?? ProcessInfo.processInfo.operatingSystemVersionString
    }

    /// Returns the value behind a name, in the first line that begins with it.
    private static func value(_ name: String, in file: String, separator: Character) -> String? {
        guard let text = try? String(contentsOfFile: file, encoding: .utf8),
            let line = text.split(whereSeparator: \.isNewline).first(where: { $0.hasPrefix(name) }),
            let place = line.firstIndex(of: separator)
        else { return nil }
        return line[line.index(after: place)...].trimmingCharacters(in: .whitespaces.union(["\""]))
    }
}
