import NN
import Tensors

/// The examples of a language model's training, in the order that the options say: all that the loop knows of where they come
/// from.
struct BatchFeed {
    private enum Source {
        case windows(WindowSampler)
        case streams(SequentialStreams)
        /// Finished examples, and whether each batch continues the one before.
        case own(Batches<TokenBatch>, isContinuous: Bool)
    }

    private var source: Source
    private let objective: Objective
    /// The number of batches with as many targets as the text; nil where nothing says.
    let batchesPerEpoch: Double?

    /// - Throws: `InputError` when the text is too short.
    init(_ text: TokenSource, _ options: TrainingOptions, _ objective: Objective) throws {
        self.objective = objective
        switch options.order {
        case .random:
            source = .windows(
                try WindowSampler(
                    text, sequenceLength: options.sequenceLength, batchSize: options.batchSize, seed: options.seed))
            batchesPerEpoch = Double(text.count - 1) / Double(options.batchSize * options.sequenceLength)
        case .sequential:
            let streams = try SequentialStreams(
                text, sequenceLength: options.sequenceLength, batchSize: options.batchSize)
            source = .streams(streams)
            batchesPerEpoch = Double(streams.batchesPerEpoch)
        }
    }

    /// Feeds finished batches, in the order that they have.
    init(_ batches: Batches<TokenBatch>, _ options: TrainingOptions) {
        objective = .nextToken
        source = .own(batches, isContinuous: options.order == .sequential)
        batchesPerEpoch = batches.perEpoch.map(Double.init)
    }

    /// True if each row of a batch continues the same row of the batch before.
    var isContinuous: Bool {
        switch source {
        case .windows: false
        case .streams: true
        case .own(_, let isContinuous): isContinuous
        }
    }

    /// The next batch of examples, which is number `number` of the training, counted from 0.
    /// - Parameter key: what is random in the examples is drawn from it.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    mutating func next(_ number: Int, key: RandomKey) throws -> TokenBatch {
        if case .own(let batches, _) = source { return try batches.batch(number, key: key) }
        return try objective.examples(of: window(number), key: key)
    }

    private mutating func window(_ number: Int) throws -> TokenBatch {
        switch source {
        case .own: fatalError("BatchFeed: windows of no text")
        case .windows(let sampler): return try sampler.batch(at: number)
        case .streams(var streams):
            defer { source = .streams(streams) }
            return try streams.next()
        }
    }

    /// The position to resume from, beside the number of the next batch.
    var position: JSONValue {
        switch source {
        case .windows, .own: .null
        case .streams(let streams): streams.position.json
        }
    }

    /// Goes on from where another feed of the same text and options stood.
    /// - Throws: `InputError` that names the file when the position is none of this text.
    mutating func move(to position: JSONValue, file: String) throws {
        guard case .streams(var streams) = source else {
            guard position == .null else {
                throw InputError("\(file): has the place of a stream of a text; expected none, as the batches are made")
            }
            return
        }
        try streams.move(to: SequentialStreams.Position(position, file: file))
        source = .streams(streams)
    }
}
