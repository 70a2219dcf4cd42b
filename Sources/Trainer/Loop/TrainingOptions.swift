import NN
import Tensors

/// The training options that the author of a preset recommends.
public typealias TrainingDefaults = TrainingOptions

/// The end of a training, counted from the beginning of the run, also where it is resumed.
public enum TrainingLength: Sendable, Hashable {
    case steps(Int)
    /// As many steps as predict each token of the text this many times on average; windows are random.
    case epochs(Double)
    /// The first step that ends after this many minutes of training is the last.
    case minutes(Double)
}

/// The order of windows of the text in batches, by the names that configurations have.
public enum DataOrder: String, Codable, CaseIterable, Sendable {
    /// Windows from random places.
    case random
    /// Each row continues where it stopped in the batch before, and a model that carries something carries it along.
    case sequential
}

/// The options of a training: everything but the model, the data, and the place of the results.
///
/// Where the program makes the batches itself, `objective`, `sequenceLength`, `batchSize` and the options of samples have no
/// effect, and `order` says whether each batch of tokens continues the one before.
public struct TrainingOptions: Sendable, Hashable {
    /// The objective that the model learns.
    public var objective: ObjectiveKind
    /// The order of windows in batches.
    public var order: DataOrder
    /// Tokens in a window.
    public var sequenceLength: Int
    /// Windows in a batch.
    public var batchSize: Int
    /// Batches whose gradients are averaged in one step.
    public var accumulate: Int
    /// The end of the training.
    public var length: TrainingLength
    /// The optimizer and its constants.
    public var optimizer: OptimizerOptions
    /// Parameters with a learning rate or a weight decay of their own; the first group that matches a key counts.
    public var groups: [ParameterGroup] = []
    /// The greatest learning rate.
    public var learningRate: Double
    /// The curve of the learning rate after the warm-up.
    public var schedule: LearningRateSchedule.Shape
    /// Steps in which the learning rate rises from 0.
    public var warmupSteps: Int
    /// The end of the cosine schedule, as a share of the learning rate.
    public var learningRateFloor: Double
    /// The greatest global norm of the gradients; they are scaled down to it. nil for no limit.
    public var clip: Double?
    /// Steps between two validations; 0 for none but the last.
    public var validateEvery: Int
    /// The share of the validation text that is used, from its beginning. nil for all of it, but at most
    /// `TrainingOptions.validationTokens`.
    public var validationShare: Double?
    /// Early stopping: how many validations in a row may be no better than the best before training stops; nil for no limit.
    public var patience: Int?
    /// Steps between two samples; 0 for none.
    public var sampleEvery: Int
    /// Tokens in a sample.
    public var sampleLength: Int
    /// Steps between two saves, beside those of the best validations; 0 for none but these and the last.
    public var saveEvery: Int
    /// The least number of checkpoints kept; the latest and the best are kept in any case.
    public var keepCheckpoints: Int
    /// The seed of windows and dropout.
    public var seed: UInt64

    /// The number of tokens a validation reads unless `validationShare` says otherwise.
    public static let validationTokens = 1 << 18

    /// Creates options; a run checks their ranges.
    public init(
        objective: ObjectiveKind = .nextToken, order: DataOrder = .random, sequenceLength: Int = 256,
        batchSize: Int = 8, accumulate: Int = 1,
        length: TrainingLength = .steps(1000),
        optimizer: OptimizerOptions = .adam(), learningRate: Double = 3e-4,
        schedule: LearningRateSchedule.Shape = .constant, warmupSteps: Int = 0, learningRateFloor: Double = 0,
        clip: Double? = nil, validateEvery: Int = 100, validationShare: Double? = nil, patience: Int? = nil,
        sampleEvery: Int = 500, sampleLength: Int = 256, saveEvery: Int = 100, keepCheckpoints: Int = 1,
        seed: UInt64 = 0
    ) {
        self.objective = objective
        self.order = order
        self.sequenceLength = sequenceLength
        self.batchSize = batchSize
        self.accumulate = accumulate
        self.length = length
        self.optimizer = optimizer
        self.learningRate = learningRate
        self.schedule = schedule
        self.warmupSteps = warmupSteps
        self.learningRateFloor = learningRateFloor
        self.clip = clip
        self.validateEvery = validateEvery
        self.validationShare = validationShare
        self.patience = patience
        self.sampleEvery = sampleEvery
        self.sampleLength = sampleLength
        self.saveEvery = saveEvery
        self.keepCheckpoints = keepCheckpoints
        self.seed = seed
    }
}

// MARK: Schema

extension TrainingOptions: CheckedOptions {
    static var defaults: TrainingOptions { TrainingOptions() }

    /// The keys and ranges of the options. Those of newer versions are written only where they have an effect.
    static let schema: [OptionField<TrainingOptions>] = [
        .choice("objective", \.objective),
        .choice("order", \.order),
        .whole("sequence_length", \.sequenceLength, in: lengths),
        .whole("batch_size", \.batchSize, in: 1...1 << 24),
        .whole("accumulate", \.accumulate, in: 1...1 << 20),
        .length,
        .part("optimizer", \.optimizer),
        .parts("groups", \.groups).written { !$0.groups.isEmpty },
        .number("learning_rate", \.learningRate, .positive),
        .choice("schedule", \.schedule),
        .whole("warmup", \.warmupSteps, in: 0...mostSteps, property: "warmupSteps"),
        .number("learning_rate_floor", \.learningRateFloor, .fraction),
        .number("clip", \.clip, .positive(atMostTenTo: 30)),
        .whole("validate_every", \.validateEvery, in: 0...mostSteps),
        .number("validation_share", \.validationShare, .share),
        .whole("patience", \.patience, in: 1...mostSteps).written { $0.patience != nil },
        .whole("sample_every", \.sampleEvery, in: 0...mostSteps),
        .whole("sample_length", \.sampleLength, in: 1...1 << 30),
        .whole("save_every", \.saveEvery, in: 0...mostSteps),
        .whole("keep_checkpoints", \.keepCheckpoints, in: 1...1 << 30),
        .seed("seed", \.seed),
    ]

    /// The lengths that a window may have.
    static let lengths = 1...1 << 30
    /// The greatest number of steps, and of steps between two of something: a million years of them.
    public static let mostSteps = 1 << 40
    /// The greatest number of tokens in a step: their numbers alone take 16 GB.
    public static let mostTokensPerStep = 1 << 31

    /// Checks the range of every option, and what cannot be together.
    /// - Throws: `OptionError` that names the first property that is wrong.
    public func validate() throws { try check() }

    func checkTogether() throws {
        let tokens = tokensPerStep
        guard tokens > Self.mostTokensPerStep else { return }
        throw OptionError(
            of: "batchSize",
            text: """
                \(option: "batchSize", "\(batchSize)") times \(option: "sequenceLength", "\(sequenceLength)") times \
                \(option: "accumulate", "\(accumulate)"): expected at most \(Self.mostTokensPerStep) tokens in a step, \
                found \(tokens == .max ? "more" : "\(tokens)")
                """)
    }

    /// Tokens in a step; `Int.max` where that is too small.
    var tokensPerStep: Int { Int.clampedProduct([accumulate, batchSize, sequenceLength]) }

    public init(from decoder: any Decoder) throws { try self.init(decoding: decoder) }

    public func encode(to encoder: any Encoder) throws { try json.encode(to: encoder) }
}

extension OptionField<TrainingOptions> {
    /// The end, under the key of its unit.
    fileprivate static var length: Self {
        Self(
            "length",
            read: { options, reader in
                let (steps, epochs, minutes) = (
                    try reader.optionalInt("steps", in: 1...TrainingOptions.mostSteps),
                    try reader.optionalDouble("epochs"), try reader.optionalDouble("minutes")
                )
                switch (steps, epochs, minutes) {
                case (let steps?, nil, nil): options.length = .steps(steps)
                case (nil, let epochs?, nil): options.length = .epochs(epochs)
                case (nil, nil, let minutes?): options.length = .minutes(minutes)
                default: throw reader.error("steps", "expected exactly one of steps, epochs, minutes")
                }
            },
            members: { options in
                switch options.length {
                case .steps(let steps): ["steps": .integer(steps)]
                case .epochs(let epochs): ["epochs": .number(epochs)]
                case .minutes(let minutes): ["minutes": .number(minutes)]
                }
            },
            check: { options in
                switch options.length {
                case .steps(let steps): try (1...TrainingOptions.mostSteps).check("length.steps", steps)
                case .epochs(let epochs):
                    try OptionLimits.positive(atMostTenTo: 9).check("length.epochs", epochs)
                case .minutes(let minutes):
                    try OptionLimits.positive(atMostTenTo: 9).check("length.minutes", minutes)
                }
            })
    }
}
