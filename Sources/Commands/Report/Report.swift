import ArgumentParser
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
    public func run() throws { try ReportCommand(runs: runs, out: out).run(print: { show($0) }, warn: showWarning) }
}
