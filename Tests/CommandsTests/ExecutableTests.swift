import Foundation
import ModelZoo
import Testing

/// The executables themselves: exit codes and what stands on standard output and standard error.
@Suite struct ExecutableTests {
    let workspace = try! Workspace()

    func run(_ command: String, _ arguments: String..., input: String = "") throws -> Outcome {
        try run(command, arguments, input: input)
    }

    func run(_ command: String, _ arguments: [String], input: String = "") throws -> Outcome {
        let outcome = try workspace.run(command, arguments, input: input)
        #expect(outcome.reason == .exit)
        return outcome
    }

    @Test("Bench prints one JSON object")
    func benchPrintsOneObject() throws {
        func members(_ arguments: [String]) throws -> [String: JSONValue] {
            let outcome = try run(
                "Bench", arguments + ["--model", "flash", "--preset", "tiny", "--threads", "1", "--json"])
            #expect(outcome.code == 0)
            #expect(outcome.error == "")
            return try #require(JSONValue(parsing: outcome.output.utf8, file: "output").objectValue)
        }
        let train = try members(["train", "--steps", "1", "--sequence-length", "40", "--batch-size", "3"])
        #expect(
            Set(train.keys) == [
                "model", "preset", "parameters", "batch", "sequence", "steps", "step_seconds", "forward_seconds",
                "tokens_per_second", "peak_memory_mb", "blas_gflops", "threads", "kernels",
            ])
        #expect(train["batch"] == .integer(3) && train["sequence"] == .integer(40) && train["threads"] == .integer(1))
        let (step, forward) = (try #require(train["step_seconds"]?.doubleValue), train["forward_seconds"]?.doubleValue)
        #expect(step > 0 && forward! > 0 && forward! < step)
        let rate = try #require(train["tokens_per_second"]?.doubleValue)
        #expect(abs(rate * step / 120 - 1) < 1e-9)
        let generate = try members(["generate", "--prompt-length", "20", "--length", "3"])
        #expect(generate["prompt"] == .integer(20) && generate["length"] == .integer(3))
        #expect(generate["tokens_per_second"]!.doubleValue! > 0)
    }

    @Test("Bench changes keys of the preset")
    func benchChangesKeysOfThePreset() throws {
        func bench(_ changes: String...) throws -> Outcome {
            let length = ["--prompt-length", "3", "--length", "1"]
            let model = ["--model", "flash", "--preset", "tiny", "--threads", "1", "--json"]
            return try run("Bench", ["generate"] + model + length + changes.flatMap { ["--set", $0] })
        }
        func parameters(_ outcome: Outcome) throws -> Int {
            #expect(outcome.code == 0 && outcome.error == "")
            let members = try #require(JSONValue(parsing: outcome.output.utf8, file: "output").objectValue)
            return try #require(members["parameters"]?.intValue)
        }
        let (two, one, four) = (
            try parameters(bench()), try parameters(bench("depth=1")),
            try parameters(bench("depth=3", "norm_type=scalenorm", "depth=4"))
        )
        #expect(four - two == 2 * (two - one) && two > one)
        for (change, message) in [
            ("dpth=1", "error: preset tiny with --set: unknown key \"dpth\" (did you mean \"depth\"?); known keys: "),
            ("depth=0", "error: preset tiny with --set: \"depth\": expected a whole number of at least 1, found 0\n"),
            ("depth", "error: --set: expected KEY=VALUE, found depth\n"),
            ("=1", "error: --set: expected KEY=VALUE, found =1\n"),
        ] {
            let outcome = try bench(change)
            #expect(outcome.code != 0 && outcome.output == "")
            #expect(outcome.error.hasPrefix(message), "\(outcome.error)")
        }
    }

    @Test("Train, Generate, and Evaluate work on one run")
    func trainResumeGenerateEvaluate() throws {
        _ = try workspace.text()
        _ = try workspace.configuration()
        let train = try run(
            "Train", "--model", "flash", "--config", "flash.json", "--data", "text.txt", "--sequence-length", "16",
            "--batch-size", "2", "--steps", "2", "--sample-every", "2", "--out", "run", "--seed", "3")
        #expect(train.code == 0)
        #expect(train.error == "")
        #expect(train.output.contains("saved step 2 in run\n"))
        let resume = try run("Train", "--resume", "run", "--steps", "3", "--json")
        #expect(resume.code == 0)
        let lines = try resume.output.split(separator: "\n").map { try JSONValue(parsing: $0.utf8, file: "output") }
        #expect(lines.map { $0.objectValue?["event"]?.stringValue } == ["started", "step", "saved", "finished"])
        #expect(lines[1].objectValue?["step"] == .integer(3))

        // Greedy text from the option and from standard input is the same.
        let option = try run("Generate", "--run", "run", "--prompt", "the zoo", "--length", "9", "--temperature", "0")
        let input = try run("Generate", "--run", "run", "--length", "9", "--temperature", "0", input: "the zoo")
        #expect(option.code == 0)
        #expect(option.output == input.output && !option.output.isEmpty)

        let evaluate = try run("Evaluate", "--run", "run", "--data", "text.txt")
        #expect(evaluate.code == 0)
        #expect(evaluate.output.hasPrefix("bits per byte "))
    }

    @Test("Errors are one line on standard error with an exit code")
    func errorsAreOneLineOnStandardError() throws {
        let text = try workspace.text()
        for (outcome, code, message) in [
            (
                try run("Train", "--model", "flesh", "--data", text), 1,
                "unknown model \"flesh\", did you mean \"flash\"? (known: \(Zoo.identifiers.joined(separator: ", ")))"
            ),
            (
                try run("Train", "--model", "flash", "--data", "none.txt"), 1,
                "none.txt: cannot be read: No such file or directory"
            ),
            (try run("Train", "--stps", "3"), 64, "Unknown option '--stps'. Did you mean '--steps'?"),
            (try run("Train", "--steps", "many"), 64, "The value 'many' is invalid for '--steps <steps>'"),
            (
                try run("Generate", "--run", "none", input: "x"), 1,
                "none: is no run folder: expected it to hold config.json"
            ),
            (
                try run("Generate", "--run", "none", input: ""), 1,
                "the prompt is empty; expected --prompt TEXT, --prompt-file FILE, or text on standard input"
            ),
            (
                try run("Evaluate", "--data", text), 1,
                "--model is missing; expected --run FOLDER, or --model ID --config FILE --weights FILE"
            ),
            (try run("Evaluate", "a", "b"), 64, "2 unexpected arguments: 'a', 'b'"),
        ] as [(Outcome, Int32, String)] {
            #expect(outcome.code == code)
            #expect(outcome.error == "error: \(message)\n")
            #expect(outcome.output == "")
        }
    }

    @Test("A training that diverges exits with code 3")
    func aTrainingThatDivergesHasAnExitCodeOfItsOwn() throws {
        let outcome = try run(
            "Train",
            workspace.tinyArguments() + ["--optimizer", "sgd", "--learning-rate", "1e30", "--clip", "0", "--quiet"])
        #expect(outcome.code == 3)
        #expect(outcome.error.hasPrefix("error: ") && outcome.error.split(separator: "\n").count == 1)
        #expect(outcome.output == "")
    }

    @Test("Runs without a folder are numbered")
    func runsAreNumberedWhereNoFolderIsGiven() throws {
        for number in 1...2 {
            let train = try run(
                "Train", "--model", "flash", "--config", try workspace.configuration(), "--data", try workspace.text(),
                "--sequence-length", "16", "--batch-size", "1", "--steps", "1", "--threads", "\(number)")
            #expect(train.output.contains("folder runs/flash-\(number)\n"))
            let folder = try RunFolder(path: workspace.path("runs/flash-\(number)"))
            #expect(try folder.configuration().threads == number)
        }
    }

    @Test("Help is printed to standard output without an error")
    func helpIsNoError() throws {
        for command in ["Train", "Generate", "Evaluate"] {
            let help = try run(command, "--help")
            #expect(help.code == 0)
            #expect(help.error == "")
            #expect(help.output.contains("USAGE: \(command) "))
        }
    }
}
