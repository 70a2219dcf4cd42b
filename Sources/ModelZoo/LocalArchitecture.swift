/// Local attention in the zoo.
public struct LocalArchitecture: Architecture {
    public let id = "local"
    public let displayName = "Local attention"
    public let plotStyle: PlotStyle? = PlotStyle(color: 1, dash: 3, marker: 2)
    public let presetNames = ["tiny", "quick", "small", "reference"]

    /// Creates the entry.
    public init() {}

    public func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<LocalConfiguration> {
        var configuration: LocalConfiguration
        var training: TrainingDefaults
        switch name {
        case "tiny":  // Seconds: for tests and for trying the commands.
            configuration = LocalConfiguration(tokens: 256, maximumLength: 128, dimension: 64, depth: 2, windowSize: 32)
            (configuration.attention.heads, configuration.attention.headDimension) = (2, 32)
            training = TrainingDefaults(sequenceLength: 128, batchSize: 8, length: .steps(200), learningRate: 3e-3)
        case "quick":  // Less than a minute: learns the built-in corpus.
            configuration = LocalConfiguration(tokens: 256, maximumLength: 256, dimension: 64, depth: 3, windowSize: 64)
            (configuration.attention.heads, configuration.attention.headDimension) = (2, 32)
            training = TrainingDefaults(
                sequenceLength: 256, batchSize: 4, length: .steps(3000), learningRate: 4e-3, schedule: .cosine,
                warmupSteps: 20, learningRateFloor: 0.1, validateEvery: 500, validationShare: 0.125, sampleEvery: 1500,
                saveEvery: 500)
        case "small":  // Minutes: learns a text of a megabyte on two cores.
            configuration = LocalConfiguration(
                tokens: 256, maximumLength: 512, dimension: 256, depth: 4, windowSize: 128)
            (configuration.attention.heads, configuration.attention.headDimension) = (4, 64)
            training = TrainingDefaults(sequenceLength: 512, batchSize: 8, length: .steps(1000), learningRate: 1e-3)
        case "reference":  // The training script of local-attention.
            configuration = LocalConfiguration(
                tokens: 256, maximumLength: 2048, dimension: 512, depth: 6, windowSize: 256)
            training = TrainingDefaults(
                sequenceLength: 2048, batchSize: 4, accumulate: 4, length: .steps(100_000), learningRate: 2e-4)
        default:
            throw unknown("preset", name, presetNames)
        }
        // Rotary positions learn the built-in corpus in a third of the steps that the bias takes.
        configuration.usesDynamicBias = name != "quick"
        configuration.attention.attention.isCausal = objective != .masked
        training.clip = 0.5
        return Preset(configuration: configuration, training: training.teaching(objective ?? .nextToken))
    }

    public func configuration(_ size: ModelSize) -> LocalConfiguration {
        var configuration = LocalConfiguration(
            tokens: size.vocabulary, maximumLength: size.sequenceLength, dimension: size.width, depth: size.depth,
            windowSize: size.window)
        configuration.attention.heads = size.heads
        configuration.attention.headDimension = size.headDimension
        configuration.attention.attention.isCausal = true
        configuration.usesDynamicBias = true
        return configuration
    }

    public func makeModel(_ configuration: LocalConfiguration, key: RandomKey) throws -> any LanguageModel {
        guard configuration.tokens != nil else {
            throw ConfigurationError(
                "num_tokens", "null is the layers alone; expected the size of the vocabulary")
        }
        return LocalTransformer(configuration, key: key)
    }
}
