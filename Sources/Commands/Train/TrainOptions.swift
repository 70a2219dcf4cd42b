import ArgumentParser
import ModelZoo

// The options of Train by what they are about. Without a value they are left to the preset. Each group says once what its
// options do to a training.

/// The options about the text.
public struct TextOptions: ParsableArguments {
    /// Creates the options without values, as the parser needs.
    public init() {}

    @Option(
        parsing: .upToNextOption,
        help: "The text: files or folders; .gz is decompressed. (default: a text that is made here)")
    var data: [String] = []

    @Option(help: "Bytes of the text that is made here. (default: 4194304)")
    var corpusLength: Int?

    @Option(help: "What the text that is made here is drawn from. (default: 0)")
    var corpusSeed: UInt64?

    @Option(
        help:
            "What is a document: none (the whole text is one), files, lines, or what ends with byte:N. (default: none)"
    )
    var documents: String?

    @Option(help: "random windows, or sequential: each row of a batch goes on in the next. (default: random)")
    var order: String?

    @Option(
        help:
            """
            next-token, masked (hidden tokens from those on both sides), or reverse (each window backwards, after the \
            whole of it). (default: next-token, unless the preset is for another)
            """
    )
    var objective: String?

    @Option(help: "A text of its own to validate with.")
    var validation: String?

    @Option(help: "Without one: the share of the text, at its end, to hold back. (default: 0.1)")
    var validationFraction: Double?

    @Option(help: "bytes, characters, bpe:N (N tokens learned from the text), or FILE/tokenizer.json. (default: bytes)")
    var tokenizer: String?

    /// The changes to a preset's options.
    var settings: [TrainingSetting] {
        [TrainingSetting("--objective", objective, \.objective), TrainingSetting("--order", order, \.order)]
    }
}

/// The options about the steps and their number.
public struct StepOptions: ParsableArguments {
    /// Creates the options without values, as the parser needs.
    public init() {}

    @Option(help: "Tokens in a window.")
    var sequenceLength: Int?

    @Option(help: "Windows in a batch.")
    var batchSize: Int?

    @Option(help: "Batches in a step.")
    var accumulate: Int?

    @Option(help: "Steps to make, from the beginning of the run.")
    var steps: Int?

    @Option(help: "How often to predict each token of the text, on average.")
    var epochs: Double?

    @Option(help: "Minutes to train.")
    var minutes: Double?

    @Option(help: "The share of activations to drop, where the model has dropout.")
    var dropout: Double?

    /// The changes to a preset's options, but for the length, which a resumed run may have another of.
    var settings: [TrainingSetting] {
        [
            TrainingSetting("--sequence-length", sequenceLength, \.sequenceLength),
            TrainingSetting("--batch-size", batchSize, \.batchSize),
            TrainingSetting("--accumulate", accumulate, \.accumulate),
        ]
    }

    /// - Throws: `InputError` where more than one says how long a training is.
    func length() throws -> TrainingLength? {
        let given = [("--steps", steps != nil), ("--epochs", epochs != nil), ("--minutes", minutes != nil)].filter(\.1)
        guard given.count <= 1 else {
            throw InputError("\(given[1].0): cannot be combined with \(given[0].0); expected one of the two")
        }
        return steps.map { .steps($0) } ?? epochs.map { .epochs($0) } ?? minutes.map { .minutes($0) }
    }
}

/// The options about the optimizer and the learning rate.
public struct OptimizerArguments: ParsableArguments {
    /// Creates the options without values, as the parser needs.
    public init() {}

    @Option(help: "adam, adamw, sgd or adafactor.")
    var optimizer: String?

    @Option(help: "The greatest learning rate.")
    var learningRate: Double?

    @Option(help: "constant, cosine or noam.")
    var schedule: String?

    @Option(help: "Steps in which the learning rate rises from 0.")
    var warmup: Int?

    @Option(help: "Where the cosine schedule ends, as a share of the learning rate.")
    var learningRateFloor: Double?

    @Option(help: "Weight decay; of adamw apart from the gradient.")
    var weightDecay: Double?

    @Option(
        help: ArgumentHelp(
            "What weight decay is kept from: some of norms, biases, embeddings, with commas between them.",
            valueName: "roles"))
    var noDecay: String?

    @Option(
        help: ArgumentHelp(
            """
            Parameters with a learning rate or a weight decay of their own, such as 'to_logits.*:rate=10,decay=0': rate is a \
            factor, * stands for any characters. May be repeated; the first that matches counts.
            """, valueName: "pattern:rate=…,decay=…"))
    var group: [String] = []

    @Option(help: "Adam's decay rate of the first moment.")
    var beta1: Double?

    @Option(help: "Adam's decay rate of the second moment.")
    var beta2: Double?

    @Option(help: "The momentum of sgd.")
    var momentum: Double?

    @Flag(help: "Steps of adam and adamw in proportion to each parameter's size, as adafactor's always are.")
    var parameterScaled = false

    @Option(help: "The greatest global norm of the gradients; 0 for no limit.")
    var clip: Double?

    /// The changes to a preset's options; the optimizer comes first, as it brings constants of its own.
    var settings: [TrainingSetting] {
        [
            TrainingSetting("--optimizer", isGiven: optimizer != nil) {
                if let optimizer { $0.optimizer = try Self.optimizer(optimizer) }
            },
            TrainingSetting("--learning-rate", learningRate, \.learningRate, isForResumed: true),
            TrainingSetting("--schedule", schedule, \.schedule),
            TrainingSetting("--warmup", warmup, \.warmupSteps),
            TrainingSetting("--learning-rate-floor", learningRateFloor, \.learningRateFloor),
            TrainingSetting("--weight-decay", weightDecay, \.optimizer.weightDecay),
            TrainingSetting("--no-decay", isGiven: noDecay != nil) {
                if let noDecay { $0.optimizer.noDecay = try Self.roles(noDecay) }
            },
            TrainingSetting("--group", isGiven: !group.isEmpty) {
                if !group.isEmpty { $0.groups = try group.map(ParameterGroup.init(argument:)) }
            },
            TrainingSetting("--beta1", beta1, \.optimizer.beta1),
            TrainingSetting("--beta2", beta2, \.optimizer.beta2),
            TrainingSetting("--momentum", momentum, \.optimizer.momentum),
            TrainingSetting("--parameter-scaled", parameterScaled ? true : nil, \.optimizer.scalesByParameter),
            TrainingSetting("--clip", isGiven: clip != nil, isForResumed: true) {
                if let clip { $0.clip = clip == 0 ? nil : clip }
            },
        ]
    }

    /// The roles between commas.
    private static func roles(_ text: String) throws -> Set<ParameterRole> {
        Set(try text.split(separator: ",").map { try option("--no-decay", String($0)) })
    }

    /// An optimizer with torch's defaults.
    private static func optimizer(_ name: String) throws -> OptimizerOptions {
        switch try option("--optimizer", name) as OptimizerOptions.Kind {
        case .adam: .adam()
        case .adamW: .adamW()
        case .sgd: .sgd()
        case .adafactor: .adafactor()
        }
    }
}

extension ParameterGroup {
    /// The group of a `--group`.
    /// - Throws: `InputError` that names the option and what was expected.
    fileprivate init(argument: String) throws {
        let expected = "expected PATTERN:rate=FACTOR,decay=DECAY, one of the two at least"
        func error() -> InputError { InputError("--group \(argument): \(expected)") }
        guard let colon = argument.lastIndex(of: ":"), colon != argument.startIndex else { throw error() }
        self.init(String(argument[..<colon]))
        let parts = argument[argument.index(after: colon)...].split(separator: ",", omittingEmptySubsequences: false)
        for part in parts {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, let number = Double(pair[1]), number >= 0, number.isFinite else { throw error() }
            switch pair[0] {
            case "rate": rateFactor = number
            case "decay": weightDecay = number
            default: throw error()
            }
        }
    }
}

/// The options about the weights that a training begins from, and which of them it changes.
public struct BeginningOptions: ParsableArguments {
    /// Creates the options without values, as the parser needs.
    public init() {}

    @Option(
        name: .customLong("init"),
        help: ArgumentHelp(
            """
            Begin with trained weights: the folder of a run, whose model, tokenizer and training options count unless \
            others are given, or the weights' file or folder for --model.
            """, valueName: "run|weights"))
    var initialWeights: String?

    @Flag(help: "Take the weights that fit, and say which were not taken: for another vocabulary, head or size.")
    var initPartial = false

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Leave the parameters with these keys as they are; * stands for any characters.", valueName: "pattern"))
    var freeze: [String] = []

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Leave all but the parameters with these keys as they are.", valueName: "pattern"))
    var trainOnly: [String] = []

    /// The options and whether they are given.
    var given: [(name: String, isGiven: Bool)] {
        [
            ("--init", initialWeights != nil), ("--init-partial", initPartial), ("--freeze", !freeze.isEmpty),
            ("--train-only", !trainOnly.isEmpty),
        ]
    }
}

/// The options about validations, samples, saves, and what is printed.
public struct ProgressOptions: ParsableArguments {
    /// Creates the options without values, as the parser needs.
    public init() {}

    @Option(help: "Steps between two validations; 0 for none but the last.")
    var validateEvery: Int?

    @Option(help: "The share of the validation text to use. (default: all, but at most 262144 tokens)")
    var validationShare: Double?

    @Option(help: "Stop early: after so many validations in a row that are no better than the best.")
    var patience: Int?

    @Option(help: "Steps between two samples; 0 for none.")
    var sampleEvery: Int?

    @Option(help: "Tokens in a sample.")
    var sampleLength: Int?

    @Option(help: "Steps between two saves, beside those of the best validations; 0 for none but these and the last.")
    var saveEvery: Int?

    @Option(help: "Checkpoints to keep, at least; the latest and the best always are. (default: 1)")
    var keep: Int?

    @Flag(help: "Print a line of JSON for every event: started, step, sample, saved, warning, finished, interrupted.")
    var json = false

    @Flag(help: "Print nothing but errors.")
    var quiet = false

    /// The changes to a preset's options, and to those of a run that is resumed.
    var settings: [TrainingSetting] {
        [
            TrainingSetting("--validate-every", validateEvery, \.validateEvery, isForResumed: true),
            TrainingSetting("--validation-share", isGiven: validationShare != nil, isForResumed: true) {
                if let validationShare { $0.validationShare = validationShare }
            },
            TrainingSetting("--patience", isGiven: patience != nil, isForResumed: true) {
                if let patience { $0.patience = patience }
            },
            TrainingSetting("--sample-every", sampleEvery, \.sampleEvery, isForResumed: true),
            TrainingSetting("--sample-length", sampleLength, \.sampleLength, isForResumed: true),
            TrainingSetting("--save-every", saveEvery, \.saveEvery, isForResumed: true),
            TrainingSetting("--keep", keep, \.keepCheckpoints, isForResumed: true),
        ]
    }
}
