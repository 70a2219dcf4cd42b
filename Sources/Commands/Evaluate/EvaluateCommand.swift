import Foundation
import ModelZoo

/// `Evaluate`: bits per byte and perplexity of a text, or the numbers of one batch.
package struct EvaluateCommand {
    /// The model to evaluate.
    package var source: ModelSource
    var options: Evaluate

    private static let sequenceLengthUnlessKnown = 1024

    /// - Parameters:
    ///   - print: is given the result: lines for people, or with `json` one line of JSON.
    ///   - progress: is given the share of the text that has been read, from time to time.
    /// - Throws: `InputError` in one line.
    package func run(print: (String) -> Void, progress: (Double) -> Void = { _ in }) throws {
        try namingFlags { try evaluate(print, progress) }
    }

    private func evaluate(_ print: (String) -> Void, _ progress: (Double) -> Void) throws {
        try useThreads(options.threads)
        let form: Implementation = try options.implementation.map { try option("--implementation", $0) } ?? .fused
        guard let batch = options.batch else { return try evaluateText(form, print, progress) }
        try refuse(
            [
                ("--data", !options.data.isEmpty), ("--corpus-length", options.corpusLength != nil),
                ("--sequence-length", options.sequenceLength != nil),
                ("--batch-size", options.batchSize != nil), ("--json", options.json),
                ("--carry", options.carry == true),
                ("--no-carry", options.carry == false), ("--forget", !options.forgotten.isEmpty),
            ], "cannot be combined with --batch")
        if options.gradients, let format = try source.weightFormat() {
            throw InputError("--weights-as \(format.rawValue): rounded weights have no --gradients; expected float")
        }
        guard let output = options.output else {
            throw InputError("--output is missing; expected a file for what --batch gives")
        }
        let model = try source.load().model
        let done = try model.evaluateBatch(
            batch, output: output, gradients: options.gradients, implementation: form)
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
        try refuse(
            [("--output", options.output != nil), ("--gradients", options.gradients)], "expected only with --batch")
        if let batchSize = options.batchSize { try requireRange("--batch-size", batchSize, 1...1 << 24) }
        if options.data.isEmpty, source.run == nil {
            throw InputError("--data is missing; expected --data FILE, or --run FOLDER, or --batch FILE")
        }
        if !options.data.isEmpty {
            try refuse([("--corpus-length", options.corpusLength != nil)], "cannot be combined with --data")
        }
        // A text that cannot be read is found out before a model is loaded.
        let given = options.data.isEmpty ? nil : try TextSource(paths: options.data)
        let loaded = try source.load()
        let objective = loaded.objective
        let longest = loaded.model.maximumLength.map { objective.kind.windowLength(inRow: $0) }
        let length =
            options.sequenceLength ?? loaded.run?.training.sequenceLength ?? longest ?? Self.sequenceLengthUnlessKnown
        let (text, known) = try text(given, loaded, sequenceLength: length)
        let knowledge = objective == .nextToken ? known : nil  // what is known is how well the text can be foreseen
        let streams = try streams(loaded)
        let result = try loaded.model.evaluate(
            text, sequenceLength: length, batchSize: options.batchSize ?? 4, objective: objective, carries: streams,
            forgetting: Set(options.forgotten), questions: knowledge?.questions ?? [], implementation: form
        ) { progress(Double($0) / Double(text.count - 1)) }
        let findings = EvaluationFindings(
            result: result, sequenceLength: length, streams: streams, forgotten: options.forgotten,
            floor: knowledge?.bitsPerByte(0..<text.count, nil),
            windowFloor: streams ? nil : knowledge?.bitsPerByte(0..<text.count, length))
        print(options.json ? findings.json : findings.lines)
        if let measured = findings.notFinite { throw notFinite(measured, loaded.model) }
    }

    /// Tells whether each window continues the one before: as asked for, or as in the training.
    private func streams(_ loaded: ModelSource.Loaded) throws -> Bool {
        if options.carry == true && !loaded.model.carriesState {
            throw InputError("--carry: the model carries nothing from window to window")
        }
        return loaded.model.carriesState && options.carry ?? (loaded.run?.training.order == .sequential)
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
            of: source.run!, loaded.tokenizer, insteadOf: "--data", corpusLength: options.corpusLength)
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
