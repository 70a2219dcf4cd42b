import ArgumentParser
import CommandSupport
import ModelZoo

@main
struct Report: Command {
    static let computes = false

    static let configuration = CommandConfiguration(
        abstract: "Draw training runs in one page of HTML.",
        usage: "Report --runs FOLDER ... [--out FILE]",
        discussion: """
            The page about one run is the one that Train writes. Of several runs it shows the curves in the same plots, by \
            steps, tokens and time, their results, and the keys in which their configurations differ.
            """)

    @Option(parsing: .upToNextOption, help: "The folders of training runs.")
    var runs: [String] = []

    @Option(help: "The page. (default: report.html in the folder of a single run, else runs-report.html here)")
    var out: String?

    func run() throws { try ReportCommand(runs: runs, out: out).run(print: { show($0) }, warn: showWarning) }
}
