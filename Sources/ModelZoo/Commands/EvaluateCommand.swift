import Foundation

/// `Evaluate`: bits per byte and perplexity of a text, or the numbers of one batch.
public struct EvaluateCommand: Sendable {
    public var source: ModelSource
    public var data: [String]
    public var sequenceLength: Int?
    public var batchSize: Int?
    public var batch: String?
    public var output: String?
    public var gradients: Bool
    public var threads: Int?
    public var json: Bool

    public init(
        source: ModelSource, data: [String] = [], sequenceLength: Int? = nil, batchSize: Int? = nil,
        batch: String? = nil, output: String? = nil, gradients: Bool = false, threads: Int? = nil, json: Bool = false
    ) {
        self.source = source
        self.data = data
        self.sequenceLength = sequenceLength
        self.batchSize = batchSize
        self.batch = batch
        self.output = output
        self.gradients = gradients
        self.threads = threads
        self.json = json
    }

    private static let sequenceLengthUnlessKnown = 1024

    /// - Parameters:
    ///   - print: is given the result: lines for people, or with `json` one line of JSON.
    ///   - progress: is given the share of the text that has been read, from time to time.
    /// - Throws: `InputError` in one line.
    public func run(print: (String) -> Void, progress: (Double) -> Void = { _ in }) throws {
        try useThreads(threads)
        guard let batch else { return try evaluateText(print, progress) }
        try refuse(
            [
                ("--data", !data.isEmpty), ("--sequence-length", sequenceLength != nil),
                ("--batch-size", batchSize != nil), ("--json", json),
            ], "cannot be combined with --batch")
        guard let output else { throw InputError("--output is missing; expected a file for what --batch gives") }
        try source.load().model.evaluateBatch(batch, output: output, gradients: gradients)
    }

    private func evaluateText(_ print: (String) -> Void, _ progress: (Double) -> Void) throws {
        try refuse([("--output", output != nil), ("--gradients", gradients)], "expected only with --batch")
        guard !data.isEmpty else { throw InputError("--data is missing; expected --data FILE or --batch FILE") }
        if let batchSize, batchSize < 1 {
            throw InputError("--batch-size: expected a whole number of at least 1, found \(batchSize)")
        }
        let text = try TextSource(paths: data)
        let loaded = try source.load()
        let tokens = try loaded.tokenizer.tokens(of: text)
        let length =
            sequenceLength ?? loaded.sequenceLength ?? loaded.model.maximumLength ?? Self.sequenceLengthUnlessKnown
        let result = try loaded.model.evaluate(tokens, sequenceLength: length, batchSize: batchSize ?? 4) {
            progress(Double($0) / Double(tokens.count - 1))
        }
        print(json ? result.json(sequenceLength: length) : result.lines(sequenceLength: length))
    }
}

extension EvaluationResult {
    /// One line of JSON.
    fileprivate func json(sequenceLength: Int) -> String {
        JSONValue.object([
            "bits_per_byte": .number(bitsPerByte), "perplexity": .number(perplexity), "loss": .number(loss),
            "tokens": .integer(tokens), "bytes": .integer(bytes), "sequence_length": .integer(sequenceLength),
        ]).description
    }

    fileprivate func lines(sequenceLength: Int) -> String {
        String(format: "bits per byte %.4f\nperplexity %.4f a token, loss %.4f nats\n", bitsPerByte, perplexity, loss)
            + "\(tokens) tokens (\(bytes) bytes) predicted, in consecutive windows of \(sequenceLength)"
    }
}
