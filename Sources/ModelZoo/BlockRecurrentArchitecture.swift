/// Block-recurrent transformers in the zoo.
public struct BlockRecurrentArchitecture: Architecture {
    public let id = "block-recurrent"
    public let displayName = "Block-recurrent"
    public let plotStyle: PlotStyle? = PlotStyle(color: 4, dash: 2, marker: 5)
    public let presetNames = ["tiny", "quick", "small", "memory", "reference"]

    /// Creates the entry.
    public init() {}

    public func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<BlockRecurrentConfiguration> {
        try refuseMasked(objective, "block-recurrent transformers")
        var configuration: BlockRecurrentConfiguration
        var training: TrainingDefaults
        switch name {
        case "tiny":  // Seconds: for tests and for trying the commands.
            configuration = BlockRecurrentConfiguration(tokens: 256, dimension: 64, depth: 2)
            configuration.set(heads: 2, of: 32, block: 32, segment: 64, states: 16)
            training = TrainingDefaults(sequenceLength: 128, batchSize: 8, length: .steps(200), learningRate: 3e-3)
        case "quick":  // Less than a minute: learns the built-in corpus.
            configuration = BlockRecurrentConfiguration(tokens: 256, dimension: 64, depth: 3)
            configuration.set(heads: 2, of: 32, block: 64, segment: 256, states: 32)
            configuration.normalizedScale = 8
            training = TrainingDefaults(
                sequenceLength: 256, batchSize: 4, length: .steps(3000), learningRate: 4e-3, schedule: .cosine,
                warmupSteps: 20, learningRateFloor: 0.1, validateEvery: 500, validationShare: 0.125, sampleEvery: 1500,
                saveEvery: 500)
        case "small":  // Minutes: learns a text of a megabyte on two cores.
            configuration = BlockRecurrentConfiguration(tokens: 256, dimension: 256, depth: 4)
            configuration.set(heads: 4, of: 64, block: 128, segment: 512, states: 64)
            configuration.normalizedScale = 8
            training = TrainingDefaults(sequenceLength: 512, batchSize: 8, length: .steps(1000), learningRate: 1e-3)
        case "memory":  // Minutes: states that stay apart, above a layer in which tokens know the ones before them.
            configuration = BlockRecurrentConfiguration(tokens: 256, dimension: 128, depth: 4)
            configuration.set(heads: 4, of: 32, block: 64, segment: 512, states: 64)
            configuration.recurrentLayers = [3]
            (configuration.normalizedScale, configuration.identifierScale) = (16, 3)
            (configuration.gate, configuration.forgetBias) = (.lstm, 3)
            training = TrainingDefaults(
                sequenceLength: 512, batchSize: 8, length: .steps(4000), learningRate: 3e-3, schedule: .cosine,
                warmupSteps: 50, learningRateFloor: 0.1, validateEvery: 500, validationShare: 0.125)
        case "reference":  // The peer's train.py.
            configuration = BlockRecurrentConfiguration(tokens: 256, dimension: 512, depth: 6)
            configuration.recurrentLayers = [4]
            (configuration.memoriesDropout, configuration.stateDropout) = (0.1, 0.1)
            training = TrainingDefaults(
                sequenceLength: 2048, batchSize: 4, accumulate: 4, length: .steps(100_000), learningRate: 1e-4)
        default:
            throw unknown("preset", name, presetNames)
        }
        training.clip = 0.5
        // Streams are what memories and states are for; the peer trains on windows.
        if ["quick", "small", "memory"].contains(name), objective ?? .nextToken == .nextToken {
            training.order = .sequential
        }
        return Preset(configuration: configuration, training: training.teaching(objective ?? .nextToken))
    }

    public func configuration(_ size: ModelSize) -> BlockRecurrentConfiguration {
        var configuration = BlockRecurrentConfiguration(
            tokens: size.vocabulary, dimension: size.width, depth: size.depth)
        // A segment is a sequence, so that gradients pass through all of it as in the other architectures; whole blocks.
        let blocks = max(1, (size.sequenceLength + size.window - 1) / size.window)
        configuration.set(
            heads: size.heads, of: size.headDimension, block: size.window, segment: blocks * size.window,
            states: max(size.window / 2, 1))
        configuration.normalizedScale = 8
        return configuration
    }

    public func makeModel(_ configuration: BlockRecurrentConfiguration, key: RandomKey) -> any LanguageModel {
        BlockRecurrentTransformer(configuration, key: key)
    }
}

extension BlockRecurrentConfiguration {
    fileprivate mutating func set(heads: Int, of width: Int, block: Int, segment: Int, states: Int) {
        (self.heads, headDimension) = (heads, width)
        (blockWidth, maximumLength, stateVectors) = (block, segment, states)
    }
}
