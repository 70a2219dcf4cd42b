import NN
import Tensors

/// A training that runs on a thread of its own while its events are read, one after another, as they happen.
///
///     for try await metrics in model.fit(text, options: options, folder: "runs/mine").metrics {
///         print(metrics.step, metrics.bitsPerByte)
///     }
///
/// It begins when it is iterated. When the task that reads is cancelled, or the loop is left, the training finishes its
/// step, saves and ends; a cancelled task still receives the events until then. Errors of the training are thrown by the
/// iteration. Iterate it once: a second iteration would be a second training.
public struct Training: AsyncSequence, Sendable {
    public typealias Element = TrainingEvent
    typealias Body = @Sendable (_ report: (TrainingEvent) -> Void, _ stop: () -> Bool) throws -> Void

    private let body: Body

    init(_ body: @escaping Body) { self.body = body }

    public func makeAsyncIterator() -> Iterator { Iterator(body) }

    /// An iterator that runs the training while it is asked for events.
    public struct Iterator: AsyncIteratorProtocol {
        private let reading: Reading

        init(_ body: @escaping Body) { reading = Reading(body) }

        public mutating func next() async throws -> TrainingEvent? { try await reading.channel.next() }
    }

    /// Ends the training when nobody reads it any more.
    private final class Reading: Sendable {
        let channel = Channel<TrainingEvent>()

        init(_ body: @escaping Body) {
            onThread("training") { [channel] in
                channel.finish(Result { try body({ channel.send($0) }, { channel.isStopWanted }) })
            }
        }

        deinit { channel.requestStop() }
    }

    /// The numbers of each step.
    public var metrics: AsyncCompactMapSequence<Training, StepMetrics> {
        compactMap { if case .step(let metrics, _) = $0 { metrics } else { nil } }
    }

    /// Trains to the end.
    /// - Returns: the numbers of the last step; nil where there was none to make.
    /// - Throws: what the training throws; `CancellationError` when the task is cancelled, after the run has been saved.
    @discardableResult
    public func run() async throws -> StepMetrics? {
        var last: StepMetrics?
        for try await metrics in metrics { last = metrics }
        try Task.checkCancellation()
        return last
    }
}

extension LanguageModel {
    /// Trains the model on a text. See `Training` for how to read its metrics, and `TrainingRun` for the same without
    /// concurrency.
    /// - Parameters:
    ///   - tokenizer: one whose vocabulary the model has.
    ///   - validationFraction: the share of the text, at its end, that is held back to validate with.
    ///   - folder: where to keep the run; nil to keep nothing but the model.
    ///   - origin: where model and text came from, for config.json: with an architecture of the zoo and its configuration
    ///     there, the commands can open the folder too.
    ///   - resumes: whether to resume the run in the folder, if there is one, until the length that `options` say. The
    ///     other options are then the run's.
    public func fit(
        _ text: TextSource, tokenizer: any Tokenizer = ByteTokenizer(), validationFraction: Double = 0.1,
        options: TrainingOptions = TrainingOptions(), folder: String? = nil, origin: RunOrigin = RunOrigin(),
        resumes: Bool = false
    ) -> Training {
        Training { report, stop in
            let split = try DataSplit(
                tokenizer.tokens(of: text), validationFraction: validationFraction,
                sequenceLength: options.sequenceLength)
            try train(
                split, tokenizer, options, folder: folder, origin: origin, resumes: resumes, report: report, stop: stop)
        }
    }

    /// Trains the model on one part of a text and validates it on another.
    public func fit(
        _ split: DataSplit, tokenizer: any Tokenizer = ByteTokenizer(), options: TrainingOptions = TrainingOptions(),
        folder: String? = nil, origin: RunOrigin = RunOrigin(), resumes: Bool = false
    ) -> Training {
        Training { report, stop in
            try train(
                split, tokenizer, options, folder: folder, origin: origin, resumes: resumes, report: report, stop: stop)
        }
    }

    /// Trains the model on batches of tokens that the program makes.
    ///
    ///     let batches = Batches { number, key in TokenBatch(rows: questions(64, key: key)) }
    ///     for try await metrics in model.fit(batches, options: options, folder: "runs/mine").metrics { … }
    /// - Parameters:
    ///   - validation: the batches to validate with; none for no validation.
    ///   - tokenizer: the tokenizer of the batches, with which the run's folder can be opened.
    ///   - folder: where to keep the run; nil to keep nothing but the model.
    ///   - resumes: whether to resume the run in the folder, if there is one, until the length that `options` say.
    public func fit(
        _ batches: Batches<TokenBatch>, validation: [TokenBatch] = [], tokenizer: any Tokenizer = ByteTokenizer(),
        options: TrainingOptions = TrainingOptions(), folder: String? = nil, origin: RunOrigin = RunOrigin(),
        resumes: Bool = false
    ) -> Training {
        Training { report, stop in
            let run =
                if resumes, let run = try RunFolder.existing(folder) {
                    try TrainingRun(
                        resuming: run, self, on: batches, validation: validation, tokenizer: tokenizer,
                        changing: { $0.length = options.length })
                } else {
                    try TrainingRun(
                        self, on: batches, validation: validation, tokenizer: tokenizer, options: options,
                        folder: folder, origin: origin)
                }
            try run.train(report: report, stop: stop)
        }
    }

    private func train(
        _ split: DataSplit, _ tokenizer: any Tokenizer, _ options: TrainingOptions, folder: String?,
        origin: RunOrigin, resumes: Bool, report: (TrainingEvent) -> Void, stop: () -> Bool
    ) throws {
        let run =
            if resumes, let run = try RunFolder.existing(folder) {
                try TrainingRun(
                    resuming: run, self, on: split, tokenizer: tokenizer, changing: { $0.length = options.length })
            } else {
                try TrainingRun(
                    self, on: split, tokenizer: tokenizer, options: options, folder: folder, origin: origin)
            }
        try run.train(report: report, stop: stop)
    }
}

extension Module {
    /// Trains the module on batches of the program's own, by a loss of its own.
    ///
    ///     let batches = Batches(of: examples, size: 32) { Points($0) }
    ///     let training = model.fit(batches, validation: [held], options: options, folder: "runs/mine") {
    ///         model, batch, mode in
    ///         meanSquaredError(model(batch.x, mode: mode), batch.y)
    ///     }
    ///     for try await metrics in training.metrics { print(metrics.step, metrics.loss) }
    /// - Parameters:
    ///   - batches: what each step learns from.
    ///   - validation: the batches to validate with; none for no validation.
    ///   - folder: where to keep the run; nil to keep nothing but the model.
    ///   - origin: where model and batches came from, for config.json.
    ///   - resumes: whether to resume the run in the folder, if there is one, until the length that `options` say. The
    ///     other options are then the run's.
    ///   - loss: the mean loss of a batch, of one element; without dropout and gradients where it validates.
    public func fit<Batch: Sendable>(
        _ batches: Batches<Batch>, validation: [Batch] = [], options: TrainingOptions = TrainingOptions(),
        folder: String? = nil, origin: RunOrigin = RunOrigin(), resumes: Bool = false,
        loss: @escaping @Sendable (_ module: Self, _ batch: Batch, _ mode: ForwardMode) throws -> Tensor
    ) -> Training {
        fit(batches, validation: validation, options: options, folder: folder, origin: origin, resumes: resumes) {
            BatchLoss(try loss($0, $1, $2))
        }
    }

    /// Trains the module on batches of the program's own, by a loss that says how many examples it is the mean of, and may have
    /// metrics beside it.
    public func fit<Batch: Sendable>(
        _ batches: Batches<Batch>, validation: [Batch] = [], options: TrainingOptions = TrainingOptions(),
        folder: String? = nil, origin: RunOrigin = RunOrigin(), resumes: Bool = false,
        loss: @escaping @Sendable (_ module: Self, _ batch: Batch, _ mode: ForwardMode) throws -> BatchLoss
    ) -> Training {
        Training { report, stop in
            let run =
                if resumes, let run = try RunFolder.existing(folder) {
                    try TrainingRun(
                        resuming: run, self, on: batches, validation: validation,
                        changing: { $0.length = options.length }, loss: loss)
                } else {
                    try TrainingRun(
                        self, on: batches, validation: validation, options: options, folder: folder, origin: origin,
                        loss: loss)
                }
            try run.train(report: report, stop: stop)
        }
    }
}

extension RunFolder {
    /// The run in a folder, if there is one.
    fileprivate static func existing(_ path: String?) throws -> RunFolder? {
        guard let path, isRun(path) else { return nil }
        return try RunFolder(path: path)
    }
}
