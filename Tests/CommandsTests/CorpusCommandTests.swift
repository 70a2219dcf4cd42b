import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// Training without a text at hand.
@Suite struct CorpusCommandTests {
    let workspace: Workspace

    init() throws { workspace = try Workspace() }

    func training(_ run: String) throws -> Train {
        var command = try workspace.tinyTraining(run)
        (command.data, command.corpusLength) = ([], 20_000)
        (command.validationShare, command.validateEvery) = (0.1, 1)
        (command.sequenceLength, command.schedule) = (128, "constant")
        return command
    }

    @Test("The metrics hold the floor and the answered questions")
    func theFloorAndTheQuestionsAreInTheMetrics() throws {
        var summary: TrainingSummary?
        var last: StepMetrics?
        try training("run").train(report: { event in
            if case .started(let found) = event { summary = found }
            if case .step(let metrics, _) = event { last = metrics }
        })
        let metrics = try #require(last).extra
        let floor = try #require(metrics["validation_floor"])
        // Of some 26 kB, near that of the source.
        #expect(abs(floor - Corpus.entropyPerByte) < 0.03)
        #expect(summary?.floor == floor)
        #expect(try #require(metrics["validation_window_floor"]) > floor)
        #expect(metrics["answered_by_chance"] == 1.0 / 16)
        // Shares of at most 32 questions each, of every distance that a text of this length has.
        for distance in ["_to_100", "_to_300", "_to_1000", "_to_3000", "_to_10000", ""] {
            let share = try #require(metrics["answered" + distance])
            #expect(share >= 0 && share <= 1)
        }
        #expect(try #require(metrics["validation_bits_per_byte"]) > floor)
    }

    @Test("A run on the corpus is resumed, and evaluated on its validation text")
    func aRunGoesOnWithItsCorpusAndIsEvaluatedOnWhatItHeldBack() throws {
        try training("whole").train()
        var parts = try training("parts")
        parts.steps = 1
        try parts.train()
        var on = try! Train.parse([])
        (on.resume, on.steps) = (workspace.path("parts"), 2)
        try on.train()
        #expect(try workspace.read("whole/weights.safetensors") == workspace.read("parts/weights.safetensors"))

        on.data = [try workspace.text()]
        expectError("--data: the run in \(workspace.path("parts")) is trained on the built-in corpus") {
            try on.train()
        }

        var lines = ""
        try EvaluateCommand(source: ModelSource(run: workspace.path("whole")), batchSize: 16).run(print: { lines += $0 }
        )
        #expect(lines.contains("\nfloor 0.2"))
        #expect(lines.contains("\nquestions answered, 101 to 300 bytes back: "))
        var json = ""
        try EvaluateCommand(source: ModelSource(run: workspace.path("whole")), batchSize: 16, json: true)
            .run(print: { json += $0 })
        let members = try JSONValue(parsing: json.utf8, file: "Evaluate").objectValue
        #expect(members?["floor"]?.doubleValue != nil && members?["answered_to_100"]?.doubleValue != nil)
    }

    @Test("A longer evaluation text begins with the validation text and has more questions")
    func moreOfTheCorpusHasMoreQuestions() throws {
        try training("run").train()
        let source = ModelSource(run: workspace.path("run"))
        func evaluate(_ length: Int?) throws -> (asked: Int, bytes: Int, bits: Double) {
            var json = ""
            try EvaluateCommand(source: source, corpusLength: length, batchSize: 16, json: true).run(print: {
                json += $0
            })
            let members = try #require(try JSONValue(parsing: json.utf8, file: "Evaluate").objectValue)
            let asked = members.filter { $0.key.hasPrefix("asked_to_") }.values.compactMap(\.intValue).reduce(0, +)
            return (
                asked, try #require(members["bytes"]?.intValue), try #require(members["bits_per_byte"]?.doubleValue)
            )
        }
        let run = try RunFolder(path: workspace.path("run")).configuration()
        let held = try #require(run.origin.corpus).validationLength
        let (usual, same, more) = (try evaluate(nil), try evaluate(held), try evaluate(held + 2000))
        #expect(usual == same)
        #expect(more.bytes >= held + 1999 && more.bytes < held + 2060 && more.asked > usual.asked)

        expectError("--corpus-length: expected a whole number from 1 to 2000000000, found 0") { try evaluate(0) }
        let text = try workspace.text()
        expectError("--corpus-length: cannot be combined with --data") {
            try EvaluateCommand(source: source, data: [text], corpusLength: 9).run(print: { _ in })
        }
        try workspace.tinyTraining("text").train()
        expectError(naming: "--corpus-length", "\(workspace.path("text"))", "built-in corpus") {
            try EvaluateCommand(source: ModelSource(run: workspace.path("text")), corpusLength: 9).run(print: { _ in })
        }
    }

    @Test("A changed validation text is refused, a changed training text is not")
    func aTextThatHasChangedIsNotWhatWasHeldBack() throws {
        var command = try workspace.tinyTraining("changed")
        let text = String(repeating: "a zoo by the river; ", count: 100)
        command.data = [try workspace.write(text, "changed.txt")]
        try command.train()
        let evaluation = EvaluateCommand(source: ModelSource(run: workspace.path("changed")))
        var lines = ""
        try evaluation.run(print: { lines += $0 })
        #expect(lines.contains("bits per byte"))
        try workspace.write("b" + text.dropFirst(), "changed.txt")  // training only: what was held back is the same
        try evaluation.run(print: { _ in })
        try workspace.write(text.dropLast() + "!", "changed.txt")
        let error = #expect(throws: InputError.self) { try evaluation.run(print: { _ in }) }
        #expect(error?.message.contains("(the last 10 %): differs from what the run in") ?? false)
        #expect(error?.message.hasSuffix("; expected --data with another text") ?? false)
    }

    @Test("A masked model is trained and evaluated")
    func aMaskedModelTrainsAndIsEvaluated() throws {
        var command = try workspace.tinyTraining("masked")
        command.objective = "masked"
        command.config = try workspace.configuration(name: "masked.json")
        expectError(
            naming: "\(workspace.path("masked.json"))", "\"num_tokens\"", "expected at least", "256",
            "--tokenizer bytes", "mask", "256"
        ) { try command.train() }
        command.config = try workspace.write(
            "{\"num_tokens\": 257, \"dim\": 8, \"depth\": 1, \"group_size\": 8, \"query_key_dim\": 4}", "masked.json")
        var last: StepMetrics?
        try command.train(report: { if case .step(let metrics, _) = $0 { last = metrics } })
        let accuracy = try #require(last?.extra["validation_masked_accuracy"])
        #expect(accuracy >= 0 && accuracy <= 1)
        var lines = ""
        try EvaluateCommand(source: ModelSource(run: workspace.path("masked"))).run(print: { lines += $0 })
        #expect(lines.contains(" % of the hidden tokens found"))
    }

    /// They are about predicted text.
    @Test("A masked model has no floor and no questions")
    func aMaskedModelOfTheCorpusIsNotAskedQuestions() throws {
        var command = try training("masked")
        command.objective = "masked"
        command.config = try workspace.write(
            "{\"num_tokens\": 257, \"dim\": 8, \"depth\": 1, \"group_size\": 8, \"query_key_dim\": 4}", "masked.json")
        var last: StepMetrics?
        try command.train(report: { if case .step(let metrics, _) = $0 { last = metrics } })
        #expect(try #require(last?.extra["validation_masked_accuracy"]) <= 1)
        #expect(last?.extra["answered"] == nil)
        var lines = ""
        try EvaluateCommand(source: ModelSource(run: workspace.path("masked")), batchSize: 16).run(print: {
            lines += $0
        })
        #expect(lines.contains("hidden tokens") && !lines.contains("floor") && !lines.contains("questions"))
    }

    @Test("A run on streams of documents is resumed exactly")
    func streamsOfDocumentsTrainAndGoOnExactly() throws {
        func streams(_ run: String) throws -> Train {
            var command = try workspace.tinyTraining(run, steps: 7)
            (command.order, command.documents) = ("sequential", "lines")
            return command
        }
        try streams("whole").train()
        var parts = try streams("parts")
        parts.steps = 3
        try parts.train()
        var on = try! Train.parse([])
        (on.resume, on.steps) = (workspace.path("parts"), 7)
        try on.train()
        #expect(try workspace.read("whole/weights.safetensors") == workspace.read("parts/weights.safetensors"))
        try workspace.tinyTraining("random", steps: 7).train()
        #expect(try workspace.read("whole/weights.safetensors") != workspace.read("random/weights.safetensors"))
    }
}
