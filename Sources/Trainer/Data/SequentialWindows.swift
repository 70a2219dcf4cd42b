import Tensors

/// A text from beginning to end in windows, for validation and evaluation: of every document, every token but the very
/// first is a target exactly once.
///
/// The windows of a text that is one document make batches of whole windows, in order (the last of them may have fewer
/// rows); the shorter window that remains at the end is a batch of its own. The windows of several documents, each within
/// one of them, make batches as long as the longest of their rows. With `batchSize` 1 the batches follow one another in
/// the text, as a state carried from one to the next needs it.
public struct SequentialWindows: Sendable {
    private let source: TokenSource
    private let sequenceLength: Int
    private let batchSize: Int

    /// - Throws: `InputError` when the text has fewer than two tokens, or no document has, so nothing to predict.
    public init(_ source: TokenSource, sequenceLength: Int, batchSize: Int = 1) throws {
        require(
            sequenceLength > 0 && batchSize > 0,
            "SequentialWindows: sequence length \(sequenceLength) and batch size \(batchSize) must be positive")
        try DataSplit.requireLength(of: source, sequenceLength: 1)
        try source.requireTarget(in: 0..<source.count)
        self.source = source
        self.sequenceLength = sequenceLength
        self.batchSize = batchSize
    }

    /// The number of targets of all batches together. Reads the whole text if it has documents.
    public var targetCount: Int { get throws { try source.targetCount() } }

    /// At the first batch.
    public func makeIterator() -> Iterator {
        Iterator(source: source, sequenceLength: sequenceLength, batchSize: batchSize)
    }

    /// Gives one batch after another. (No `Sequence`: a text that has changed is an error of the next batch.)
    public struct Iterator {
        fileprivate let source: TokenSource
        fileprivate let sequenceLength: Int
        fileprivate let batchSize: Int
        private var position = 0

        fileprivate init(source: TokenSource, sequenceLength: Int, batchSize: Int) {
            self.source = source
            self.sequenceLength = sequenceLength
            self.batchSize = batchSize
        }

        /// The next batch; nil after the last.
        /// - Throws: `InputError` that names the text when it cannot be read any more.
        public mutating func next() throws -> TokenBatch? {
            var rows: [TokenBatch.Row] = []
            while rows.count < batchSize,
                let window = try source.segment(from: position, length: sequenceLength, end: source.count)
            {
                if source.separator == .nothing, let first = rows.first, first.tokens.count != window.count { break }
                let startsDocument = try batchSize > 1 || source.startsDocument(at: window.lowerBound)
                rows.append(.init(tokens: window, startsDocument: startsDocument))
                position = window.upperBound - 1
            }
            guard let longest = rows.map(\.tokens.count).max() else { return nil }
            return try TokenBatch(source, rows: rows, length: longest - 1)
        }
    }
}
