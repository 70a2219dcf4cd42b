/// The plain transformer in the zoo: the baseline of the others.
struct TransformerArchitecture: Architecture {
    let id = "transformer"
    let presetNames = ["tiny", "quick", "small", "reference"]

    func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset {
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
        return Preset(configuration: configuration.json, training: training.teaching(objective ?? .nextToken))
    }

    func configuration(_ size: ModelSize) -> JSONValue {
        var configuration = TransformerConfiguration(
            tokens: size.vocabulary, dimension: size.width, depth: size.depth)
        (configuration.heads, configuration.headDimension) = (size.heads, size.headDimension)
        return configuration.json
    }

    func makeModel(_ configuration: JSONValue, file: String, key: RandomKey) throws -> any LanguageModel {
        try modelThatFits(configuration, file: file) {
            Transformer(try TransformerConfiguration($0, file: file), key: key)
        }
    }

    func configuration(_ configuration: JSONValue, vocabularySize: Int) -> JSONValue {
        configuration.setting(["num_tokens": .integer(vocabularySize)])
    }

    /// Rotary positions take sequences of any length.
    func configuration(_ configuration: JSONValue, sequenceLength: Int?, dropout: Double?) -> JSONValue {
        configuration.setting([
            "attn_dropout": dropout.map { .number($0) }, "ff_dropout": dropout.map { .number($0) },
        ])
    }
}
