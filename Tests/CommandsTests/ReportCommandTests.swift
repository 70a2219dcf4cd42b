import Foundation
import Testing

@testable import AttentionZooCommands

@Suite struct ReportCommandTests {
    let workspace = try! Workspace()

    private func report(_ runs: [String], out: String? = nil) throws -> [String] {
        var lines: [String] = []
        try Report(runs: runs, out: out).write { lines.append($0) }
        return lines
    }

    @Test("A report of one run is its page, of several a comparison")
    func oneRunAndSeveral() throws {
        for run in ["a/flash", "b/flash"] { try workspace.tinyTraining(run).lines() }
        let runs = ["a/flash", "b/flash"].map { workspace.path($0) }
        // A single run: its own page again.
        let page = try workspace.read("a/flash/report.html")
        try FileManager.default.removeItem(atPath: runs[0] + "/report.html")
        #expect(try report([runs[0]]) == [runs[0] + "/report.html"])
        #expect(try workspace.read("a/flash/report.html") == page)
        #expect(try report([runs[0]], out: workspace.path("one.html")) == [workspace.path("one.html")])
        #expect(try workspace.read("one.html") == page)
        // Several: named by as much of their paths as tells them apart.
        #expect(try report(runs, out: workspace.path("two.html")) == [workspace.path("two.html")])
        let both = String(decoding: try workspace.read("two.html"), as: UTF8.self)
        for text in ["2 runs", ">a/flash<", ">b/flash<"] { #expect(both.contains(text), "\(text)") }
    }

    @Test(
        "Runs are named by as much of their paths as tells them apart",
        arguments: [
            (["runs/a", "runs/b/"], ["a", "b"]), (["x/run", "y/run", "z"], ["x/run", "y/run", "z"]),
            (["/p/q", "/p/q"], ["q (1)", "q (2)"]), (["/x/a/run", "/y/a/run"], ["x/a/run", "y/a/run"]),
        ])
    func names(folders: [String], names: [String]) {
        #expect(Report.names(folders) == names)
    }

    @Test("Missing runs and unwritable files are named")
    func badInput() throws {
        expectError("--runs is missing; expected folders of training runs") { try report([]) }
        let none = workspace.path("none")
        expectError("\(none): is no run folder: expected it to hold config.json") { try report([none]) }
        try workspace.tinyTraining("run").lines()
        let run = workspace.path("run")
        expectError("\(none)/page.html: cannot be written: No such file or directory") {
            try report([run], out: none + "/page.html")
        }
    }

    @Test("Lines of logs that cannot be read are left out and named")
    func brokenLogs() throws {
        try workspace.tinyTraining("run").lines()
        let run = workspace.path("run")
        let metrics = String(decoding: try workspace.read("run/metrics.jsonl"), as: UTF8.self)
        try workspace.write("{\"step\":3}\n" + metrics, "run/metrics.jsonl")
        try workspace.write("[]\n", "run/samples.jsonl")
        var (paths, warnings): ([String], [String]) = ([], [])
        try Report(runs: [run]).write(print: { paths.append($0) }, warn: { warnings.append($0) })
        #expect(paths == [run + "/report.html"])
        #expect(
            warnings == [
                "\(run)/metrics.jsonl, line 1: \"tokens\" is missing; expected a whole number; left out",
                "\(run)/samples.jsonl, line 1: expected a JSON object such as {\"dim\": 512}, found the list []; left out",
            ])
        #expect(String(decoding: try workspace.read("run/report.html"), as: UTF8.self).contains("step 2 of 2"))
        // A report changes no log.
        #expect(String(decoding: try workspace.read("run/metrics.jsonl"), as: UTF8.self).hasSuffix(metrics))
    }
}

extension ExecutableTests {
    @Test("The executable reports two runs")
    func reportOfTwoRuns() throws {
        for run in ["x", "y"] { try workspace.tinyTraining(run).lines() }
        let outcome = try run("Report", "--runs", "x", "y")
        #expect(outcome.code == 0 && outcome.error == "" && outcome.output == "runs-report.html\n")
        #expect(String(decoding: try workspace.read("runs-report.html"), as: UTF8.self).contains("2 runs"))
        let failure = try run("Report", "--runs", "x", "none")
        #expect(failure.code == 1)
        #expect(failure.error == "error: none: is no run folder: expected it to hold config.json\n")
    }
}
