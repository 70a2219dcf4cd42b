/// Fast weights in the zoo.
struct FastWeightsArchitecture: Architecture {
    let id = "fast-weights"
    let presetNames = ["tiny", "quick", "small", "gated", "reference"]

    func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset {
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
        return Preset(configuration: configuration.json, training: training.teaching(objective ?? .nextToken))
    }

    func configuration(_ size: ModelSize) -> JSONValue {
        var configuration = FastWeightsConfiguration(tokens: size.vocabulary, width: size.width)
        (configuration.heads, configuration.layers) = (size.heads, size.depth)
        // Short convolutions have as many parameters as six hidden features.
        configuration.feedForwardDimension = max(4 * size.width - 8, size.width)
        configuration.takeRecipe()
        return configuration.json
    }

    func makeModel(_ configuration: JSONValue, file: String, key: RandomKey) throws -> any LanguageModel {
        try modelThatFits(configuration, file: file) {
            FastWeightsLM(try FastWeightsConfiguration($0, file: file), key: key)
        }
    }

    func configuration(_ configuration: JSONValue, vocabularySize: Int) -> JSONValue {
        configuration.setting(["n_vocab": .integer(vocabularySize)])
    }

    /// The memory takes sequences of any length.
    func configuration(_ configuration: JSONValue, sequenceLength: Int?, dropout: Double?) -> JSONValue {
        configuration.setting(["dropout": dropout.map { .number($0) }])
    }
}
