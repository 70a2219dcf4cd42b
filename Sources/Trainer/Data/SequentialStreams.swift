import NN
import Tensors

/// A text from beginning to end in as many streams as a batch has rows, again and again, for training: each row continues
/// where it stopped in the batch before, for models that carry a state along.
///
/// The targets are divided into `batchSize` parts of equal length (to within one), and row r walks through part r. Where a
/// document ends, the row is padded, and continues with the next document in the next batch, which says so
/// (`startsDocument`). A row that has come to its end is all padding until the others have too; then the next epoch begins.
/// In an epoch, every token but the first of each document is a target exactly once; no batch is all padding.
public struct SequentialStreams: Sendable {
    /// Tokens in a row of a batch.
    public let sequenceLength: Int
    /// Rows of a batch.
    public let batchSize: Int
    /// The number of batches until every token has been a target.
    public let batchesPerEpoch: Int
    /// The number of epochs completed.
    public private(set) var epoch = 0
    private let source: TokenSource
    /// The segment each row reads next; nil when it has come to its end.
    private var segments: [Range<Int>?] = []

    /// At the beginning of the text, of which all is read once if it has documents, to count the batches.
    /// - Throws: `InputError` when the text has fewer than two tokens, or no document has, so nothing to predict.
    public init(_ source: TokenSource, sequenceLength: Int, batchSize: Int) throws {
        require(
            sequenceLength > 0 && batchSize > 0,
            "SequentialStreams: sequence length \(sequenceLength) and batch size \(batchSize) must be positive")
        try DataSplit.requireLength(of: source, sequenceLength: 1)
        try source.requireTarget(in: 0..<source.count)
        self.source = source
        self.sequenceLength = sequenceLength
        self.batchSize = batchSize
        batchesPerEpoch = try (0..<batchSize).reduce(0) { most, row in
            try max(most, source.segmentCount(in: Self.part(row, of: batchSize, source), length: sequenceLength))
        }
        segments = try firstSegments()
    }

    /// The next batch, `[batchSize, sequenceLength]`.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    public mutating func next() throws -> TokenBatch {
        let rows = try segments.enumerated().map { row, segment in
            guard let segment else { return TokenBatch.Row(tokens: 0..<0, startsDocument: true) }
            let isFirst = segment.lowerBound == part(row).lowerBound
            let startsDocument = try isFirst || source.startsDocument(at: segment.lowerBound)
            return TokenBatch.Row(tokens: segment, startsDocument: startsDocument)
        }
        for (row, segment) in segments.enumerated() {
            if let segment { segments[row] = try self.segment(of: row, from: segment.upperBound - 1) }
        }
        if segments.allSatisfy({ $0 == nil }) {
            epoch += 1
            segments = try firstSegments()
        }
        return try TokenBatch(source, rows: rows, length: sequenceLength)
    }

    private func firstSegments() throws -> [Range<Int>?] {
        try (0..<batchSize).map { try segment(of: $0, from: part($0).lowerBound) }
    }

    private func segment(of row: Int, from position: Int) throws -> Range<Int>? {
        try source.segment(from: position, length: sequenceLength, end: part(row).upperBound)
    }

    /// The tokens of a row, inputs and targets: it shares its last one with the next row, there an input and no target.
    private func part(_ row: Int) -> Range<Int> { Self.part(row, of: batchSize, source) }

    private static func part(_ row: Int, of rows: Int, _ source: TokenSource) -> Range<Int> {
        let targets = source.count - 1
        return row * targets / rows..<(row + 1) * targets / rows + 1
    }
}

// MARK: Position

extension SequentialStreams {
    /// A position of streams, to resume there later with the same text, sequence length, and batch size.
    public struct Position: Sendable, Hashable {
        /// The number of epochs completed.
        public var epoch: Int
        /// The token that each row reads next; the end of its part when it has come to it.
        public var offsets: [Int]

        /// Creates a position of an epoch and the token that each row reads next.
        public init(epoch: Int, offsets: [Int]) {
            self.epoch = epoch
            self.offsets = offsets
        }

        /// The position as a run's state stores it.
        package var json: JSONValue {
            .object(["epoch": .integer(epoch), "offsets": .array(offsets.map(JSONValue.integer))])
        }

        /// - Parameter file: what messages call it.
        /// - Throws: `InputError` that names the file and the key.
        package init(_ json: JSONValue, file: String) throws {
            var reader = try ConfigurationReader(json, file: file)
            self.init(
                epoch: try reader.int("epoch", in: 0...TrainingOptions.mostSteps),
                offsets: try reader.ints("offsets", in: 0...))
            try reader.finish()
        }
    }

    /// The position that the next batch comes from.
    public var position: Position {
        let offsets = segments.enumerated().map { row, segment in segment?.lowerBound ?? part(row).upperBound }
        return Position(epoch: epoch, offsets: offsets)
    }

    /// Goes on from a position that streams of the same text, sequence length and batch size were at.
    /// - Throws: `InputError` that names the text when that cannot be.
    public mutating func move(to position: Position) throws {
        let offsets = position.offsets
        let isPossible =
            offsets.count == batchSize
            && offsets.enumerated().allSatisfy { (part($0).lowerBound...part($0).upperBound).contains($1) }
        let segments = try isPossible ? offsets.enumerated().map { try segment(of: $0, from: $1) } : []
        guard segments.contains(where: { $0 != nil }) else {
            throw InputError(
                "\(source.name): cannot be read on from \(offsets); expected a place in each of \(batchSize) equal parts"
                    + " of its \(source.count) tokens")
        }
        self.segments = segments
        epoch = position.epoch
    }
}

extension TokenSource {
    /// Counts the segments that the tokens of a part make.
    fileprivate func segmentCount(in part: Range<Int>, length: Int) throws -> Int {
        var count = 0
        try forEachDocument(in: part) { document in
            count += (document.count - 1 + length - 1) / length
            return true
        }
        return count
    }
}
