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

/// The order of windows of the text in batches, by the names that `--order` takes.
public enum DataOrder: String, Codable, CaseIterable, Sendable {
    /// Windows from random places.
    case random
    /// Each row continues where it stopped in the batch before, and a model that carries something carries it along.
    case sequential
}

/// The options of a training: everything but the model, the text, and the place of the results.
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
        clip: Double? = nil, validateEvery: Int = 100, validationShare: Double? = nil, sampleEvery: Int = 500,
        sampleLength: Int = 256, saveEvery: Int = 100, keepCheckpoints: Int = 1, seed: UInt64 = 0
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
        self.sampleEvery = sampleEvery
        self.sampleLength = sampleLength
        self.saveEvery = saveEvery
        self.keepCheckpoints = keepCheckpoints
        self.seed = seed
    }
}
