import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

@Suite("Training that begins with trained weights") struct InitialWeightsTests {
    let workspace = try! Workspace()

    /// A run of a few steps, and a command that begins from it.
    private func begin(_ run: String, from path: String, _ arguments: String...) throws -> Train {
        var command = try Train.parse(["--init", path] + arguments)
        (command.out, command.sampleEvery) = (workspace.path(run), 0)
        if command.steps == nil { command.steps = 1 }
        if command.data.isEmpty { command.data = [try workspace.text("other.txt", lines: 40)] }
        return command
    }

    private func weights(_ run: String, step: Int) throws -> [String: [Float]] {
        let file = try SafetensorsFile(path: workspace.path(run) + "/checkpoints/step-\(step)/weights.safetensors")
        return try Dictionary(uniqueKeysWithValues: file.names.map { ($0, try file.tensor($0).values) })
    }

    private func train(_ command: Train) throws -> [String] {
        var warnings: [String] = []
        try command.train(report: { if case .warning(let text) = $0 { warnings.append(text) } })
        return warnings
    }

    @Test("A training begins with the weights of a run, and with its model, tokenizer and options")
    func run() throws {
        try workspace.tinyTraining("base").train()
        let base = workspace.path("base")
        let command = try begin("next", from: base, "--keep", "9", "--save-every", "1", "--learning-rate", "0.5")
        #expect(try train(command) == [])
        let learned = try SafetensorsFile(path: base + "/weights.safetensors")
        for (name, values) in try weights("next", step: 0) {
            #expect(try learned.tensor(name).values == values, "\(name)")
        }
        #expect(try weights("next", step: 1) != weights("next", step: 0))
        let (before, after) = (
            try RunFolder(path: base).configuration(), try RunFolder(path: workspace.path("next")).configuration()
        )
        #expect(after.origin.model == "flash")
        #expect(after.origin.initialWeights == InitialWeights(path: base))
        #expect(after.training.sequenceLength == before.training.sequenceLength)
        #expect(after.training.batchSize == before.training.batchSize && after.training.learningRate == 0.5)
        // A run that resumes keeps it.
        var more = try Train.parse(["--resume", workspace.path("next"), "--steps", "2"])
        more.sampleEvery = 0
        try more.train()
        #expect(try RunFolder(path: workspace.path("next")).configuration().origin == after.origin)
    }

    @Test("A training begins with weights from elsewhere") func foreignWeights() throws {
        let source = try workspace.foreign()
        let command = try begin(
            "next", from: source.weights!, "--model", "flash", "--config", source.config!, "--sequence-length", "16",
            "--batch-size", "2", "--keep", "9")
        #expect(try train(command) == [])
        let file = try SafetensorsFile(path: source.weights!)
        for (name, values) in try weights("next", step: 0) {
            #expect(try file.tensor(name).values == values, "\(name)")
        }
    }

    @Test("With another vocabulary the rest is taken, and a line says what was not") func anotherVocabulary() throws {
        try workspace.tinyTraining("base").train()
        let base = workspace.path("base")
        let strict = try begin("strict", from: base, "--objective", "reverse")
        let error = #expect(throws: InputError.self) { try strict.train() }
        #expect(error?.message.contains("of another shape or type") == true, "\(String(describing: error))")
        #expect(error?.message.hasSuffix("expected --init-partial to take what fits") == true)

        let command = try begin("partial", from: base, "--objective", "reverse", "--init-partial", "--keep", "9")
        let warnings = try train(command)
        #expect(
            warnings.count == 1 && warnings[0].contains("of another shape (token_emb.weight is F32 [256, 8], expected"))
        let (learned, began) = (
            try SafetensorsFile(path: base + "/weights.safetensors"), try weights("partial", step: 0)
        )
        let same = began.filter { learned.entries[$0.key]?.count == $0.value.count }
        #expect(same.count > began.count / 2)
        for (name, values) in same { #expect(try learned.tensor(name).values == values, "\(name)") }
        #expect(began["token_emb.weight"]?.count == 257 * 8)
        #expect(
            try RunFolder(path: workspace.path("partial")).configuration().origin.initialWeights?.rule == .matching)
    }

    @Test("Frozen parameters stay as they are, also in a run that resumes", arguments: ["--freeze", "--train-only"])
    func freezing(_ option: String) throws {
        try workspace.tinyTraining("base").train()
        let command = try begin(
            "next", from: workspace.path("base"), option, "token_emb.*", "to_logits.*", "--keep", "9", "--save-every",
            "1")
        try command.train()
        var more = try Train.parse(["--resume", workspace.path("next"), "--steps", "2"])
        more.sampleEvery = 0
        try more.train()
        let (first, last) = (try weights("next", step: 0), try weights("next", step: 2))
        #expect((first["token_emb.weight"] == last["token_emb.weight"]) == (option == "--freeze"))
        let key = "layers.0.to_out.weight"
        #expect(first[key] != nil && (first[key] == last[key]) == (option == "--train-only"))
        let origin = try RunFolder(path: workspace.path("next")).configuration().origin
        let patterns: ParameterSelection = ["token_emb.*", "to_logits.*"]
        #expect(origin.frozen == (option == "--freeze" ? patterns : []))
        #expect(origin.trainedAlone == (option == "--freeze" ? nil : patterns))
    }

    @Test("What makes no sense is an error that names the option") func mistakes() throws {
        try workspace.tinyTraining("base").train()
        let base = workspace.path("base")
        expectError("--init-partial: expected only with --init") {
            var command = try workspace.tinyTraining("x")
            command.initPartial = true
            try command.train()
        }
        expectError("--train-only: cannot be combined with --freeze") {
            try begin("x", from: base, "--freeze", "a", "--train-only", "b").train()
        }
        let error = #expect(throws: InputError.self) { try begin("x", from: base, "--freeze", "tokens.*").train() }
        #expect(error?.message.hasPrefix("--freeze \"tokens.*\": expected a pattern that matches") == true)
        expectError("--model is missing; expected one of \(Zoo.identifiers.joined(separator: ", "))") {
            try begin("x", from: base + "/weights.safetensors").train()
        }
        for arguments in [["--init", base], ["--freeze", "a"], ["--train-only", "a"], ["--init-partial"]] {
            expectError("\(arguments[0]): cannot be combined with --resume, whose folder says it already") {
                try Train.parse(["--resume", base] + arguments).train()
            }
        }
    }

    @Test("Groups and no decay are options, which a resumed run keeps") func groups() throws {
        var command = try workspace.tinyTraining("groups", steps: 1)
        (command.optimizer, command.noDecay) = ("adamw", "norms,biases")
        command.group = ["to_logits.*:rate=0", "layers.*:rate=0.5,decay=0.25"]
        command.keep = 9
        try command.train()
        let training = try RunFolder(path: workspace.path("groups")).configuration().training
        #expect(training.optimizer.noDecay == [.norms, .biases])
        #expect(
            training.groups == [
                ParameterGroup("to_logits.*", rateFactor: 0),
                ParameterGroup("layers.*", rateFactor: 0.5, weightDecay: 0.25),
            ])
        let (first, last) = (try weights("groups", step: 0), try weights("groups", step: 1))
        for (key, values) in first where key.hasPrefix("to_logits") { #expect(last[key] == values, "\(key)") }
        #expect(first["token_emb.weight"] != last["token_emb.weight"])
        for (group, name) in [("a", "a"), (":rate=1", ":rate=1"), ("a:rate=-1", "a:rate=-1"), ("a:x=1", "a:x=1")] {
            expectError("--group \(name): expected PATTERN:rate=FACTOR,decay=DECAY, one of the two at least") {
                try Train.parse(["--group", group, "--model", "flash"]).train()
            }
        }
        expectError("--no-decay: expected one of norms, biases, embeddings, found \"norm\"; did you mean \"norms\"?") {
            try Train.parse(["--no-decay", "norm", "--model", "flash"]).train()
        }
        command.group = ["logits.*:rate=2"]
        command.out = workspace.path("no-group")
        let error = #expect(throws: InputError.self) { try command.train() }
        #expect(error?.message.hasPrefix("--group: \"logits.*\": expected a pattern that matches parameters") == true)
    }

    @Test("A run opens in one line and generates in the next, typed or not") func opening() throws {
        try workspace.tinyTraining("base").train()
        let run = try Run(opening: URL(fileURLWithPath: workspace.path("base")))
        let text = try run.generate("the", length: 8, sampling: .greedy)
        let model = try run.model(as: FLASHTransformer.self)
        #expect(try model.generate("the", length: 8, tokenizer: run.tokenizer, sampling: .greedy) == text)
        #expect(run.configuration.origin.model == "flash" && run.tokenizer.kind == .bytes)
        let error = #expect(throws: InputError.self) { try run.model(as: LocalTransformer.self) }
        #expect(
            error?.message
                == workspace.path("base") + ": expected the run of a LocalTransformer, found that of a FLASHTransformer"
        )
        expectError(workspace.path("none") + ": is no run folder: expected it to hold config.json") {
            _ = try Run(opening: workspace.path("none"))
        }
        let other = FLASHTransformer(
            try run.configuration.origin.configuration(as: FLASHConfiguration.self), key: RandomKey(seed: 9))
        let same = try Run(opening: workspace.path("base"), into: other)
        #expect(try same.generate("the", length: 8, sampling: .greedy) == text)
    }
}
