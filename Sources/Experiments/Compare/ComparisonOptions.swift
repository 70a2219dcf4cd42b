import ModelZoo

/// The options that all models of a comparison share; the results of a folder have one set of them.
package struct ComparisonOptions: Codable, Sendable, Equatable {
    /// Parameters that every model of text and scale has, within 5 %.
    package var parameters = 1_000_000
    /// The seed of parameters, windows, and tasks.
    package var seed: UInt64 = 0
    /// The options of `--task text` alone.
    package var text = TextOptions()
    /// The options of `--task recall` alone.
    package var recall = RecallOptions()
    /// The options of `--task scale` alone.
    package var scale = ScaleOptions()
    /// The options of `--published`; nil where it was not given.
    package var published: PublishedRecallOptions?
    /// The changes of `--set` to the models; nil where it was not given.
    package var settings: ModelSettings?

    /// Those of the command line without options.
    package init() {}
}

/// `--task text`.
package struct TextOptions: Codable, Sendable, Equatable {
    /// The minutes of training for each model and text; nil where `steps` says how long.
    package var minutes: Double? = 5
    /// The steps of training; nil where `minutes` says how long.
    package var steps: Int?
    /// Tokens in a window, windows in a batch.
    package var sequenceLength = 512, batchSize = 8
    /// After a warm-up the same from step to step, for every model.
    package var learningRate = 3e-3
    /// Random windows, in which nothing comes from before the window for any model, or windows one after another, so that
    /// what carries something along can.
    package var order = DataOrder.random
    /// Steps between two validations.
    package var validateEvery = 50

    enum CodingKeys: String, CodingKey {
        case minutes, steps, order
        case validateEvery = "validate_every"
        case sequenceLength = "sequence_length"
        case batchSize = "batch_size"
        case learningRate = "learning_rate"
    }
}

/// `--task recall`.
package struct RecallOptions: Codable, Sendable, Equatable {
    /// The minutes of training for each model and task; nil where `steps` says how long.
    package var minutes: Double? = 2
    /// The steps of training; nil where `minutes` says how long.
    package var steps: Int?
    /// After a warm-up the same from step to step, for every model.
    package var learningRate = 3e-3

    enum CodingKeys: String, CodingKey {
        case minutes, steps
        case learningRate = "learning_rate"
    }
}

/// `--task scale`.
package struct ScaleOptions: Codable, Sendable, Equatable {
    /// The longest sequence; each is twice the one before, from 512.
    package var longest = 262_144
    /// The budget of one pass.
    package var budgetSeconds = 60.0
    /// The memory of one pass.
    package var budgetMegabytes = 8192.0

    enum CodingKeys: String, CodingKey {
        case longest
        case budgetSeconds = "budget_seconds"
        case budgetMegabytes = "budget_megabytes"
    }
}
