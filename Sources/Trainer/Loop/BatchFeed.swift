import NN
import Tensors

/// The examples of a training, in the order that the options say: all that the loop knows of where they come from. Data that
/// are no windows of a text would be another source.
struct BatchFeed {
    private enum Source {
        case windows(WindowSampler)
        case streams(SequentialStreams)
    }

    private var source: Source
    private let objective: Objective
    /// The number of batches with as many targets as the text.
    let batchesPerEpoch: Double

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

    /// True if each row of a batch continues the same row of the batch before.
    var isContinuous: Bool { if case .streams = source { true } else { false } }

    /// The next batch of examples, which is number `number` of the training, counted from 0.
    /// - Parameter key: what is random in the examples is drawn from it.
    /// - Throws: `InputError` that names the text when it cannot be read any more.
    mutating func next(_ number: Int, key: RandomKey) throws -> TokenBatch {
        try objective.examples(of: window(number), key: key)
    }

    private mutating func window(_ number: Int) throws -> TokenBatch {
        switch source {
        case .windows(let sampler): return try sampler.batch(at: number)
        case .streams(var streams):
            defer { source = .streams(streams) }
            return try streams.next()
        }
    }

    /// The position to resume from, beside the number of the next batch.
    var position: JSONValue {
        switch source {
        case .windows: .null
        case .streams(let streams): streams.position.json
        }
    }

    /// Goes on from where another feed of the same text and options stood.
    /// - Throws: `InputError` that names the file when the position is none of this text.
    mutating func move(to position: JSONValue, file: String) throws {
        guard case .streams(var streams) = source else { return }
        try streams.move(to: SequentialStreams.Position(position, file: file))
        source = .streams(streams)
    }
}
