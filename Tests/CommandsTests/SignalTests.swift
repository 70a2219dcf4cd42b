import Foundation
import ModelZoo
import Testing

/// Real processes that are told to stop. Tests wait for output, never for a time to pass.
@Suite struct SignalTests {
    let workspace = try! Workspace()

    /// Starts an endless training, sends a signal after the first step, and waits for its end.
    private func interrupted(
        by signal: Int32, _ arguments: [String], after line: String = "step 1/"
    ) throws -> Outcome {
        let process = workspace.process("Train", arguments)
        let (output, error) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, error)
        try process.run()
        var text = Data()
        while text.range(of: Data(line.utf8)) == nil { text += output.fileHandleForReading.availableData }
        kill(process.processIdentifier, signal)
        text += output.fileHandleForReading.readDataToEndOfFile()
        let errors = error.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return workspace.outcome(of: process, output: text, error: errors)
    }

    @Test(
        "A signal saves the run and prints the command that resumes it",
        arguments: zip([SIGINT, SIGTERM, SIGHUP], [130, 143, 129] as [Int32]))
    func aSignalSavesAndSaysHowToGoOn(signal: Int32, code: Int32) throws {
        let folder = "my run's"
        let outcome = try interrupted(by: signal, workspace.tinyArguments(folder))
        #expect(outcome.reason == .exit)
        #expect(outcome.code == code)
        #expect(outcome.error == "")
        let lines = outcome.output.split(separator: "\n")
        let made = try #require(
            MetricsLog.read(path: workspace.path(folder + "/metrics.jsonl")).last?.step)
        #expect(lines.contains("saved step \(made) in \(folder)"))
        #expect(lines.dropLast().last!.hasPrefix("stopped after \(made) step"))
        let command = try #require(lines.last).dropFirst("go on with: ".count)
        #expect(command == "\(Workspace.products.path)/Train --resume 'my run'\\''s'")

        // What is printed works when it is pasted (with an end that a test can wait for).
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = ["-c", "\(command) --quiet --steps \(made + 2)"]
        shell.currentDirectoryURL = URL(fileURLWithPath: workspace.folder)
        try shell.run()
        shell.waitUntilExit()
        #expect(shell.terminationStatus == 0)
        let steps = try MetricsLog.read(path: workspace.path(folder + "/metrics.jsonl")).map(\.step)
        #expect(steps == Array(1...made + 2))
    }

    @Test("The JSON output reports the interruption")
    func programsAreToldOfTheStop() throws {
        let outcome = try interrupted(by: SIGTERM, workspace.tinyArguments() + ["--json"], after: "\"step\":1,")
        let last = try outcome.output.split(separator: "\n").suffix(2).map {
            try #require(JSONValue(parsing: $0.utf8, file: "line").objectValue)
        }
        #expect(last.map { $0["event"] } == [.string("saved"), .string("interrupted")])
        #expect(last[0]["step"] == last[1]["step"])
        #expect(last[1]["folder"] == .string("run"))
    }

    @Test("A second Ctrl-C ends the process in the middle of a step")
    func aSecondCtrlCEndsTheProcessInTheMiddleOfAStep() throws {
        // A step of a hundred thousand batches, which a test would notice to be waited for.
        let process = workspace.process(
            "Train", try workspace.tinyArguments() + ["--accumulate", "100000"],
            environment: ["TERM": "xterm", "NO_COLOR": "1"])
        let terminal = try PseudoTerminal()
        try terminal.run(process)
        terminal.read(until: "step 0/")
        // SIGTERM and SIGHUP do not count as a second wish.
        kill(process.processIdentifier, SIGTERM)
        terminal.read(until: "Another Ctrl-C stops at once.\r\n")
        kill(process.processIdentifier, SIGHUP)
        kill(process.processIdentifier, SIGINT)
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal)
        #expect(process.terminationStatus == SIGINT)
        #expect(!terminal.read().contains("stopped after"))
        // What was saved before is whole.
        let weights = try SafetensorsFile(path: workspace.path("run/weights.safetensors"))
        #expect(weights.metadata["step"] == "0")
    }

    /// As under `nohup`.
    @Test("An ignored hangup stays ignored")
    func aHangupThatIsIgnoredStaysSo() throws {
        let process = workspace.process("Train", [])
        let train = process.executableURL!.path
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments =
            ["-c", "trap '' HUP; exec \"$0\" \"$@\"", train] + (try workspace.tinyArguments()) + ["--json"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let reader = output.fileHandleForReading
        _ = reader.availableData
        kill(process.processIdentifier, SIGHUP)
        // Hundreds of steps later it has surely come.
        _ = try reader.read(upToCount: 100_000)
        kill(process.processIdentifier, SIGTERM)
        _ = reader.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 143)
    }

    @Test("A signal before the first step ends the process at once")
    func beforeTheFirstStepThereIsNothingToWaitFor() throws {
        // Nobody ever writes to this text.
        #expect(mkfifo(workspace.path("fifo"), 0o600) == 0)
        var arguments = try workspace.tinyArguments()
        arguments[arguments.firstIndex(of: "--data")! + 1] = "fifo"
        let process = workspace.process("Train", arguments)
        try process.run()
        process.interrupt()
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal)
        #expect(!FileManager.default.fileExists(atPath: workspace.path("run")))
    }

    @Test("A closed output pipe ends the training after a save")
    func aReaderThatGoesEndsTheTrainingAfterASave() throws {
        let process = workspace.process("Train", try workspace.tinyArguments() + ["--json"])
        let (output, error) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, error)
        try process.run()
        _ = output.fileHandleForReading.availableData
        try output.fileHandleForReading.close()
        let errors = error.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 141)
        #expect(errors.isEmpty)
        let made = try MetricsLog.read(path: workspace.path("run/metrics.jsonl")).last?.step ?? 0
        let resumed = try workspace.run("Train", ["--resume", "run", "--steps", "\(made + 1)"])
        #expect(resumed.output.contains("resumed after step \(made),"))
        #expect(resumed.code == 0)
    }

    @Test(
        "Output that cannot be written is an error",
        .enabled(if: FileManager.default.fileExists(atPath: "/dev/full")))
    func outputThatCannotBeWrittenIsAnErrorAfterASave() throws {
        let process = workspace.process("Train", try workspace.tinyArguments())
        let error = Pipe()
        (process.standardOutput, process.standardError) = (FileHandle(forWritingAtPath: "/dev/full"), error)
        try process.run()
        let errors = error.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 1)
        #expect(
            String(decoding: errors, as: UTF8.self)
                == "error: standard output: cannot be written: No space left on device\n")
    }
}
