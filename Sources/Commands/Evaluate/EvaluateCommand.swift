import Foundation
import ModelZoo

/// `Evaluate`: bits per byte and perplexity of a text, or the numbers of one batch.
package struct EvaluateCommand: Sendable {
    /// The model to evaluate.
    package var source: ModelSource
    /// Files and folders of the text; none for the run's validation text.
    package var data: [String]
    /// The bytes of the built-in corpus to evaluate a run on it with, instead of its validation text, so that there are
    /// more questions.
    package var corpusLength: Int?
    /// Tokens in a window; nil for those of the training.
    package var sequenceLength: Int?
    /// Windows read at once, without influence on the result; nil for the usual number.
    package var batchSize: Int?
    /// True if the model's memory passes from window to window; nil: as in the training.
    package var carries: Bool?
    /// Parts of that memory that are forgotten before each segment, to measure what they are worth.
    package var forgotten: [String]
    /// A safetensors file of tokens and targets to compute the numbers of instead of a text's.
    package var batch: String?
    /// The safetensors file for the numbers of the batch.
    package var output: String?
    /// True if the gradients of all parameters are among them.
    package var gradients: Bool
    /// The form of the model's operations: plain or fused; nil: fused.
    package var implementation: String?
    /// Threads to use; nil for all processors.
    package var threads: Int?
    /// True if the result is printed as JSON.
    package var json: Bool

    /// Creates the command with values for its options.
    package init(
        source: ModelSource, data: [String] = [], corpusLength: Int? = nil, sequenceLength: Int? = nil,
        batchSize: Int? = nil, carries: Bool? = nil, forgotten: [String] = [], batch: String? = nil,
        output: String? = nil, gradients: Bool = false, implementation: String? = nil, threads: Int? = nil,
        json: Bool = false
    ) {
        self.source = source
        self.data = data
        self.corpusLength = corpusLength
        self.sequenceLength = sequenceLength
        self.batchSize = batchSize
        self.carries = carries
        self.forgotten = forgotten.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
        self.batch = batch
        self.output = output
        self.gradients = gradients
        self.implementation = implementation
        self.threads = threads
        self.json = json
    }

    private static let sequenceLengthUnlessKnown = 1024

    /// - Parameters:
    ///   - print: is given the result: lines for people, or with `json` one line of JSON.
    ///   - progress: is given the share of the text that has been read, from time to time.
    /// - Throws: `InputError` in one line.
    package func run(print: (String) -> Void, progress: (Double) -> Void = { _ in }) throws {
        try useThreads(threads)
        let form: Implementation = try implementation.map { try option("--implementation", $0) } ?? .fused
        guard let batch else { return try evaluateText(form, print, progress) }
        try refuse(
            [
                ("--data", !data.isEmpty), ("--corpus-length", corpusLength != nil),
                ("--sequence-length", sequenceLength != nil),
                ("--batch-size", batchSize != nil), ("--json", json), ("--carry", carries == true),
                ("--no-carry", carries == false), ("--forget", !forgotten.isEmpty),
            ], "cannot be combined with --batch")
        if gradients, let format = try source.weightFormat() {
            throw InputError("--weights-as \(format.rawValue): rounded weights have no --gradients; expected float")
        }
        guard let output else { throw InputError("--output is missing; expected a file for what --batch gives") }
        let model = try source.load().model
        let done = try model.evaluateBatch(
            batch, output: output, gradients: gradients, implementation: form)
        if !done.unread.isEmpty {
            source.note(
                "\(batch): not read: \(done.unread.joined(separator: ", ")); expected \"tokens\" and \"targets\"")
        }
        if let loss = done.loss, !loss.isFinite { throw notFinite("the loss is \(loss.text())", model) }
    }

    /// The error where what was measured is not finite.
    private func notFinite(_ measured: String, _ model: some LanguageModel) -> InputError {
        let culprit = model.firstWeightNotFinite.map { "the weights' \($0)" } ?? "all weights are finite"
        return InputError("\(source.run ?? source.weights ?? "the model"): \(measured); \(culprit)")
    }

    private func evaluateText(
        _ form: Implementation, _ print: (String) -> Void, _ progress: (Double) -> Void
    ) throws {
        try refuse([("--output", output != nil), ("--gradients", gradients)], "expected only with --batch")
        if let batchSize { try requireRange("--batch-size", batchSize, 1...1 << 24) }
        if data.isEmpty, source.run == nil {
            throw InputError("--data is missing; expected --data FILE, or --run FOLDER, or --batch FILE")
        }
        if !data.isEmpty { try refuse([("--corpus-length", corpusLength != nil)], "cannot be combined with --data") }
        // A text that cannot be read is found out before a model is loaded.
        let given = data.isEmpty ? nil : try TextSource(paths: data)
        let loaded = try source.load()
        let objective = loaded.objective
        let longest = loaded.model.maximumLength.map { objective.kind.windowLength(inRow: $0) }
        let length =
            sequenceLength ?? loaded.run?.training.sequenceLength ?? longest ?? Self.sequenceLengthUnlessKnown
        let (text, known) = try text(given, loaded, sequenceLength: length)
        let knowledge = objective == .nextToken ? known : nil  // what is known is how well the text can be foreseen
        let streams = try streams(loaded)
        let result = try loaded.model.evaluate(
            text, sequenceLength: length, batchSize: batchSize ?? 4, objective: objective, carries: streams,
            forgetting: Set(forgotten), questions: knowledge?.questions ?? [], implementation: form
        ) { progress(Double($0) / Double(text.count - 1)) }
        let findings = EvaluationFindings(
            result: result, sequenceLength: length, streams: streams, forgotten: forgotten,
            floor: knowledge?.bitsPerByte(0..<text.count, nil),
            windowFloor: streams ? nil : knowledge?.bitsPerByte(0..<text.count, length))
        print(json ? findings.json : findings.lines)
        if let measured = findings.notFinite { throw notFinite(measured, loaded.model) }
    }

    /// Tells whether each window continues the one before: as asked for, or as in the training.
    private func streams(_ loaded: ModelSource.Loaded) throws -> Bool {
        if carries == true && !loaded.model.carriesState {
            throw InputError("--carry: the model carries nothing from window to window")
        }
        return loaded.model.carriesState && carries ?? (loaded.run?.training.order == .sequential)
    }

    /// The text that is given, or what the run held back.
    private func text(
        _ given: TextSource?, _ loaded: ModelSource.Loaded, sequenceLength: Int
    ) throws -> (TokenSource, TextKnowledge?) {
        if let given {
            let tokens = try loaded.tokenizer.tokens(of: given)
            return (tokens.separated(by: loaded.run?.origin.documents ?? .nothing), nil)
        }
        return try loaded.run!.heldBackText(  // there is no other source without a text
            of: source.run!, loaded.tokenizer, insteadOf: "--data", corpusLength: corpusLength)
    }
}

/// The findings that `Evaluate` prints about a text.
private struct EvaluationFindings {
    let result: EvaluationResult
    let sequenceLength: Int
    /// True if each window continues the one before.
    let streams: Bool
    /// The parts of what passes that are forgotten.
    let forgotten: [String]
    let floor: Double?
    let windowFloor: Double?

    /// One line of JSON.
    var json: String {
        var members: [String: JSONValue] = [
            "bits_per_byte": .number(result.bitsPerByte), "perplexity": .number(result.perplexity),
            "loss": .number(result.loss), "tokens": .integer(result.tokens), "bytes": .integer(result.bytes),
            "sequence_length": .integer(sequenceLength), "carry": .bool(streams),
        ]
        if let name = result.objective.accuracyName { members[name] = result.accuracy.map { .number($0) } }
        if !forgotten.isEmpty { members["forgets"] = .array(forgotten.map { .string($0) }) }
        members["floor"] = floor.map { .number($0) }
        members["window_floor"] = windowFloor.map { .number($0) }
        for group in result.answers {
            members["answered_to_\(group.distance)"] = .number(group.share)
            members["asked_to_\(group.distance)"] = .integer(group.asked)
        }
        return JSONValue.object(members).description
    }

    /// A sentence on the numbers that are not finite; nil if all are.
    var notFinite: String? {
        let numbers = [
            ("loss", result.loss), ("bits per byte", result.bitsPerByte), ("perplexity", result.perplexity),
        ]
        guard let (name, value) = numbers.first(where: { !$0.1.isFinite }) else { return nil }
        let loss = result.loss.isFinite ? " (of a loss of \(result.loss.text("%.4g")) nats)" : ""
        return name == "bits per byte" ? "\(name) are \(value.text())" : "the \(name) is \(value.text())\(loss)"
    }

    var lines: String {
        var lines = [
            "bits per byte \(result.bitsPerByte.text("%.4f"))",
            "perplexity \(result.perplexity.text("%.4f")) a token, loss \(result.loss.text("%.4f")) nats",
            "\(result.tokens) tokens (\(result.bytes) bytes) predicted, in consecutive windows of \(sequenceLength)"
                + (streams ? ", each going on from the one before" : "")
                + (forgotten.isEmpty ? "" : " without its \(forgotten.joined(separator: " and "))"),
        ]
        if let share = result.accuracy {
            let isMasked = result.objective == .masked
            lines.append(
                String(format: isMasked ? "%.1f %% of the hidden tokens found" : "token accuracy %.2f %%", share * 100))
        }
        if let floor {
            let window = windowFloor.map { String(format: ", %.4f for one that sees only its window", $0) } ?? ""
            lines.append(String(format: "floor %.4f bits per byte", floor) + window)
        }
        for group in result.answers {
            lines.append(
                String(
                    format: "questions answered, %d to %d bytes back: %.1f %% of %d", group.leastDistance,
                    group.distance, group.share * 100, group.asked))
        }
        return lines.joined(separator: "\n")
    }
}
