import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

@Suite("Output of Train to a terminal, a pipe, and programs") struct TerminalTests {
    let workspace = try! Workspace()

    private static let erase = "\r\u{1B}[K"

    /// All that a training of a few steps writes to a terminal.
    private func terminalOutput(
        columns: Int = 80, _ environment: [String: String?] = ["TERM": "xterm", "NO_COLOR": nil]
    ) throws -> String {
        let terminal = try PseudoTerminal(columns: columns)
        let arguments = try workspace.tinyArguments(steps: 3) + ["--validate-every", "2"]
        let process = workspace.process("Train", arguments, environment: environment)
        try terminal.run(process)
        let text = terminal.read()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return text
    }

    private func withoutColors(_ text: String) -> String { text.replacing(#/\u{1B}\[[0-9;]*m/#, with: "") }

    /// Returns the cursor's line as it was each time it was overwritten.
    private func progressLines(_ text: String) -> [String] {
        withoutColors(text).components(separatedBy: Self.erase).dropLast()
            .map { $0.components(separatedBy: "\r\n").last! }
    }

    @Test("A terminal shows a progress line that fits its width", arguments: [6, 30, 40, 80, 200])
    func aTerminalGetsALineThatFits(columns: Int) throws {
        let text = try terminalOutput(columns: columns)
        let lines = progressLines(text)
        #expect(lines.count >= 4)
        for line in lines {
            #expect(line.hasPrefix("step "))
            #expect(line.count < columns)
        }
        let last = try #require(lines.last)
        #expect(last.contains("step 3/3") == (columns >= 30))
        #expect(last.contains(" bits/byte") == (columns >= 30))
        #expect(last.contains(" tokens/s") == (columns >= 80))
        #expect(last.contains("0 s left") == (columns >= 40))
        // In the end the line is gone, the colors are off, and the cursor is in a line of its own.
        #expect(text.hasSuffix("\r\n"))
        let end = withoutColors(text).components(separatedBy: Self.erase).last!
        #expect(end.hasPrefix("finished after 3 steps"))
        #expect(!text.components(separatedBy: "\u{1B}[0m").last!.contains(#/\u{1B}\[[0-9]+m/#))
    }

    @Test("Events are printed above the progress line")
    func eventsStandAboveTheLine() throws {
        let lines = withoutColors(try terminalOutput()).components(separatedBy: "\r\n")
            .map { $0.components(separatedBy: Self.erase).last! }
        #expect(lines[0].contains(" parameters, "))
        let others = lines.dropFirst().filter { !$0.hasPrefix("saved step ") }
        #expect(others.map { $0.prefix(8) } == ["step 2/3", "step 3/3", "finished", ""])
        #expect(lines.contains("saved step 3 in run"))
        #expect(lines[1].contains("  validation "))
    }

    @Test("NO_COLOR turns colors off")
    func colorsAreLeftOutWhereTheyAreNotWanted() throws {
        let colored = try terminalOutput()
        #expect(colored.contains("\u{1B}[36m") && colored.contains("\u{1B}[1m"))
        for value in ["", "1"] {
            let other = try Workspace()
            let text = try Self(workspace: other).terminalOutput(["TERM": "xterm", "NO_COLOR": value])
            // Empty means not set: no-color.org.
            #expect((withoutColors(text) != text) == value.isEmpty)
            #expect(text.contains(Self.erase))
        }
    }

    @Test("A dumb terminal gets plain lines", arguments: ["dumb", nil])
    func aTerminalThatCanOnlyWriteOnGetsPlainLines(term: String?) throws {
        let text = try terminalOutput(["TERM": term, "NO_COLOR": nil])
        #expect(!text.contains("\u{1B}"))
        #expect(!text.replacing("\r\n", with: "").contains("\r"))
        #expect(text.contains("\r\nstep 3/3  loss "))
    }

    @Test("An error begins a new line")
    func anErrorBeginsALine() throws {
        let terminal = try PseudoTerminal()
        let process = workspace.process(
            "Train", try workspace.tinyArguments() + ["--save-every", "0", "--validate-every", "0"],
            environment: ["TERM": "xterm", "NO_COLOR": "1"])
        try terminal.run(process)
        terminal.read(until: "bits/byte")
        try FileManager.default.removeItem(atPath: workspace.path("run"))
        try Data().write(to: URL(fileURLWithPath: workspace.path("run")))
        process.terminate()
        let text = terminal.read()
        process.waitUntilExit()
        #expect(process.terminationStatus == 1)
        let lines = text.components(separatedBy: "\r\n")
        #expect(lines.count { $0.hasPrefix("error: ") } == 1)
        #expect(lines.count { $0.contains("error: ") } == 1)
        #expect(lines.last == "")
    }

    // MARK: Elsewhere

    @Test("A pipe gets plain lines")
    func aPipeGetsPlainLines() throws {
        let outcome = try workspace.run("Train", workspace.tinyArguments(steps: 3) + ["--sample-every", "2"])
        #expect(outcome.code == 0)
        #expect(!outcome.output.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
        let lines = outcome.output.split(separator: "\n")
        #expect(lines[1].hasPrefix("step 1/3  loss "))
        #expect(lines.contains { $0.hasPrefix("step 3/3  loss ") && $0.contains("  validation ") })
        #expect(lines.last!.hasPrefix("finished after 3 steps"))
    }

    @Test("The JSON output has one line for every event")
    func programsGetALineOfJSONForEveryEvent() throws {
        let outcome = try workspace.run("Train", workspace.tinyArguments(steps: 3) + ["--sample-every", "2", "--json"])
        #expect(outcome.code == 0)
        #expect(outcome.error == "")
        let lines = try outcome.output.split(separator: "\n").map {
            #expect($0.hasPrefix("{\"event\":"))
            return try #require(JSONValue(parsing: $0.utf8, file: "line").objectValue)
        }
        #expect(
            lines.map { $0["event"]!.stringValue }
                == ["started", "step", "step", "sample", "step", "saved", "finished"])
        #expect(
            Set(lines[0].keys) == [
                "event", "parameters", "training_tokens", "validation_tokens", "tokens_per_step", "total_steps",
                "total_seconds", "steps_made", "folder", "floor", "window_floor",
            ])
        #expect(lines[0]["total_steps"] == .integer(3) && lines[0]["total_seconds"] == .null)
        let log = try workspace.read("run/metrics.jsonl").split(separator: 0x0A).map {
            try #require(JSONValue(parsing: $0, file: "log").objectValue)
        }
        let steps = lines.filter { $0["event"] == .string("step") }
        #expect(steps.map { $0.filter { $0.key != "event" } } == log)
        #expect(lines[3].keys.sorted() == ["event", "prompt", "step", "text"])
        #expect(lines[5] == ["event": .string("saved"), "step": .integer(3), "folder": .string("run")])
        #expect(lines[6].keys.sorted() == ["event", "seconds", "step"])
    }

    @Test("Quiet prints nothing but errors")
    func quietIsQuiet() throws {
        let outcome = try workspace.run(
            "Train", workspace.tinyArguments(steps: 3) + ["--sample-every", "2", "--quiet"])
        #expect(outcome.code == 0)
        #expect(outcome.output + outcome.error == "")
        #expect(try MetricsLog.read(path: workspace.path("run/metrics.jsonl")).count == 3)
        let refused = try workspace.run("Train", workspace.tinyArguments("other") + ["--quiet", "--json"])
        #expect(refused.code == 1)
        #expect(refused.error == "error: --quiet: cannot be combined with --json; expected one of the two\n")
        let failed = try workspace.run("Train", workspace.tinyArguments() + ["--quiet"])
        #expect(failed.code == 1)
        #expect(failed.output == "")
        #expect(failed.error.hasPrefix("error: run: holds a run already"))
    }

    // MARK: Names

    @Test("Words are quoted for a shell")
    func wordsAreQuotedForAShell() {
        #expect("runs/flash-1".shellQuoted == "runs/flash-1")
        #expect("my run's".shellQuoted == "'my run'\\''s'")
        #expect("".shellQuoted == "''")
        #expect("$x".shellQuoted == "'$x'")
        #expect("~".shellQuoted == "'~'")
        #expect("füße".shellQuoted == "'füße'")
    }

    @Test("A program is named by a path that finds it again")
    func aProgramIsNamedAsItIsFoundAgain() {
        #expect(invocation("Train", from: "/zoo") == "Train")
        #expect(invocation("./Train", from: "/zoo") == "./Train")
        #expect(invocation("/zoo/.build/release/Train", from: "/zoo") == ".build/release/Train")
        #expect(invocation("/zoo/Train", from: "/zoo") == "./Train")
        #expect(invocation("/zoological/Train", from: "/zoo") == "/zoological/Train")
        #expect(invocation("/bin/Train", from: "/") == "bin/Train")
    }

    @Test("The width comes from the environment if the system does not know it")
    func widthComesFromTheEnvironmentWhereTheSystemDoesNotKnow() throws {
        let file = open("/dev/null", O_WRONLY)
        defer { close(file) }
        #expect(Terminal(descriptor: file, environment: ["COLUMNS": "33", "TERM": "xterm"]).width == 33)
        #expect(Terminal(descriptor: file, environment: ["COLUMNS": "0"]).width == 80)
        #expect(Terminal(descriptor: file, environment: ["COLUMNS": "wide"]).width == 80)
        #expect(!Terminal(descriptor: file, environment: ["TERM": "xterm"]).isInteractive)
        #expect(!Terminal(descriptor: file, environment: ["TERM": "xterm"]).hasColor)
    }
}

extension TerminalTests {
    fileprivate init(workspace: Workspace) { self.init() }
}
