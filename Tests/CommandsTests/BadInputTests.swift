import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// Every kind of bad input: one line that names the culprit, and nothing lost.
@Suite struct BadInputTests {
    let workspace = try! Workspace()

    /// A training that is wrong in one way; no folder must come of it.
    func expectRefusal(
        _ message: String, location: SourceLocation = #_sourceLocation, _ change: (inout Train) throws -> Void
    ) throws {
        var command = try workspace.tinyTraining("refused")
        try change(&command)
        expectError(message, sourceLocation: location) { try command.lines() }
        #expect(!FileManager.default.fileExists(atPath: workspace.path("refused")), sourceLocation: location)
    }

    // MARK: Names and options

    @Test("An unknown model or preset is named with the known ones")
    func anUnknownModelListsTheIds() throws {
        let known = Zoo.identifiers.joined(separator: ", ")
        try expectRefusal("unknown model \"flsh\", did you mean \"flash\"? (known: \(known))") { $0.model = "flsh" }
        try expectRefusal("--model is missing; expected one of \(known)") { $0.model = nil }
        try expectRefusal("unknown preset \"tyny\", did you mean \"tiny\"? (known: tiny, quick, small, reference)") {
            $0.preset = "tyny"
        }
        let foreign = try workspace.foreign()
        expectError("unknown model \"gpt\" (known: \(known))") {
            try EvaluateCommand(
                source: ModelSource(model: "gpt", config: foreign.config, weights: foreign.weights),
                data: [try workspace.text()]
            ).run(print: { _ in })
        }
    }

    @Test("Words and numbers out of range name the option")
    func wordsAndNumbersOutOfRangeNameTheOption() throws {
        try expectRefusal(
            "--optimizer: expected one of adam, adamw, sgd, adafactor, found \"adm\"; did you mean \"adam\"?"
        ) {
            $0.optimizer = "adm"
        }
        try expectRefusal("--schedule: expected one of constant, cosine, noam, found \"linear\"") {
            $0.schedule = "linear"
        }
        try expectRefusal(
            "--tokenizer: expected bytes, characters, bpe:N with N from 256 to 1048576, or a file tokenizer.json, found \"byte\""
        ) {
            $0.tokenizer = "byte"
        }
        try expectRefusal(
            "--order: expected one of random, sequential, found \"sequentail\"; did you mean \"sequential\"?"
        ) {
            $0.order = "sequentail"
        }
        let separators = "none, files, lines or byte:N with N from 0 to 255, 0x00 to 0xff, or one of \\n \\r \\t \\0"
        try expectRefusal("--documents: expected \(separators), found \"byte:256\"") { $0.documents = "byte:256" }
        try expectRefusal("--threads: expected a whole number of at least 1, found 0") { $0.threads = 0 }
        try expectRefusal("--dropout: expected a number of at least 0 and below 1, found 1.0") { $0.dropout = 1 }
        try expectRefusal("--steps: expected a whole number of at least 1, found 0") { $0.steps = 0 }
        try expectRefusal("--validation-fraction: expected a number of at least 0 and below 1, found 1.5") {
            $0.validationFraction = 1.5
        }
    }

    @Test("Options that cannot be combined are refused")
    func impossibleCombinationsAreRefused() throws {
        try expectRefusal("--epochs: cannot be combined with --steps; expected one of the two") { $0.epochs = 1 }
        try expectRefusal("--schedule cosine: needs to know the number of steps; expected --steps or --epochs") {
            ($0.steps, $0.minutes, $0.schedule) = (nil, 1, "cosine")
        }
        try expectRefusal("--warmup: expected at least 1 for --schedule noam, which falls from the warm-up on, found 0")
        {
            $0.schedule = "noam"
        }
        let run = workspace.path("run")
        let text = try workspace.text()
        expectError("--config: cannot be combined with --run, whose folder says it already") {
            try GenerateCommand(source: ModelSource(run: run, config: "x"), prompt: "x").run { _ in }
        }
        expectError(naming: "--weights", "expected", "--run", "--model", "--config", "--weights") {
            try GenerateCommand(source: ModelSource(model: "flash", config: "x"), prompt: "x").run { _ in }
        }
        expectError("--data: cannot be combined with --batch") {
            try EvaluateCommand(source: ModelSource(run: run), data: [text], batch: "b").run(print: { _ in })
        }
        expectError("--gradients: expected only with --batch") {
            try EvaluateCommand(source: ModelSource(run: run), data: [text], gradients: true).run(print: { _ in })
        }
        expectError("--output is missing; expected a file for what --batch gives") {
            try EvaluateCommand(source: ModelSource(run: run), batch: "b").run(print: { _ in })
        }
        expectError("--data is missing; expected --data FILE, or --run FOLDER, or --batch FILE") {
            try EvaluateCommand(source: ModelSource()).run(print: { _ in })
        }
        expectError("--length: expected a whole number of at least 1, found 0") {
            try GenerateCommand(source: ModelSource(run: run), prompt: "x", length: 0).run { _ in }
        }
        expectError(naming: "prompt", "empty", "--prompt", "--prompt-file", "standard input") {
            try GenerateCommand(source: ModelSource(run: run), prompt: "").run { _ in }
        }
        expectError("--top-p: expected a number above 0 and at most 1, found 3.0") {
            try GenerateCommand(source: ModelSource(run: run), prompt: "x", sampling: .init(topP: 3)).run { _ in }
        }
    }

    // MARK: Configurations

    @Test("A mistyped configuration names file and key")
    func aMistypedConfigurationNamesFileAndKey() throws {
        func expectRefusal(
            _ message: String, _ changes: String, location: SourceLocation = #_sourceLocation
        ) throws {
            let path = try workspace.configuration(changes, name: "wrong.json")
            try self.expectRefusal("\(path)\(message)", location: location) { $0.config = path }
        }
        let known =
            "known keys: num_tokens, dim, depth, group_size, query_key_dim, expansion_factor, causal, attn_dropout,"
            + " norm_type, shift_tokens, laplace_attn_fn, reduce_group_non_causal_attn, mask_token_shift,"
            + " divide_by_valid_count, gamma_std"
        try expectRefusal(
            ": unknown key \"grup_size\" (did you mean \"group_size\"?); \(known)", ", \"grup_size\": 4")
        try expectRefusal(
            ": \"norm_type\": expected one of \"scalenorm\", \"layernorm\", found \"layer_norm\";"
                + " did you mean \"layernorm\"?", ", \"norm_type\": \"layer_norm\"")
        try expectRefusal(
            ": \"shift_tokens\": expected true or false, found 1", ", \"shift_tokens\": 1")
        try expectRefusal(
            ": \"divide_by_valid_count\": only without causal; a causal group divides by group_size",
            ", \"divide_by_valid_count\": true")
        try expectRefusal(", line 1, column 96: not valid JSON: the key \"dim\" is given twice", ", \"dim\": 8")
        try expectRefusal(", line 1, column 96: not valid JSON: expected a key in double quotes, found \"}\"", ", ")
    }

    @Test("A configuration that cannot predict the text is refused")
    func aConfigurationThatCannotPredictTextIsRefused() throws {
        let config = try workspace.write(
            "{\"num_tokens\": 256, \"dim\": 8, \"depth\": 1}", "full.json")
        try expectRefusal(
            "the model's configuration is not causal: each position sees the tokens it is to predict;"
                + " expected a causal one (\"causal\": true)"
        ) { $0.config = config }
        let small = try workspace.write(
            "{\"num_tokens\": 100, \"dim\": 8, \"depth\": 1, \"causal\": true}", "small.json")
        try expectRefusal("\(small): \"num_tokens\": expected at least the 256 tokens of --tokenizer bytes, found 100")
        {
            $0.config = small
        }
        try expectRefusal("\(workspace.path("none.json")): cannot be read: No such file or directory") {
            $0.config = workspace.path("none.json")
        }
        let list = try workspace.write("[1, 2]", "list.json")
        try expectRefusal("\(list): expected a JSON object such as {\"dim\": 512}, found the list [1, 2]") {
            $0.config = list
        }
    }

    // MARK: Texts

    @Test("A missing, empty, or too short text is named")
    func aTextThatIsMissingEmptyOrTooShortIsNamed() throws {
        try expectRefusal(
            "--validation: expected only with --data; the built-in corpus has a validation text of its own"
        ) { ($0.data, $0.validation) = ([], "another.txt") }
        try expectRefusal(
            "--documents: expected only with --data; the built-in corpus has a validation text of its own"
        ) {
            ($0.data, $0.documents) = ([], "lines")
        }
        try expectRefusal("--corpus-length: cannot be combined with --data, whose text it is then") {
            $0.corpusLength = 1000
        }
        try expectRefusal("--corpus-length: expected a whole number from 1 to 2000000000, found 0") {
            ($0.data, $0.corpusLength) = ([], 0)
        }
        // A single sentence.
        try expectRefusal("the built-in corpus: has 35 tokens; a sequence length of 50 needs at least 51") {
            ($0.data, $0.corpusLength, $0.sequenceLength) = ([], 1, 50)
        }
        let none = workspace.path("none.txt")
        try expectRefusal("\(none): cannot be read: No such file or directory") { $0.data = [none] }
        try expectRefusal("\(none): cannot be read: No such file or directory") { $0.validation = none }
        let empty = try workspace.write("", "empty.txt")
        let text = try workspace.text()
        try expectRefusal("--documents byte:7: \(text) is a single document; expected the byte between two") {
            ($0.data, $0.documents) = ([text], "byte:7")
        }
        try expectRefusal("\(empty): is empty; expected a text") { $0.data = [empty] }
        let short = try workspace.write("0123456789", "short.txt")
        try expectRefusal("\(short): has 10 tokens; a sequence length of 16 needs at least 17") { $0.data = [short] }
        try expectRefusal("\(short): has 10 tokens; a sequence length of 16 needs at least 17") {
            $0.validation = short
        }
        let long = try workspace.write(String(repeating: "x", count: 100), "long.txt")
        try expectRefusal(
            "\(long) (the last 10 %): has 10 tokens; a sequence length of 16 needs at least 17"
        ) { $0.data = [long] }
        let broken = try workspace.write("no gzip", "text.gz")
        try expectRefusal("\(broken): is not gzip data; expected that of a file named .gz") { $0.data = [broken] }
    }

    @Test("Tokens outside the vocabulary are named")
    func tokensOutsideTheVocabularyAreNamed() throws {
        let config = try workspace.write(
            "{\"num_tokens\": 100, \"dim\": 8, \"depth\": 1, \"causal\": true}", "small.json")
        let model = try Zoo.architecture("flash").makeModel(
            .object(["num_tokens": .integer(100), "dim": .integer(8), "depth": .integer(1), "causal": .bool(true)]),
            file: config, key: RandomKey(seed: 1))
        try model.save(to: workspace.path("small.safetensors"))
        let source = ModelSource(model: "flash", config: config, weights: workspace.path("small.safetensors"))
        let text = try workspace.write("ABCxyz", "text.txt")
        expectError("\(text): token 120 is outside the model's vocabulary; expected 0 to 99") {
            try EvaluateCommand(source: source, data: [text]).run(print: { _ in })
        }
        expectError("the prompt: token 120 is outside the model's vocabulary; expected 0 to 99") {
            try GenerateCommand(source: source, prompt: "ABCx").run { _ in }
        }
    }
}
