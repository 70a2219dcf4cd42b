import Foundation
import ModelZoo
import Testing

/// Texts, descriptors and outputs of real processes.
@Suite struct TextCommandTests {
    let workspace = try! Workspace()

    /// Reads what a process writes until a text has come.
    /// - Throws: when the process ends before.
    private func wait(for text: String, from output: Pipe) throws {
        var read = Data()
        while read.range(of: Data(text.utf8)) == nil {
            let piece = output.fileHandleForReading.availableData
            try #require(!piece.isEmpty, "the process ended before \(text)")
            read += piece
        }
    }

    @Test(
        "Descriptors that a shell has closed are not given to files of the run",
        arguments: ["<&- >&-", ">&-", "<&- >&- 2>&-", "2>&-", "<&-"])
    func closedDescriptors(redirections: String) throws {
        var arguments = try workspace.tinyArguments(steps: 3)
        arguments += ["--sample-every", "2", "--save-every", "1"]
        let outcome = try workspace.shell("\"$0\" \"$@\" \(redirections)", "Train", arguments)
        #expect(outcome.code == 0 && outcome.reason == .exit)
        #expect(try MetricsLog.read(path: workspace.path("run/metrics.jsonl")).map(\.step) == [1, 2, 3])
        #expect(try SamplesLog.read(path: workspace.path("run/samples.jsonl")).map(\.step) == [2])
        let resumed = try workspace.shell(
            "\"$0\" \"$@\" \(redirections)", "Train", ["--resume", "run", "--steps", "4"])
        #expect(resumed.code == 0)
        #expect(try workspace.shell("\"$0\" \"$@\" \(redirections)", "Report", ["--runs", "run"]).code == 0)
        #expect(try workspace.shell("\"$0\" \"$@\" \(redirections)", "Evaluate", ["--run", "run"]).code == 0)
        #expect(try MetricsLog.read(path: workspace.path("run/metrics.jsonl")).map(\.step) == [1, 2, 3, 4])
    }

    @Test(
        "A text that is given as a descriptor is kept by its name",
        arguments: [
            "--data /dev/stdin < text.txt", "--data /dev/fd/0 < text.txt", "--data /proc/self/fd/7 7< text.txt",
        ])
    func descriptorsAsTexts(option: String) throws {
        var arguments = try workspace.tinyArguments(steps: 2)
        let place = try #require(arguments.firstIndex(of: "--data"))
        arguments.removeSubrange(place...place + 1)
        let outcome = try workspace.shell("\"$0\" \"$@\" \(option)", "Train", arguments)
        #expect(outcome.code == 0 && outcome.error == "")
        let data = try RunFolder(path: workspace.path("run")).configuration().origin.data
        #expect(data.count == 1 && data[0].hasSuffix("/text.txt") && !data[0].hasPrefix("/proc"))
        #expect(try workspace.shell("\"$0\" \"$@\"", "Train", ["--resume", "run", "--steps", "3"]).code == 0)
    }

    @Test("A text without a name that can be found again is refused")
    func removedText() throws {
        var arguments = try workspace.tinyArguments(steps: 2)
        arguments[arguments.firstIndex(of: "--data")! + 1] = "/dev/stdin"
        let outcome = try workspace.shell("exec < text.txt; rm text.txt; exec \"$0\" \"$@\"", "Train", arguments)
        #expect(outcome.code == 1)
        #expect(
            outcome.error
                == "error: --data /dev/stdin: has no name to find it again by; expected a file that has one\n")
        #expect(!FileManager.default.fileExists(atPath: workspace.path("run")))
        let pipe = try workspace.shell("cat run.txt | \"$0\" \"$@\"", "Train", arguments)
        #expect(pipe.code == 1 && pipe.error.hasSuffix("error: /dev/stdin: is not a regular file\n"))
    }

    @Test(
        "A text that is changed while a process trains on it ends the training with an error, and its save stays",
        arguments: [
            ("truncate -s 0", "was shortened from"), ("truncate -s 20", "was shortened from"), ("touch", "was changed"),
        ])
    func changedTexts(change: String, problem: String) throws {
        let arguments = try workspace.tinyArguments() + ["--save-every", "1", "--validate-every", "0", "--json"]
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: workspace.path("text.txt"))
        let text = try workspace.read("text.txt")
        let process = workspace.process("Train", arguments)
        let (output, error) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, error)
        try process.run()
        try wait(for: "{\"event\":\"saved\",\"step\":2,", from: output)
        let changing = Process()
        changing.executableURL = URL(fileURLWithPath: "/bin/sh")
        changing.arguments = ["-c", "\(change) \"$0\"", workspace.path("text.txt")]
        try changing.run()
        _ = output.fileHandleForReading.readDataToEndOfFile()
        let message = String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        changing.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 1)
        #expect(message.hasPrefix("error: \(workspace.path("text.txt")): \(problem)"), "\(message)")
        #expect(message.split(separator: "\n").count == 1)
        // With the text as it was, the run goes on.
        try text.write(to: URL(fileURLWithPath: workspace.path("text.txt")))
        let saved = try #require(RunFolder(path: workspace.path("run")).savedSteps.last)
        let resumed = try workspace.run("Train", ["--resume", "run", "--steps", "\(saved + 1)"])
        #expect(resumed.code == 0, "\(resumed.error)")
    }

    @Test("A training on a text that grows goes on")
    func growingText() throws {
        let process = workspace.process("Train", try workspace.tinyArguments() + ["--validate-every", "0", "--json"])
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        try wait(for: "{\"event\":\"step\",\"step\":1,", from: output)
        let file = try #require(FileHandle(forWritingAtPath: workspace.path("text.txt")))
        try file.seekToEnd()
        for _ in 0..<3 { try file.write(contentsOf: Data("another line.\n".utf8)) }
        try file.close()
        // A pipe holds a few hundred lines: most of these steps are made later.
        try wait(for: "{\"event\":\"step\",\"step\":2000,", from: output)
        process.terminate()
        _ = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 143)
    }

    @Test("A file that was hardly meant as a text is noticed in one line of warning, once")
    func oddTexts() throws {
        _ = try workspace.text()
        let text = try Array(workspace.read("text.txt"))
        let arguments = try workspace.tinyArguments(steps: 1).map { $0.hasSuffix("/text.txt") ? "utf16.txt" : $0 }
        try Data([0xFF, 0xFE] + text.flatMap { [$0, 0] }).write(to: URL(fileURLWithPath: workspace.path("utf16.txt")))
        let warning =
            "warning: utf16.txt: looks like UTF-16, of which every other byte says little; convert it: iconv -f UTF-16"
            + " -t UTF-8\n"
        let train = try workspace.run("Train", arguments)
        #expect(train.code == 0 && train.error == warning)
        let evaluate = try workspace.run("Evaluate", ["--run", "run", "--data", "utf16.txt"])
        #expect(evaluate.code == 0 && evaluate.error == warning)
        let quiet = try workspace.run("Train", arguments.map { $0 == "run" ? "other" : $0 } + ["--quiet"])
        #expect(quiet.code == 0 && quiet.error == "")
    }
}
