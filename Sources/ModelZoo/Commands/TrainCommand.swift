import Foundation

/// `Train`: what its options say, put together and run. Options that are nil were not given.
public struct TrainCommand: Sendable {
    public var model: String?
    public var preset: String?
    public var config: String?
    /// None for the built-in corpus.
    public var data: [String] = []
    /// Bytes of the built-in corpus to train on.
    public var corpusLength: Int?
    public var corpusSeed: UInt64?
    /// none, files, lines or byte:N.
    public var documents: String?
    public var validation: String?
    public var validationFraction: Double?
    public var tokenizer: String?
    public var order: String?
    /// next-token, masked or reverse; nil for that of the preset.
    public var objective: String?
    public var sequenceLength: Int?
    public var batchSize: Int?
    public var accumulate: Int?
    public var steps: Int?
    public var epochs: Double?
    public var minutes: Double?
    public var optimizer: String?
    public var learningRate: Double?
    public var schedule: String?
    public var warmup: Int?
    public var learningRateFloor: Double?
    public var weightDecay: Double?
    public var beta1: Double?
    public var beta2: Double?
    public var momentum: Double?
    /// 0 for no clipping.
    public var clip: Double?
    public var dropout: Double?
    public var validateEvery: Int?
    public var validationShare: Double?
    public var sampleEvery: Int?
    public var sampleLength: Int?
    public var saveEvery: Int?
    public var keep: Int?
    public var seed: UInt64?
    public var threads: Int?
    public var out: String?
    public var resume: String?

    public init() {}

    /// The end of a training.
    public enum Outcome: Sendable, Hashable {
        /// With its last step.
        case finished
        /// Because `stop` said so, after a save; `arguments` are those of a command line that goes on with the run.
        case stopped(arguments: [String])
    }

    /// Trains, or goes on with a run.
    /// - Parameters:
    ///   - report: is told what happens.
    ///   - prepared: called once model and text are there and the run's folder is about to be made: a process that is
    ///     ended earlier leaves nothing behind.
    ///   - stop: asked after each step, and while validating and sampling, whether to save and stop.
    /// - Throws: `InputError` in one line.
    @discardableResult
    public func run(
        report: @escaping (TrainingEvent) -> Void = { _ in }, prepared: @escaping () -> Void = {},
        stop: @escaping () -> Bool = { false }
    ) throws -> Outcome {
        try requireNames()
        try useThreads(threads)
        let host = TrainingHost(report: report, prepared: prepared, stop: stop)
        var command = self
        command.data = try data.map { try lastingName("--data", $0) }
        command.validation = try validation.map { try lastingName("--validation", $0) }
        return if let resume { try command.goOn(RunFolder(path: resume), host) } else { try command.begin(host) }
    }

    /// - Throws: `InputError` that names an option whose file or folder has no name.
    private func requireNames() throws {
        for (name, value, expected) in [
            ("--resume", resume, "the folder of a run"), ("--out", out, "a folder"), ("--config", config, "a file"),
            ("--validation", validation, "a file or a folder"),
        ] where value == "" { throw InputError("\(name) is empty; expected \(expected)") }
    }

    /// The callbacks that one training needs of the program around it.
    struct TrainingHost {
        let report: (TrainingEvent) -> Void
        let prepared: () -> Void
        let stop: () -> Bool
    }

    func train(_ run: TrainingRun<some LanguageModel>, _ host: TrainingHost) throws -> Outcome {
        var outcome = Outcome.finished
        try run.train(
            report: { event in
                if case .interrupted(_, _, let folder?) = event {
                    outcome = .stopped(arguments: argumentsToGoOn(with: folder))
                }
                host.report(event)
            }, stop: host.stop)
        return outcome
    }
}
