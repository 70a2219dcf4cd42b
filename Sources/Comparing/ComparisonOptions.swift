import ModelZoo

/// What all models of a comparison have in common; the results of a folder are of one set of them.
public struct ComparisonOptions: Codable, Sendable, Equatable {
    /// Parameters that every model of text and scale has, within 5 %.
    public var parameters = 1_000_000
    /// What parameters, windows and tasks are drawn from.
    public var seed: UInt64 = 0
    /// Of `--task text` alone.
    public var text = TextOptions()
    /// Of `--task recall` alone.
    public var recall = RecallOptions()
    /// Of `--task scale` alone.
    public var scale = ScaleOptions()

    /// Those of the command line without options.
    public init() {}
}

/// `--task text`.
public struct TextOptions: Codable, Sendable, Equatable {
    /// Of training, for each model and text; nil where `steps` says how long.
    public var minutes: Double? = 5
    public var steps: Int?
    /// Tokens in a window, windows in a batch.
    public var sequenceLength = 512, batchSize = 8
    /// After a warm-up the same from step to step, for every model.
    public var learningRate = 3e-3
    /// Random windows, in which nothing comes from before the window for any model, or windows one after another, so that
    /// what carries something along can.
    public var order = DataOrder.random
    /// Steps between two validations.
    public var validateEvery = 50

    enum CodingKeys: String, CodingKey {
        case minutes, steps, order
        case validateEvery = "validate_every"
        case sequenceLength = "sequence_length"
        case batchSize = "batch_size"
        case learningRate = "learning_rate"
    }
}

/// `--task recall`.
public struct RecallOptions: Codable, Sendable, Equatable {
    /// Of training, for each model and task; nil where `steps` says how long.
    public var minutes: Double? = 2
    public var steps: Int?
    /// After a warm-up the same from step to step, for every model.
    public var learningRate = 3e-3

    enum CodingKeys: String, CodingKey {
        case minutes, steps
        case learningRate = "learning_rate"
    }
}

/// `--task scale`.
public struct ScaleOptions: Codable, Sendable, Equatable {
    /// The longest sequence; each is twice the one before, from 512.
    public var longest = 262_144
    /// What one pass may take.
    public var budgetSeconds = 60.0
    public var budgetMegabytes = 8192.0

    enum CodingKeys: String, CodingKey {
        case longest
        case budgetSeconds = "budget_seconds"
        case budgetMegabytes = "budget_megabytes"
    }
}
