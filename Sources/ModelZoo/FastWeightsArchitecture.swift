/// Fast weights in the zoo.
public struct FastWeightsArchitecture: Architecture {
    public let id = "fast-weights"
    public let displayName = "Fast weights"
    public let plotStyle: PlotStyle? = PlotStyle(color: 3, dash: 5, marker: 4)
    public let presetNames = ["tiny", "quick", "small", "gated", "reference"]

    /// Creates the entry.
    public init() {}

    public func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<FastWeightsConfiguration> {
        try refuseMasked(objective, "fast weights")
        var configuration: FastWeightsConfiguration
        var training: TrainingDefaults
        switch name {
        case "tiny":  // Seconds: for tests and for trying the commands.
            configuration = FastWeightsConfiguration(tokens: 256, width: 64)
            (configuration.heads, configuration.layers, configuration.feedForwardDimension) = (2, 2, 128)
            training = TrainingDefaults(sequenceLength: 128, batchSize: 8, length: .steps(200), learningRate: 3e-3)
        case "quick":  // Less than a minute: learns the built-in corpus.
            configuration = FastWeightsConfiguration(tokens: 256, width: 64)
            (configuration.heads, configuration.layers, configuration.feedForwardDimension) = (2, 3, 256)
            configuration.takeRecipe()
            training = TrainingDefaults(
                sequenceLength: 256, batchSize: 4, length: .steps(3000), learningRate: 4e-3, schedule: .cosine,
                warmupSteps: 20, learningRateFloor: 0.1, validateEvery: 500, validationShare: 0.125, sampleEvery: 1500,
                saveEvery: 500)
        case "small":  // Minutes: learns a text of a megabyte on two cores.
            configuration = FastWeightsConfiguration(tokens: 256, width: 256)
            (configuration.heads, configuration.layers, configuration.feedForwardDimension) = (4, 4, 1024)
            configuration.takeRecipe()
            training = TrainingDefaults(sequenceLength: 512, batchSize: 8, length: .steps(1000), learningRate: 1e-3)
        case "gated":  // As many parameters as small: the gated delta rule, gates in both branches.
            configuration = FastWeightsConfiguration(tokens: 256, width: 256)
            (configuration.heads, configuration.layers, configuration.feedForwardDimension) = (4, 4, 592)
            configuration.takeGatedRecipe()
            training = TrainingDefaults(sequenceLength: 512, batchSize: 8, length: .steps(1000), learningRate: 1e-3)
        case "reference":  // labml-nn's experiment: Tiny Shakespeare by characters, 128 epochs, Noam.
            configuration = FastWeightsConfiguration(tokens: 65)
            configuration.startsIdentical = true
            training = TrainingDefaults(
                sequenceLength: 128, batchSize: 16, length: .epochs(128),
                learningRate: LearningRateSchedule.noamPeak(modelDimension: 512, warmupSteps: 2000),
                schedule: .noam,
                warmupSteps: 2000)
        default:
            throw unknown("preset", name, presetNames)
        }
        training.clip = name == "reference" ? 1 : 0.5
        return Preset(configuration: configuration, training: training.teaching(objective ?? .nextToken))
    }

    public func configuration(_ size: ModelSize) -> FastWeightsConfiguration {
        var configuration = FastWeightsConfiguration(tokens: size.vocabulary, width: size.width)
        (configuration.heads, configuration.layers) = (size.heads, size.depth)
        // Short convolutions have as many parameters as six hidden features.
        configuration.feedForwardDimension = max(4 * size.width - 8, size.width)
        configuration.takeRecipe()
        return configuration
    }

    public func makeModel(_ configuration: FastWeightsConfiguration, key: RandomKey) -> any LanguageModel {
        FastWeightsLM(configuration, key: key)
    }
}
