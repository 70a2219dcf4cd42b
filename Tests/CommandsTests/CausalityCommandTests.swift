import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// `Evaluate --check-causality`.
@Suite("The check of causality") struct CausalityCommandTests {
    let workspace = try! Workspace()

    /// Runs the command and returns its output and the message of the error that it throws.
    func check(_ command: CausalityCommand) throws -> (printed: String, error: String?) {
        var printed = ""
        do { try command.run(print: { printed = $0 }) } catch let error as InputError {
            return (printed, error.message)
        }
        return (printed, nil)
    }

    /// A Linformer with initial weights.
    func linformer(_ causality: String, json: Bool = false) throws -> CausalityCommand {
        let config = try workspace.write(
            "{\(LinformerCommandTests.sizes), \"depth\": 2, \"causal\": \(causality)}", "linformer.json")
        return CausalityCommand(source: ModelSource(model: "linformer", config: config), json: json)
    }

    @Test("No entry of the zoo leaks, in either form", arguments: Zoo.identifiers, Implementation.allCases)
    func zoo(_ id: String, _ form: Implementation) throws {
        let result = try check(
            CausalityCommand(
                source: ModelSource(model: id), preset: "tiny", sequenceLength: 60, implementation: form.rawValue))
        #expect(result.error == nil)
        #expect(
            result.printed
                == "no leak: 24 tokens changed, one at a time, in texts of 60: not a bit of an earlier logit has changed"
        )
    }

    @Test("The compatible Linformer leaks in its first layer, and says that it is not causal")
    func compatible() throws {
        let result = try check(linformer("\"compatible\""))
        let lines = result.printed.split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines[0].hasPrefix("not causal by construction: \"compatible\" is linformer-pytorch's causal=True"))
        #expect(lines[1].hasPrefix("leak: the token at position "))
        #expect(lines[2] == "first seen in the attention weights of Layer 1")
        #expect(lines[3].hasPrefix("24 tokens changed, one at a time, in texts of 16: "))
        #expect(result.error == "\(workspace.path("linformer.json")): logits see later tokens")
    }

    @Test(
        "A model of both sides is seen to leak, as its configuration says", arguments: ["linformer", "local", "flash"])
    func bidirectional(_ id: String) throws {
        let configurations = [
            "linformer": "{\(LinformerCommandTests.sizes), \"depth\": 2, \"causal\": false}",
            "local": #"{"num_tokens": 256, "dim": 8, "depth": 1, "heads": 2, "dim_head": 4, "max_seq_len": 32, "#
                + #""local_attn_window_size": 4, "causal": false}"#,
            "flash":
                #"{"num_tokens": 256, "dim": 8, "depth": 1, "group_size": 8, "query_key_dim": 4, "causal": false}"#,
        ]
        let config = try workspace.write(try #require(configurations[id]), "both.json")
        let result = try check(
            CausalityCommand(source: ModelSource(model: id, config: config), sequenceLength: 16))
        #expect(result.printed.hasPrefix("not causal by construction: each position sees the tokens after it"))
        #expect(result.printed.contains("first seen in the attention weights of Layer 1"))
        #expect(result.error?.hasSuffix("logits see later tokens") == true)
    }

    @Test("The findings as JSON")
    func json() throws {
        func object(_ text: String) throws -> [String: JSONValue] {
            try #require(JSONValue(parsing: Data(text.utf8), file: "json").objectValue)
        }
        let leaking = try object(check(linformer("\"compatible\"", json: true)).printed)
        let leak = try #require(leaking["first_leak"]?.objectValue)
        let (changed, seen) = try (#require(leak["changed"]?.intValue), #require(leak["seen"]?.intValue))
        #expect(changed > seen && leak["distance"] == .integer(changed - seen))
        #expect(leak["layer"] == .string("Layer 1") && leak["last_recorded_layer"] == .string("Layer 2"))
        #expect(leaking["causal_by_construction"] == .bool(false))
        let sound = try object(check(linformer("true", json: true)).printed)
        #expect(sound["first_leak"] == .null && sound["causal_by_construction"] == .bool(true))
        #expect(sound["changes"] == .integer(24) && sound["leaks"] == .integer(0))
        #expect(sound["sequence_length"] == .integer(16))
        #expect(sound["largest_difference"]?.doubleValue == 0)
    }

    @Test("A run is checked in windows of its training")
    func run() throws {
        try workspace.tinyTraining("run").lines()
        let source = ModelSource(run: workspace.path("run"))
        let result = try check(CausalityCommand(source: source))
        #expect(result.error == nil && result.printed.contains("in texts of 16: not a bit"))
        #expect(try check(CausalityCommand(source: source, sequenceLength: 40)).printed.contains("in texts of 40: "))
        let foreign = try check(CausalityCommand(source: workspace.foreign(), seed: 5))
        #expect(foreign.printed.hasPrefix("no leak: "))
        let rounded = try check(CausalityCommand(source: ModelSource(run: source.run, weightsAs: "int8")))
        #expect(rounded.printed.hasPrefix("no leak: "))
    }

    @Test("Weights that are not finite are named")
    func notFinite() throws {
        let source = try workspace.foreign()
        let model = try Zoo.architecture("flash").makeModel(
            JSONValue(parsing: workspace.read("foreign.json"), file: "foreign.json"), file: "foreign.json",
            key: RandomKey(seed: 3))
        let parameter = try #require(model.state.last).parameter
        parameter.assign(
            Tensor([Float](repeating: .nan, count: parameter.value.count), shape: parameter.value.shape))
        try model.save(to: workspace.path("foreign.safetensors"))
        let result = try check(CausalityCommand(source: source))
        #expect(result.printed.isEmpty)
        #expect(result.error?.hasPrefix("the model's logits are not finite; the weights' ") == true)
    }

    @Test("Another seed draws other places")
    func seeds() throws {
        func printed(_ seed: Int) throws -> String {
            var command = try linformer("\"compatible\"", json: true)
            command.options.seed = seed
            return try check(command).printed
        }
        #expect(try printed(1) == printed(1))
        #expect(try printed(1) != printed(2))
    }

    @Test("Wrong options are named")
    func options() throws {
        var command = CausalityCommand(source: ModelSource(model: "flash"))
        expectError("--config is missing; expected --config FILE or --preset NAME with --model") {
            try command.run(print: { _ in })
        }
        command.options.preset = "tyny"
        expectError(naming: "unknown preset \"tyny\"", "tiny") { try command.run(print: { _ in }) }
        command = CausalityCommand(source: try workspace.foreign(), preset: "tiny")
        expectError("--preset: expected only with --model and without --weights") { try command.run(print: { _ in }) }
        command.source.weights = nil
        expectError("--preset: cannot be combined with --config") { try command.run(print: { _ in }) }
        command = CausalityCommand(source: ModelSource(model: "flash", weightsAs: "int8"), preset: "tiny")
        expectError("--weights-as: expected only with --run or --weights") { try command.run(print: { _ in }) }
        for (length, message) in [
            (1, "expected a whole number of at least 2, found 1"),
            (129, "expected 2 to 128, the longest that the model reads at once, found 129"),
            (.max, "expected a whole number of at most 8192, found 9223372036854775807"),
        ] {
            command = CausalityCommand(source: ModelSource(model: "linformer"), preset: "tiny", sequenceLength: length)
            expectError("--sequence-length: \(message)") { try command.run(print: { _ in }) }
        }
    }
}
