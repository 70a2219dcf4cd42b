import Foundation
import ModelZoo
import Testing

/// Train, killed at any moment, goes on from a whole checkpoint to the end it would have had.
@Suite struct KillTests {
    let workspace = try! Workspace()

    /// A Train that saves after every step, which takes most of its time.
    func start(_ arguments: [String]) throws -> Process {
        let process = workspace.process("Train", arguments)
        try workspace.write("", "out")
        process.standardOutput = FileHandle(forWritingAtPath: workspace.path("out"))
        process.standardError = process.standardOutput
        try process.run()
        return process
    }

    func arguments(_ out: String, steps: Int, saveEvery: Int) throws -> [String] {
        [
            "--model", "flash", "--config", try workspace.configuration(", \"attn_dropout\": 0.1"), "--data",
            try workspace.text(), "--sequence-length", "16", "--batch-size", "1", "--accumulate", "2", "--schedule",
            "constant", "--steps", "\(steps)", "--save-every", "\(saveEvery)", "--validate-every", "0",
            "--sample-every", "0", "--seed", "3", "--threads", "1", "--out", out,
        ]
    }

    /// The steps whose saves a Train has reported in full lines.
    func reportedSaves() throws -> [Int] {
        let lines = String(decoding: try workspace.read("out"), as: UTF8.self).split(separator: "\n")
        return lines.compactMap { line in
            line.hasPrefix("saved step ") ? Int(line.dropFirst(11).prefix { $0.isNumber }) : nil
        }
    }

    func newestStep(_ run: String) -> Int? { try? RunFolder(path: workspace.path(run)).savedSteps.last }

    func isSaving(_ run: String) -> Bool {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: workspace.path(run + "/checkpoints"))) ?? []
        return names.contains { $0.hasPrefix(".step-") }
    }

    @Test("A Train killed at any moment resumes from a whole checkpoint")
    func aTrainThatIsKilledAtAnyMomentGoesOn() throws {
        let begin = try arguments("killed", steps: 1_000_000, saveEvery: 1)
        var generator = SplitMix64(seed: 1)
        var (kills, torn, reported) = (0, 0, 0)
        // On a busy machine more are needed until a save has been torn and some steps reported.
        while kills < 30 || (torn == 0 || reported <= 5) && kills < 300 {
            let isRun = FileManager.default.fileExists(atPath: workspace.path("killed/config.json"))
            let before = newestStep("killed") ?? 0
            let process = try start(isRun ? ["--resume", "killed"] : begin)
            // The moment: any from the start on; for every third, one within a save after some steps.
            let delay = Double(generator.next(below: 1000)) / 1000 * 0.25
            Thread.sleep(forTimeInterval: delay)
            if kills % 3 == 0 {
                let patience = Date(timeIntervalSinceNow: 20)
                while !(isSaving("killed") && newestStep("killed") ?? 0 > before), Date() < patience {}
            }
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            // Nothing else ended it, such as a checkpoint that it could not go on from.
            let output = try String(decoding: workspace.read("out"), as: UTF8.self)
            #expect(
                process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGKILL, "\(output)")
            kills += 1
            torn += isSaving("killed") ? 1 : 0
            reported = max(reported, try reportedSaves().last ?? 0)
            #expect(newestStep("killed") ?? 0 >= max(before, reported))
        }
        #expect(torn > 0)
        #expect(reported > 5)

        let last = try #require(newestStep("killed")) + 3
        let end = try start(["--resume", "killed", "--steps", "\(last)"])
        end.waitUntilExit()
        #expect(end.terminationStatus == 0)
        let whole = try start(arguments("whole", steps: last, saveEvery: 0))
        whole.waitUntilExit()
        #expect(whole.terminationStatus == 0)
        for file in ["weights.safetensors", "checkpoints/step-\(last)/weights.safetensors"] {
            #expect(try workspace.read("whole/" + file) == workspace.read("killed/" + file), "\(file)")
        }
        let states = try ["whole", "killed"].map {
            try SafetensorsFile(path: workspace.path("\($0)/checkpoints/step-\(last)/state.safetensors"))
        }
        for name in states[0].names {
            #expect(try states[0].tensor(name).values == states[1].tensor(name).values, "\(name)")
        }
        let logs = try ["whole", "killed"].map { try MetricsLog.read(path: workspace.path("\($0)/metrics.jsonl")) }
        #expect(logs[1].map(\.step) == Array(1...last))
        #expect(logs[0].map(\.loss) == logs[1].map(\.loss))
        // Nothing is left of all the saves that were torn.
        let files = try FileManager.default.contentsOfDirectory(atPath: workspace.path("killed/checkpoints"))
        #expect(Set(files).subtracting(["step-\(last)", "step-\(last - 1)"]).count <= 1)
        #expect(!isSaving("killed"))
    }

    // MARK: Several at once

    @Test("A second Train in the folder is refused")
    func aSecondTrainInTheFolderIsRefused() throws {
        let first = try start(arguments("run", steps: 1_000_000, saveEvery: 0))
        while !FileManager.default.fileExists(atPath: workspace.path("run/config.json")) { usleep(1000) }
        let second = try workspace.run("Train", ["--resume", "run"])
        #expect(second.code != 0)
        #expect(
            second.error
                == "error: run: is being trained by process \(first.processIdentifier);"
                + " expected a run that nobody else trains\n")
        kill(first.processIdentifier, SIGKILL)
        first.waitUntilExit()
        #expect(try workspace.run("Train", ["--resume", "run", "--steps", "1"]).code == 0)
    }

    @Test("A second Train is refused where .lock was removed by hand, and the first goes on undisturbed")
    func aSecondTrainIsRefusedWithoutTheFileToo() throws {
        let first = try start(arguments("run", steps: 1_000_000, saveEvery: 1))
        while !FileManager.default.fileExists(atPath: workspace.path("run/config.json")) { usleep(1000) }
        for _ in 0..<3 {
            unlink(workspace.path("run/.lock"))
            let second = workspace.process("Train", ["--resume", "run", "--steps", "1000000"])
            let error = Pipe()
            (second.standardOutput, second.standardError) = (FileHandle(forWritingAtPath: "/dev/null"), error)
            try second.run()
            let text = String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            second.waitUntilExit()
            #expect(second.terminationStatus == 1)
            #expect(text.hasPrefix("error: run: is being trained by ") && text.split(separator: "\n").count == 1)
        }
        #expect(first.isRunning)
        // It is there again after a save.
        while !FileManager.default.fileExists(atPath: workspace.path("run/.lock")), first.isRunning { usleep(1000) }
        kill(first.processIdentifier, SIGTERM)
        first.waitUntilExit()
        #expect(first.terminationStatus == 143)
        let made = try #require(newestStep("run"))
        #expect(try MetricsLog.read(path: workspace.path("run/metrics.jsonl")).map(\.step) == Array(1...made))
    }

    @Test("Trains started at once get folders of their own")
    func trainsThatStartAtOnceGetFoldersOfTheirOwn() throws {
        let arguments = try Array(arguments("none", steps: 1, saveEvery: 0).dropLast(2))
        let processes = try (0..<4).map { _ in try start(arguments) }
        for process in processes {
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
        }
        for number in 1...4 {
            #expect(try RunFolder(path: workspace.path("runs/flash-\(number)")).savedSteps == [1])
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.path("runs")).count == 4)
    }

    // MARK: Disks that are full

    /// Runs Train in a shell that has done `limit` first.
    func train(_ limit: String, _ arguments: [String]) throws -> (code: Int32, error: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.currentDirectoryURL = URL(fileURLWithPath: workspace.folder)
        let train = Workspace.products.appendingPathComponent("Train").path
        process.arguments = ["-c", limit + "; exec \"$0\" \"$@\"", train] + arguments
        try workspace.write("", "err")
        process.standardOutput = FileHandle(forWritingAtPath: "/dev/null")
        process.standardError = FileHandle(forWritingAtPath: workspace.path("err"))
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        return (process.terminationStatus, String(decoding: try workspace.read("err"), as: UTF8.self))
    }

    @Test("A save on a full disk is one error, and the run can be resumed")
    func aSaveThatFindsNoRoomIsOneErrorAndTheRunGoesOn() throws {
        #expect(try workspace.run("Train", arguments("run", steps: 2, saveEvery: 1)).code == 0)
        let size = try workspace.read("run/checkpoints/step-2/state.safetensors").count
        // Files of at most that many KiB: room for the weights, not for the state.
        let limited = try train("ulimit -f \(size / 1024)", ["--resume", "run", "--steps", "6"])
        #expect(limited.code != 0)
        #expect(
            limited.error
                == "error: run/checkpoints/step-3/state.safetensors: cannot be written: File too large; step 2 is saved:"
                + " go on from it with --resume run when this is mended\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.path("run/checkpoints")) == ["step-2"])
        #expect(try workspace.run("Train", ["--resume", "run", "--steps", "6"]).code == 0)
        #expect(try workspace.run("Train", arguments("whole", steps: 6, saveEvery: 0)).code == 0)
        #expect(try workspace.read("whole/weights.safetensors") == workspace.read("run/weights.safetensors"))
    }

    @Test("Metrics on a full disk are one error, and the run can be resumed")
    func metricsThatFindNoRoomAreOneErrorAndTheRunGoesOn() throws {
        #expect(try workspace.run("Train", arguments("run", steps: 2, saveEvery: 1)).code == 0)
        let metrics = workspace.path("run/metrics.jsonl")
        // Room for config.json and some lines.
        let limited = try train("ulimit -f 2", ["--resume", "run", "--steps", "50", "--save-every", "0"])
        #expect(limited.code != 0)
        #expect(limited.error.hasPrefix("error: run/"))
        #expect(
            limited.error.contains("metrics.jsonl: cannot be written: File too large; step 2 is saved: "),
            "\(limited.error)")
        let read = try MetricsLog.read(path: metrics)
        #expect(read.count > 2 && read.map(\.step) == Array(1...read.count))
        #expect(try workspace.read("run/metrics.jsonl").last == 0x0A)  // no part of a line
        #expect(try workspace.run("Train", ["--resume", "run", "--steps", "9"]).code == 0)
        #expect(try MetricsLog.read(path: metrics).map(\.step) == Array(1...9))
    }

    @Test("A training that diverges exits with code 3")
    func aTrainingThatDivergesHasAnExitCodeOfItsOwn() throws {
        let outcome = try workspace.run(
            "Train", arguments("run", steps: 50, saveEvery: 1) + ["--learning-rate", "1e30", "--optimizer", "sgd"])
        #expect(outcome.code == 3)
        #expect(outcome.error.hasPrefix("error: step "), "\(outcome.error)")
        #expect(outcome.error.contains(" holds "))
        #expect(outcome.error.split(separator: "\n").count == 1)
    }
}
