import Foundation
import ModelZoo

/// `Train`: what its options say, put together and run. Options that are nil were not given.
package struct TrainCommand: Sendable {
    /// The architecture's id.
    package var model: String?
    /// The name of a preset: configuration and training that the rest changes.
    package var preset: String?
    /// The file of a configuration in place of the preset's.
    package var config: String?
    /// None for the built-in corpus.
    package var data: [String] = []
    /// Bytes of the built-in corpus to train on.
    package var corpusLength: Int?
    /// The seed of the built-in corpus.
    package var corpusSeed: UInt64?
    /// none, files, lines or byte:N.
    package var documents: String?
    /// A file or folder of validation text.
    package var validation: String?
    /// The share of the text, at its end, that is held back to validate with.
    package var validationFraction: Double?
    /// The tokenizer's name: bytes or characters.
    package var tokenizer: String?
    /// The order of windows: random or sequential.
    package var order: String?
    /// next-token, masked or reverse; nil for that of the preset.
    package var objective: String?
    /// Tokens in a window.
    package var sequenceLength: Int?
    /// Windows in a batch.
    package var batchSize: Int?
    /// Batches whose gradients are averaged in one step.
    package var accumulate: Int?
    /// The number of steps; excludes `epochs` and `minutes`.
    package var steps: Int?
    /// The number of passes over the text, on average.
    package var epochs: Double?
    /// The minutes of training.
    package var minutes: Double?
    /// The optimizer's name: adam, adamw or sgd.
    package var optimizer: String?
    /// The greatest learning rate.
    package var learningRate: Double?
    /// The name of the learning rate's schedule.
    package var schedule: String?
    /// Steps in which the learning rate rises from 0.
    package var warmup: Int?
    /// The end of the cosine schedule, as a share of the learning rate.
    package var learningRateFloor: Double?
    /// Weight decay, per step and unit of learning rate.
    package var weightDecay: Double?
    /// Adam's decay rate of the first moment.
    package var beta1: Double?
    /// Adam's decay rate of the second moment.
    package var beta2: Double?
    /// The share of the last update that SGD keeps.
    package var momentum: Double?
    /// Steps of Adam and AdamW in proportion to each parameter's size.
    package var parameterScaled = false
    /// 0 for no clipping.
    package var clip: Double?
    /// The probability of dropout, in all places of the model.
    package var dropout: Double?
    /// Steps between two validations; 0 for none but the last.
    package var validateEvery: Int?
    /// The share of the validation text that is used, from its beginning.
    package var validationShare: Double?
    /// Steps between two samples; 0 for none.
    package var sampleEvery: Int?
    /// Tokens in a sample.
    package var sampleLength: Int?
    /// Steps between two saves; 0 for none but those of the best validations and the last.
    package var saveEvery: Int?
    /// The least number of checkpoints kept.
    package var keep: Int?
    /// The seed of parameters, windows and dropout.
    package var seed: UInt64?
    /// Threads to use; nil for all processors.
    package var threads: Int?
    /// The run folder to make.
    package var out: String?
    /// The run folder to resume.
    package var resume: String?

    /// Creates the command without options.
    package init() {}

    /// The end of a training.
    package enum Outcome: Sendable, Hashable {
        /// With its last step.
        case finished
        /// Because `stop` said so, after a save; `arguments` are those of a command line that resumes the run.
        case stopped(arguments: [String])
    }

    /// Trains, or resumes a run.
    /// - Parameters:
    ///   - report: called with each event.
    ///   - prepared: called once model and text are there and the run's folder is about to be made: a process that is
    ///     ended earlier leaves nothing behind.
    ///   - stop: asked after each step, and while validating and sampling, whether to save and stop.
    /// - Throws: `InputError` in one line.
    @discardableResult
    package func run(
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
