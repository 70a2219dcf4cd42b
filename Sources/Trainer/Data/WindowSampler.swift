import Tensors

/// Windows from random places of a text, for training.
///
/// Window number w of a seed (row r of batch b is w = b · batchSize + r) starts at a place that depends on seed and w
/// only: any batch can be had without those before it, so a resumed run sees what the interrupted one would have seen,
/// and two batches of four are the same windows as one of eight. All places at which a whole window fits are equally
/// likely, except the last tokens of documents, after which there is nothing to predict. A window that reaches beyond the
/// end of its document is padded from there on.
public struct WindowSampler: Sendable {
    private let source: TokenSource
    /// Tokens in a window.
    public let sequenceLength: Int
    /// Windows in a batch.
    public let batchSize: Int
    /// The seed that windows are drawn from.
    public let seed: UInt64

    /// - Throws: `InputError` when the text is shorter than `sequenceLength + 1` tokens, or has no document of two.
    public init(_ source: TokenSource, sequenceLength: Int, batchSize: Int, seed: UInt64) throws {
        require(
            sequenceLength > 0 && batchSize > 0,
            "WindowSampler: sequence length \(sequenceLength) and batch size \(batchSize) must be positive")
        try DataSplit.requireLength(of: source, sequenceLength: sequenceLength)
        try source.requireTarget(in: 0..<source.count - sequenceLength + 1)
        self.source = source
        self.sequenceLength = sequenceLength
        self.batchSize = batchSize
        self.seed = seed
    }

    /// The number of batches with as many targets as the text, rounded up: an epoch of random windows.
    public var batchesPerEpoch: Int {
        let targets = batchSize * sequenceLength
        return (source.count - 1 + targets - 1) / targets
    }

    /// Batch number `step`, counted from 0.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    public func batch(at step: Int) throws -> TokenBatch {
        require(step >= 0, "WindowSampler.batch: negative step \(step)")
        let rows = try (0..<batchSize).map { row in
            var generator = SplitMix64(seed: seed, stream: UInt64(step) &* UInt64(batchSize) &+ UInt64(row))
            return try window(&generator)
        }
        return try TokenBatch(source, rows: rows, length: sequenceLength)
    }

    private func window(_ generator: inout SplitMix64) throws -> TokenBatch.Row {
        while true {
            let start = generator.next(below: source.count - sequenceLength)
            let end = try source.documentEnd(after: start, limit: start + sequenceLength + 1)
            if end - start >= 2 { return .init(tokens: start..<end, startsDocument: true) }
        }
    }
}
