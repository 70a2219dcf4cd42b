import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

@Suite("Options together with configurations") struct OptionTests {
    let workspace = try! Workspace()

    // MARK: Lengths

    private static let linformer =
        "\"num_tokens\": 256, \"channels\": 8, \"depth\": 1, \"dim_k\": 4, \"nhead\": 2, \"causal\": true"
    private static let local =
        "\"num_tokens\": 256, \"dim\": 8, \"depth\": 1, \"causal\": true, \"heads\": 2, \"dim_head\": 4,"
        + " \"local_attn_window_size\": 8"

    private func training(_ model: String, _ configuration: String, window: Int? = nil) throws -> Train {
        var command = try workspace.tinyTraining("run", steps: 1)
        (command.model, command.sequenceLength) = (model, window)
        command.config = try workspace.write("{\(configuration)}", "model.json")
        return command
    }

    @Test(
        "The length that a configuration says is kept, and the window is as long unless it is given",
        arguments: [
            ("linformer", "input_size", 96, nil, 96), ("linformer", "input_size", 96, 40, 40),
            ("linformer", "input_size", 17, nil, 17), ("local", "max_seq_len", 96, nil, 96),
            ("local", "max_seq_len", 96, 96, 96), ("local", "max_seq_len", 40, 9, 9),
        ] as [(String, String, Int, Int?, Int)])
    func lengths(model: String, key: String, length: Int, window: Int?, expected: Int) throws {
        let sizes = model == "local" ? Self.local : Self.linformer
        try training(model, "\(sizes), \"\(key)\": \(length)", window: window).lines()
        let run = try RunFolder(path: workspace.path("run")).configuration()
        #expect(run.origin.configuration.objectValue?[key] == .integer(length))
        #expect(run.training.sequenceLength == expected)
    }

    @Test("A window that is longer than what the configuration allows is refused with both numbers")
    func windowsThatAreTooLong() throws {
        for (model, sizes, key) in [("linformer", Self.linformer, "input_size"), ("local", Self.local, "max_seq_len")] {
            expectError(
                naming: "--sequence-length", "expected at most 16", "found 17"
            ) { try training(model, "\(sizes), \"\(key)\": 16", window: 17).lines() }
        }
        #expect(!FileManager.default.fileExists(atPath: workspace.path("run")))
    }

    @Test("Where windows are reversed, they are half as long as what the model reads")
    func reversedWindows() throws {
        var command = try training("local", Self.local.replacing("256", with: "257") + ", \"max_seq_len\": 24")
        command.objective = "reverse"
        try command.lines()
        let run = try RunFolder(path: workspace.path("run")).configuration()
        #expect(run.training.sequenceLength == 12)
        #expect(run.origin.configuration.objectValue?["max_seq_len"] == .integer(24))
    }

    @Test("A preset's model is as long as the window that is given")
    func presets() throws {
        var command = try workspace.tinyTraining("run", steps: 1)
        (command.model, command.config, command.preset, command.sequenceLength) = ("linformer", nil, "tiny", 24)
        try command.lines()
        let run = try RunFolder(path: workspace.path("run")).configuration()
        #expect(run.origin.configuration.objectValue?["input_size"] == .integer(24))
    }

    // MARK: Options that would have no effect

    @Test("Options of another optimizer, schedule or way to validate are refused")
    func withoutEffect() throws {
        func expectRefusal(
            _ message: String, location: SourceLocation = #_sourceLocation, _ change: (inout Train) -> Void
        ) throws {
            var command = try workspace.tinyTraining("run")
            change(&command)
            expectError(message, sourceLocation: location) { try command.lines() }
        }
        try expectRefusal("--momentum: expected only with --optimizer sgd; it is adam") { $0.momentum = 0.9 }
        try expectRefusal("--momentum: expected only with --optimizer sgd; it is adamw") {
            ($0.optimizer, $0.momentum) = ("adamw", 0)
        }
        for change in [\Train.beta1, \Train.beta2] {
            let name = change == \Train.beta1 ? "--beta1" : "--beta2"
            try expectRefusal("\(name): expected only with --optimizer adam or adamw; it is sgd") {
                $0.optimizer = "sgd"
                $0[keyPath: change] = 0.5
            }
        }
        try expectRefusal("--learning-rate-floor: expected only with --schedule cosine; it is constant") {
            ($0.schedule, $0.learningRateFloor) = ("constant", 0.1)
        }
        try expectRefusal("--learning-rate-floor: expected only with --schedule cosine; it is noam") {
            ($0.schedule, $0.warmup, $0.learningRateFloor) = ("noam", 1, 0.1)
        }
        let text = try workspace.text("other.txt")
        try expectRefusal("--validation-fraction: cannot be combined with --validation, which nothing is held back for")
        {
            ($0.validation, $0.validationFraction) = (text, 0.1)
        }
        let names: [(String, WritableKeyPath<Train, String?>)] = [
            ("--resume", \.resume), ("--out", \.out), ("--config", \.config), ("--validation", \.validation),
        ]
        for (name, path) in names {
            let error = #expect(throws: InputError.self) {
                var command = try workspace.tinyTraining("run")
                command[keyPath: path] = ""
                try command.lines()
            }
            #expect(error?.message.hasPrefix("\(name) is empty; expected ") == true)
        }
        try expectRefusal("the name of a text is empty; expected a file or a folder") { $0.data = [""] }
        #expect(!FileManager.default.fileExists(atPath: workspace.path("run")))
    }

    // MARK: Options that there are not

    @Test(
        "A wrong option's hint is what is meant, or else what is spelled alike",
        arguments: [
            ("Train", "--lr", "--learning-rate"), ("Train", "-lr", "--learning-rate"),
            ("Train", "--LR", "--learning-rate"),
            ("Train", "--wd", "--weight-decay"), ("Train", "--bs", "--batch-size"), ("Train", "--iters", "--steps"),
            ("Train", "--max_steps", "--steps"), ("Train", "--seq-len", "--sequence-length"),
            ("Train", "--checkpoint", "--resume"), ("Generate", "--checkpoint", "--run"),
            ("Train", "--stps", "--steps"),
            ("Generate", "--max-tokens", "--length"), ("Generate", "--temp", "--temperature"),
            ("Evaluate", "--dataset", "--data"), ("Visualize", "--dataset", "--text"),
        ])
    func hints(command: String, wrong: String, meant: String) throws {
        let outcome = try workspace.run(command, [wrong, "3"])
        #expect(outcome.code == 64)
        #expect(outcome.error.hasPrefix("error: Unknown option '\(wrong)"), "\(outcome.error)")
        #expect(outcome.error.hasSuffix(". Did you mean '\(meant)'?\n"), "\(outcome.error)")
    }

    @Test("Every option that a hint names is one of a command")
    func hintsAreOptions() throws {
        let commands = ["Train", "Generate", "Evaluate", "Visualize", "Compare"]
        let help = try commands.map { try workspace.run($0, ["--help"]).output }.joined(separator: "\n")
        for option in OptionHint.options {
            #expect(help.contains("--\(option)"), "\(option)")
        }
    }
}
