/// FLASH in the zoo.
public struct FLASHArchitecture: Architecture {
    public let id = "flash"
    public let displayName = "FLASH"
    public let plotStyle: PlotStyle? = PlotStyle(color: 0, dash: 1, marker: 1)
    public let presetNames = ["tiny", "quick", "small", "reference"]

    /// The peer's initial γ are 50 times smaller, with which recall is learned late (the model card).
    private static let gammaDeviation = 1.0

    /// Creates the entry.
    public init() {}

    public func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<FLASHConfiguration> {
        var configuration: FLASHConfiguration
        var training: TrainingDefaults
        switch name {
        case "tiny":  // Seconds: for tests and for trying the commands.
            configuration = FLASHConfiguration(tokens: 256, dimension: 64, depth: 2)
            configuration.groupSize = 32
            configuration.queryKeyDimension = 32
            training = TrainingDefaults(sequenceLength: 128, batchSize: 8, length: .steps(200), learningRate: 3e-3)
        case "quick":  // Less than a minute: learns the built-in corpus, and to answer what was said a few lines ago.
            configuration = FLASHConfiguration(tokens: 256, dimension: 64, depth: 3)
            configuration.groupSize = 256
            configuration.queryKeyDimension = 64
            training = TrainingDefaults(
                sequenceLength: 256, batchSize: 4, length: .steps(3000), learningRate: 4e-3, schedule: .cosine,
                warmupSteps: 20, learningRateFloor: 0.1, validateEvery: 500, validationShare: 0.125, sampleEvery: 1500,
                saveEvery: 500)
        case "small":  // Minutes: learns a text of a megabyte on two cores.
            configuration = FLASHConfiguration(tokens: 256, dimension: 256, depth: 4)
            configuration.groupSize = 128
            configuration.queryKeyDimension = 64
            training = TrainingDefaults(sequenceLength: 512, batchSize: 8, length: .steps(1000), learningRate: 1e-3)
        case "reference":  // The training script of flash-pytorch.
            configuration = FLASHConfiguration(tokens: 256, dimension: 512, depth: 8)
            configuration.groupSize = 256
            training = TrainingDefaults(
                sequenceLength: 1024, batchSize: 4, accumulate: 4, length: .steps(100_000), learningRate: 2e-4)
        default:
            throw unknown("preset", name, presetNames)
        }
        configuration.isCausal = objective != .masked
        // relu², FLASH's own, finds what it looks for with fewer tokens than the Laplace function.
        configuration.usesLaplace = name != "quick"
        if name == "quick" { configuration.gammaDeviation = Self.gammaDeviation }
        training.clip = 0.5
        return Preset(configuration: configuration, training: training.teaching(objective ?? .nextToken))
    }

    public func configuration(_ size: ModelSize) -> FLASHConfiguration {
        // Two units have as many parameters as a layer of attention and feed-forward (2202.10447, section 3.2).
        var configuration = FLASHConfiguration(
            tokens: size.vocabulary, dimension: size.width, depth: 2 * size.depth)
        (configuration.groupSize, configuration.queryKeyDimension) = (size.window, 64)
        (configuration.isCausal, configuration.usesLaplace) = (true, true)
        return configuration
    }

    public func makeModel(_ configuration: FLASHConfiguration, key: RandomKey) -> any LanguageModel {
        FLASHTransformer(configuration, key: key)
    }
}
