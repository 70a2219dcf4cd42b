/// The plain transformer in the zoo: the baseline of the others.
public struct TransformerArchitecture: Architecture {
    public let id = "transformer"
    public let displayName = "Transformer (full attention)"
    public let plotStyle: PlotStyle? = PlotStyle(color: 6, dash: 0, marker: 0)
    public let presetNames = ["tiny", "quick", "small", "reference"]

    /// Creates the entry.
    public init() {}

    public func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<TransformerConfiguration> {
        try refuseMasked(objective, "plain transformers")
        var configuration: TransformerConfiguration
        var training: TrainingDefaults
        switch name {
        case "tiny":  // Seconds: for tests and for trying the commands.
            configuration = TransformerConfiguration(tokens: 256, dimension: 64, depth: 2)
            (configuration.heads, configuration.headDimension) = (2, 32)
            training = TrainingDefaults(sequenceLength: 128, batchSize: 8, length: .steps(200), learningRate: 3e-3)
        case "quick":  // Less than a minute: learns the built-in corpus.
            configuration = TransformerConfiguration(tokens: 256, dimension: 64, depth: 3)
            (configuration.heads, configuration.headDimension) = (2, 32)
            training = TrainingDefaults(
                sequenceLength: 256, batchSize: 4, length: .steps(3000), learningRate: 4e-3, schedule: .cosine,
                warmupSteps: 20, learningRateFloor: 0.1, validateEvery: 500, validationShare: 0.125, sampleEvery: 1500,
                saveEvery: 500)
        case "small":  // Minutes: learns a text of a megabyte on two cores.
            configuration = TransformerConfiguration(tokens: 256, dimension: 256, depth: 4)
            (configuration.heads, configuration.headDimension) = (4, 64)
            training = TrainingDefaults(sequenceLength: 512, batchSize: 8, length: .steps(1000), learningRate: 1e-3)
        case "reference":  // As large as local attention's, trained as long.
            configuration = TransformerConfiguration(tokens: 256, dimension: 512, depth: 6)
            training = TrainingDefaults(
                sequenceLength: 2048, batchSize: 4, accumulate: 4, length: .steps(100_000), learningRate: 2e-4)
        default:
            throw unknown("preset", name, presetNames)
        }
        training.clip = 0.5
        return Preset(configuration: configuration, training: training.teaching(objective ?? .nextToken))
    }

    public func configuration(_ size: ModelSize) -> TransformerConfiguration {
        var configuration = TransformerConfiguration(
            tokens: size.vocabulary, dimension: size.width, depth: size.depth)
        (configuration.heads, configuration.headDimension) = (size.heads, size.headDimension)
        return configuration
    }

    public func makeModel(_ configuration: TransformerConfiguration, key: RandomKey) -> any LanguageModel {
        Transformer(configuration, key: key)
    }
}
