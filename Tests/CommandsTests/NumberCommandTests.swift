import Foundation
import ModelZoo
import Testing

/// Numbers that are too large or not finite, through the commands.
@Suite("Numbers through the commands") struct NumberCommandTests {
    let workspace = try! Workspace()

    private func run(_ command: String, _ arguments: [String]) throws -> Outcome {
        let outcome = try workspace.run(command, arguments)
        #expect(outcome.reason == .exit, "\(outcome.error)")
        return outcome
    }

    /// One line on standard error.
    private func expectLine(
        _ outcome: Outcome, code: Int32, _ parts: String..., location: SourceLocation = #_sourceLocation
    ) {
        #expect(outcome.code == code, "\(outcome.error)", sourceLocation: location)
        #expect(outcome.error.hasPrefix("error: "), "\(outcome.error)", sourceLocation: location)
        #expect(outcome.error.filter { $0 == "\n" }.count == 1, "\(outcome.error)", sourceLocation: location)
        for part in parts { #expect(outcome.error.contains(part), "\(outcome.error)", sourceLocation: location) }
    }

    // MARK: Evaluate

    /// A tiny transformer with an element of a parameter changed.
    private func weights(_ key: String, _ change: (Tensor) -> Tensor) throws -> [String] {
        let json = "{\"num_tokens\": 256, \"dim\": 8, \"depth\": 1, \"heads\": 1, \"dim_head\": 8}"
        let config = try workspace.write(json, "c.json")
        let model = try Zoo.architecture("transformer").makeModel(
            JSONValue(parsing: json.utf8, file: config), file: config, key: RandomKey(seed: 1))
        let parameter = try #require(model.state.first { $0.key == key }).parameter
        parameter.assign(withoutGradients { change(parameter.value.detached()) })
        let path = workspace.path("w.safetensors")
        try model.save(to: path)
        return ["--model", "transformer", "--config", config, "--weights", path]
    }

    private func changed(_ value: Float) -> (Tensor) -> Tensor {
        { tensor in
            var values = tensor.values
            values[values.count / 2] = value
            return Tensor(values, shape: tensor.shape)
        }
    }

    @Test("Evaluate prints JSON and exits with 1 where a perplexity is infinite")
    func infinitePerplexity() throws {
        let source = try weights("to_logits.weight") { $0 * 1e4 }
        let text = try workspace.text()
        let json = try run("Evaluate", source + ["--data", text, "--sequence-length", "32", "--json"])
        let members = try #require(JSONValue(parsing: json.output.utf8, file: "output").objectValue)
        #expect(members["perplexity"] == .null && members["loss"]!.doubleValue! > 800)
        expectLine(
            json, code: 1, "w.safetensors: the perplexity is infinite (of a loss of ", "; all weights are finite")
        let lines = try run("Evaluate", source + ["--data", text, "--sequence-length", "32"])
        #expect(lines.output.contains("perplexity infinite a token, loss ") && !lines.output.contains("inf "))
        expectLine(lines, code: 1, "the perplexity is infinite")
    }

    @Test("Evaluate names the first tensor that holds a number which is not finite", arguments: [Float.nan, .infinity])
    func namedTensor(_ value: Float) throws {
        let source = try weights("layers.0.ff.up.weight", changed(value))
        let text = try workspace.text()
        let json = try run("Evaluate", source + ["--data", text, "--sequence-length", "32", "--json"])
        let members = try #require(JSONValue(parsing: json.output.utf8, file: "output").objectValue)
        #expect(members["loss"] == .null && members["bits_per_byte"] == .null && members["tokens"]!.intValue! > 0)
        expectLine(
            json, code: 1, "w.safetensors: the loss is not a number; the weights' layers.0.ff.up.weight holds \(value)")
        let lines = try run("Evaluate", source + ["--data", text, "--sequence-length", "32"])
        #expect(lines.output.hasPrefix("bits per byte not a number\n"))
    }

    @Test("Evaluate --batch writes its numbers and exits with 1 where the loss is not finite")
    func batch() throws {
        let source = try weights("to_logits.weight", changed(.nan))
        let batch = workspace.path("b.safetensors")
        var writer = SafetensorsWriter()
        try writer.add("tokens", TokenTensor([1, 2, 3], shape: [1, 3]))
        try writer.add("targets", TokenTensor([2, 3, 4], shape: [1, 3]))
        try writer.write(to: batch)
        let outcome = try run("Evaluate", source + ["--batch", batch, "--output", workspace.path("o.safetensors")])
        expectLine(outcome, code: 1, "the loss is not a number; the weights' to_logits.weight holds nan")
        #expect(FileManager.default.fileExists(atPath: workspace.path("o.safetensors")))
    }

    // MARK: Too large

    @Test("What memory cannot hold is one line, and leaves no folder")
    func tooLargeModel() throws {
        let config = try workspace.write(
            "{\"num_tokens\": 16777216, \"dim\": 16777216, \"depth\": 1, \"causal\": true}", "large.json")
        let arguments = [
            "--model", "flash", "--config", config, "--data", try workspace.text(), "--out", "large",
            "--sequence-length", "16",
        ]
        expectLine(try run("Train", arguments), code: 1, "large.json: the model's weights take ", ": lower \"")
        let deep = try workspace.write("{\"num_tokens\": 256, \"dim\": 8, \"depth\": 16777216}", "deep.json")
        expectLine(
            try run(
                "Train",
                [
                    "--model", "flash", "--config", deep, "--data", workspace.text(), "--out", "large",
                    "--sequence-length", "16",
                ]),
            code: 1,
            "deep.json: \"depth\": expected at most 16384, found 16777216")
        for (name, value) in [
            ("--batch-size", "9223372036854775807"), ("--sequence-length", "9223372036854775807"),
            ("--accumulate", "9223372036854775807"), ("--steps", "9223372036854775807"),
            ("--keep", "9223372036854775807"),
            ("--sample-length", "9223372036854775807"), ("--warmup", "9223372036854775807"),
            ("--threads", "1000000000"),
            ("--clip", "inf"), ("--clip", "nan"), ("--learning-rate", "inf"), ("--minutes", "inf"), ("--epochs", "inf"),
            ("--weight-decay", "inf"), ("--dropout", "nan"), ("--beta1", "nan"),
        ] {
            let steps = ["--steps", "--minutes", "--epochs"].contains(name) ? [] : ["--steps", "2"]
            let length = name == "--sequence-length" ? [] : ["--sequence-length", "16"]
            expectLine(
                try run(
                    "Train",
                    [
                        "--model", "flash", "--config", workspace.configuration(), "--data", workspace.text(), "--out",
                        "large",
                    ]
                        + steps + length + [name, value]), code: 1, name)
        }
        #expect(!FileManager.default.fileExists(atPath: workspace.path("large")))
    }

    @Test("Generate and Retrieval have greatest values too")
    func others() throws {
        let config = try workspace.write(
            "{\"num_tokens\": 256, \"input_size\": 32, \"channels\": 8, \"dim_k\": 4, \"nhead\": 1, \"causal\": true,"
                + " \"dim_ff\": 8, \"depth\": 1}", "l.json")
        let model = try Zoo.architecture("linformer").makeModel(
            JSONValue(parsing: workspace.read("l.json"), file: config), file: config, key: RandomKey(seed: 1))
        try model.save(to: workspace.path("l.safetensors"))
        let source = [
            "--model", "linformer", "--config", config, "--weights", workspace.path("l.safetensors"), "--prompt", "a",
        ]
        expectLine(
            try run("Generate", source + ["--length", "9223372036854775807"]), code: 1,
            "--length: expected a whole number of at most ")
        expectLine(
            try run("Generate", source + ["--length", "1099511627776"]), code: 1,
            "the prompt of 1 token and --length 1099511627776: expected at most 32 together")
        let retrieval = ["--pairs", "20", "--out", workspace.path("retrieval")]
        expectLine(
            try run("Retrieval", retrieval + ["--batch-size", "1000000000"]), code: 1,
            "--batch-size: expected a whole number of at most 16777216, found 1000000000")
        expectLine(
            try run(
                "Retrieval", ["--pairs", "10000", "--out", workspace.path("retrieval"), "--batch-size", "16777216"]),
            code: 1, "a step of 20000 pairs in each sequence takes at least ", ": lower --batch-size, which is 16777216"
        )
        #expect(!FileManager.default.fileExists(atPath: workspace.path("retrieval")))
    }

    // MARK: Divergence

    @Test("A training that is bad from the first step on exits with 3 and blames no learning rate")
    func fromTheFirstStepOn() throws {
        let config = try workspace.write(
            "{\"n_vocab\": 256, \"d_model\": 64, \"n_layers\": 2, \"heads\": 2, \"d_ff\": 128,"
                + " \"sum_normalization\": false}", "no-sum.json")
        let outcome = try run(
            "Train",
            [
                "--model", "fast-weights", "--config", config, "--data", workspace.text(lines: 300),
                "--sequence-length",
                "1024", "--batch-size", "4", "--steps", "2", "--sample-every", "0", "--out", "run",
            ])
        expectLine(outcome, code: 3, "nothing has been learned yet")
    }

    // MARK: Want of memory

    #if os(Linux)
        @Test(
            "Under a limit of address space a training ends, well or with one line", arguments: [200, 400, 600, 1000])
        func addressSpace(_ megabytes: Int) throws {
            let arguments = try workspace.tinyArguments("run-\(megabytes)", steps: 2)
            let command = ([Workspace.products.appendingPathComponent("Train").path] + arguments + ["--quiet"])
                .map { "'\($0)'" }.joined(separator: " ")
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", "ulimit -v \(megabytes * 1024); exec \(command)"]
            process.currentDirectoryURL = URL(fileURLWithPath: workspace.folder)
            let error = try workspace.write("", "error")
            process.standardError = FileHandle(forWritingAtPath: error)
            try process.run()
            process.waitUntilExit()
            let outcome = workspace.outcome(of: process, output: Data(), error: try workspace.read("error"))
            #expect(outcome.reason == .exit, "\(outcome.error)")
            if outcome.code != 0 { expectLine(outcome, code: 1, "out of memory: ", "(ulimit -v)") }
        }
    #endif
}
