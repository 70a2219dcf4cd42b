import ArgumentParser
import ModelZoo

/// `Train`: trains a language model on a text, or resumes a run.
///
/// The options of its groups are its members too: `train.batchSize` is `train.stepOptions.batchSize`.
@dynamicMemberLookup public struct Train: Command {
    /// The name, usage and help of the command.
    public static let configuration = CommandConfiguration(
        abstract: "Train a language model on a text.",
        usage: """
            Train --model ID [--preset NAME] [--config FILE] [--data PATH ...] [options]
            Train --init RUN [--data PATH ...] [options]
            Train --resume FOLDER [--steps N | --epochs N | --minutes M] [options]
            """,
        discussion: """
            On a terminal a line shows how the training stands; elsewhere there are plain lines. NO_COLOR turns colors \
            off. The first Ctrl-C, SIGTERM or SIGHUP finishes the step, saves, and says how to go on; another Ctrl-C \
            stops at once, with the loss of the steps since the last save.

            Exit codes: 0 trained to the end; 1 bad input, or something failed (one line on standard error); 3 the \
            training diverged: its numbers are no longer finite; 64 the command line could not be read; 130 stopped by \
            Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, 141 because nobody read the output any more, all of them after a save.
            """)

    /// Creates the command without values, as the parser needs.
    public init() {}

    @Option(help: "The architecture: \(Zoo.identifiers.joined(separator: ", ")).")
    var model: String?

    @Option(
        help:
            """
            Where configuration and training options come from unless given: tiny, quick, small or reference; fast-weights \
            has gated too, block-recurrent memory. (default: small, and quick without --data)
            """
    )
    var preset: String?

    @Option(help: "The model's configuration in place of the preset's: JSON with the peer's keyword names.")
    var config: String?

    @OptionGroup(title: "Beginning") var beginningOptions: BeginningOptions
    @OptionGroup(title: "Text") var textOptions: TextOptions
    @OptionGroup(title: "Steps") var stepOptions: StepOptions
    @OptionGroup(title: "Optimizer") var optimizerOptions: OptimizerArguments
    @OptionGroup(title: "Progress") var progressOptions: ProgressOptions

    @Option(help: "What the initial weights, windows and dropout are drawn from. (default: 0)")
    var seed: UInt64?

    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    @Option(help: "The run's folder. (default: runs/MODEL-1, or the next free number)")
    var out: String?

    @Option(help: "Go on with the run in this folder.")
    var resume: String?

    /// Runs the command; throws an error of one line, or `ExitCode`.
    public func run() throws {
        try TrainingDisplay(json: progressOptions.json, quiet: progressOptions.quiet).show(self)
    }
}

// MARK: Options of the groups

extension Train {
    /// An option about the weights at the beginning.
    public subscript<Value>(dynamicMember option: WritableKeyPath<BeginningOptions, Value>) -> Value {
        get { beginningOptions[keyPath: option] }
        set { beginningOptions[keyPath: option] = newValue }
    }

    /// An option about the text.
    public subscript<Value>(dynamicMember option: WritableKeyPath<TextOptions, Value>) -> Value {
        get { textOptions[keyPath: option] }
        set { textOptions[keyPath: option] = newValue }
    }

    /// An option about the steps.
    public subscript<Value>(dynamicMember option: WritableKeyPath<StepOptions, Value>) -> Value {
        get { stepOptions[keyPath: option] }
        set { stepOptions[keyPath: option] = newValue }
    }

    /// An option about the optimizer.
    public subscript<Value>(dynamicMember option: WritableKeyPath<OptimizerArguments, Value>) -> Value {
        get { optimizerOptions[keyPath: option] }
        set { optimizerOptions[keyPath: option] = newValue }
    }

    /// An option about what is measured, saved and printed.
    public subscript<Value>(dynamicMember option: WritableKeyPath<ProgressOptions, Value>) -> Value {
        get { progressOptions[keyPath: option] }
        set { progressOptions[keyPath: option] = newValue }
    }
}

// MARK: Without a terminal

extension Train {
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
    package func train(
        report: @escaping (TrainingEvent) -> Void = { _ in }, prepared: @escaping () -> Void = {},
        stop: @escaping () -> Bool = { false }
    ) throws -> Outcome {
        try requireNames()
        return try namingFlags {
            try useThreads(threads)
            let host = TrainingHost(report: report, prepared: prepared, stop: stop)
            var command = self
            command.textOptions.data = try textOptions.data.map { try lastingName("--data", $0) }
            command.textOptions.validation = try textOptions.validation.map { try lastingName("--validation", $0) }
            return if let resume { try command.goOn(RunFolder(path: resume), host) } else { try command.begin(host) }
        }
    }

    /// - Throws: `InputError` that names an option whose file or folder has no name.
    private func requireNames() throws {
        for (name, value, expected) in [
            ("--resume", resume, "the folder of a run"), ("--out", out, "a folder"), ("--config", config, "a file"),
            ("--validation", textOptions.validation, "a file or a folder"),
            ("--init", beginningOptions.initialWeights, "the folder of a run, or weights"),
        ] where value == "" { throw InputError("\(name) is empty; expected \(expected)") }
    }

    /// The callbacks that one training needs of the program around it.
    struct TrainingHost {
        let report: (TrainingEvent) -> Void
        let prepared: () -> Void
        let stop: () -> Bool
    }

    func finish(_ run: TrainingRun<some LanguageModel>, _ host: TrainingHost) throws -> Outcome {
        var outcome = Outcome.finished
        run.optionNames = .flags
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
