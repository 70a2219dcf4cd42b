import ArgumentParser
import Foundation
import ModelZoo

/// `Report`: draws training runs in one page of HTML.
public struct Report: Command {
    /// False: drawing multiplies no matrices.
    public static let computes = false

    /// The name, usage and help of the command.
    public static let configuration = CommandConfiguration(
        abstract: "Draw training runs in one page of HTML.",
        usage: "Report --runs FOLDER ... [--out FILE]",
        discussion: """
            The page about one run is the one that Train writes. Of several runs it shows the curves in the same plots, by \
            steps, tokens and time, their results, and the keys in which their configurations differ.
            """)

    /// Creates the command without values, as the parser needs.
    public init() {}

    @Option(parsing: .upToNextOption, help: "The folders of training runs.")
    var runs: [String] = []

    @Option(help: "The page. (default: report.html in the folder of a single run, else runs-report.html here)")
    var out: String?

    /// Runs the command; throws an error of one line, or `ExitCode`.
    public func run() throws { try write(print: { show($0) }, warn: showWarning) }
}

// MARK: Without a terminal

extension Report {
    /// - Parameters:
    ///   - print: is given the path of the page.
    ///   - warn: is given a line about the lines of logs that cannot be read, which are left out.
    /// - Throws: `InputError` in one line.
    func write(print: (String) -> Void, warn: @escaping (String) -> Void = { _ in }) throws {
        guard !runs.isEmpty else { throw InputError("--runs is missing; expected folders of training runs") }
        var records = try runs.map { path in
            let folder = try RunFolder(path: path)
            folder.finishSave(recording: { try RunReport($0).write() })
            return try RunRecord(folder, warn: warn)
        }
        if records.count == 1 {
            let path = try out ?? RunFolder(path: runs[0]).reportPath
            try RunReport(records[0]).write(to: path)
            return print(path)
        }
        for (index, name) in Self.names(runs).enumerated() { records[index].name = name }
        let path = out ?? "runs-report.html"
        try RunsReport(records).write(to: path)
        print(path)
    }

    /// Names for folders: the last parts of their paths, as many as tell them apart; a number where nothing else does.
    static func names(_ folders: [String]) -> [String] {
        let parts = folders.map { folder in
            let given = folder.split(separator: "/").map(String.init).filter { $0 != "." }
            return given.isEmpty ? [URL(fileURLWithPath: folder).standardizedFileURL.lastPathComponent] : given
        }
        let most = parts.map(\.count).max() ?? 0
        func names(_ count: Int) -> [String] { parts.map { $0.suffix(count).joined(separator: "/") } }
        let found = (1...max(most, 1)).lazy.map(names).first { Set($0).count == folders.count }
        return found ?? names(1).enumerated().map { "\($1) (\($0 + 1))" }
    }
}
