import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// Trainings with byte pair encoding.
@Suite struct TokenizerCommandTests {
    let workspace = try! Workspace()

    private func training(_ run: String, tokenizer: String = "bpe:300", steps: Int = 2) throws -> Train {
        var command = try workspace.tinyTraining(run, steps: steps)
        command.tokenizer = tokenizer
        command.config = try workspace.write(
            #"{"num_tokens": 300, "dim": 8, "depth": 1, "group_size": 8, "query_key_dim": 4, "causal": true}"#,
            "bpe.json")
        return command
    }

    private func resume(_ run: String, steps: Int, tokenizer: String? = nil) -> Train {
        var command = try! Train.parse([])
        (command.resume, command.steps, command.tokenizer) = (workspace.path(run), steps, tokenizer)
        return command
    }

    @Test("A run learns its tokens, keeps them, resumes, is evaluated and generates")
    func trainsWithBytePairs() throws {
        try training("run").lines()
        let folder = try RunFolder(path: workspace.path("run"))
        #expect(try folder.configuration().tokenizer == .bpe)
        let tokenizer = try #require(try folder.tokenizer() as? BytePairTokenizer)
        #expect(tokenizer.vocabularySize > 256 && tokenizer.vocabularySize <= 300)
        #expect(tokenizer.encode("the river").count < 9)
        let given = "bpe:\(tokenizer.vocabularySize)"
        #expect(try resume("run", steps: 3, tokenizer: given).lines().contains { $0.hasPrefix("step 3/3") })
        expectError("--tokenizer bytes: the run in \(folder.path) was made with --tokenizer \(given)") {
            try resume("run", steps: 4, tokenizer: "bytes").lines()
        }
        var evaluated = ""
        try EvaluateCommand(source: ModelSource(run: folder.path)).run { evaluated += $0 }
        #expect(evaluated.contains("bits"))
        var bytes = 0
        try GenerateCommand(source: ModelSource(run: folder.path), prompt: "the river", length: 5).run {
            bytes += $0.count
        }
        #expect(bytes > 0)
    }

    @Test("A file of one run's tokens gives another run the same")
    func takesAFile() throws {
        try training("first").lines()
        let file = workspace.path("first/tokenizer.json")
        try training("second", tokenizer: file).lines()
        #expect(try workspace.read("second/tokenizer.json") == workspace.read("first/tokenizer.json"))
        let losses = try ["first", "second"].map {
            try MetricsLog.read(path: workspace.path("\($0)/metrics.jsonl")).map(\.loss)
        }
        #expect(losses[0] == losses[1])
    }

    @Test("A tokenizer that does not fit the model is named")
    func refusesWhatDoesNotFit() throws {
        var large = try training("large", tokenizer: "bpe:310")
        large.data = [try workspace.write((0..<4000).map { "\($0 * $0) " }.joined(), "numbers.txt")]
        expectError(naming: "bpe.json", "num_tokens", "at least the 310 tokens of --tokenizer bpe", "found 300") {
            try large.lines()
        }
        large.config = try workspace.write(
            #"{"num_tokens": 310, "dim": 8, "depth": 1, "group_size": 8, "query_key_dim": 4, "causal": true}"#,
            "310.json")
        try large.lines()
        try training("run").lines()
        let file = workspace.path("run/tokenizer.json")
        try workspace.read("large/tokenizer.json").write(to: URL(fileURLWithPath: file))
        expectError("\(file): has 310 tokens; expected those of the run's weights, which are for 300") {
            try GenerateCommand(source: ModelSource(run: workspace.path("run")), prompt: "the", length: 5).run { _ in }
        }
    }

    @Test("Sizes, files and separators of documents that cannot be are refused")
    func refusesOptions() throws {
        let expected = "expected bytes, characters, bpe:N with N from 256 to 1048576, or a file tokenizer.json"
        for given in ["bpe:255", "bpe:x", "bpe:", "words"] {
            expectError("--tokenizer: \(expected), found \"\(given)\"") { try training("x", tokenizer: given).lines() }
        }
        expectError(naming: "missing.json", "No such file") { try training("x", tokenizer: "missing.json").lines() }
        var command = try training("x")
        command.documents = "lines"
        expectError(
            "--documents lines: expected none or files with --tokenizer bpe, whose tokens may have the byte among others"
        ) { try command.lines() }
    }

    @Test("The built-in corpus is trained on without what is known of its bytes")
    func builtInCorpus() throws {
        var command = try training("run")
        (command.data, command.corpusLength) = ([], 20_000)
        try command.lines()
        try EvaluateCommand(source: ModelSource(run: workspace.path("run"))).run { _ in }
    }
}
