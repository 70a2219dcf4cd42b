/// Linformer in the zoo: the language model, or with the keys of one the encoder–decoder.
public struct LinformerArchitecture: Architecture {
    public let id = "linformer"
    public let displayName = "Linformer"
    public let plotStyle: PlotStyle? = PlotStyle(color: 2, dash: 4, marker: 3)
    public let presetNames = ["tiny", "quick", "small", "reference"]

    /// Creates the entry.
    public init() {}

    public func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<LinformerModelConfiguration> {
        var configuration: LinformerLMConfiguration
        var training: TrainingDefaults
        switch name {
        case "tiny":  // Seconds: for tests and for trying the commands.
            configuration = LinformerLMConfiguration(tokens: 256, inputSize: 128, channels: 64)
            (configuration.stack.slots, configuration.stack.feedForwardDimension) = (32, 128)
            (configuration.stack.heads, configuration.stack.depth) = (2, 2)
            training = TrainingDefaults(sequenceLength: 128, batchSize: 8, length: .steps(200), learningRate: 3e-3)
        case "quick" where objective == .reverse:  // A minute: learns to say 64 bytes backwards.
            configuration = LinformerLMConfiguration(tokens: 256, inputSize: 64, channels: 64)
            (configuration.stack.slots, configuration.stack.feedForwardDimension) = (32, 128)
            (configuration.stack.heads, configuration.stack.depth) = (2, 2)
            training = TrainingDefaults(
                objective: .reverse, sequenceLength: 64, batchSize: 8, length: .steps(3000), learningRate: 3e-3,
                schedule: .cosine, warmupSteps: 20, learningRateFloor: 0.1, validateEvery: 500, validationShare: 0.125,
                sampleEvery: 1500, saveEvery: 500)
        case "quick":  // Less than a minute: learns the built-in corpus.
            configuration = LinformerLMConfiguration(tokens: 256, inputSize: 256, channels: 64)
            (configuration.stack.slots, configuration.stack.feedForwardDimension) = (128, 256)
            (configuration.stack.heads, configuration.stack.depth) = (2, 3)
            training = TrainingDefaults(
                sequenceLength: 256, batchSize: 4, length: .steps(3000), learningRate: 4e-3, schedule: .cosine,
                warmupSteps: 20, learningRateFloor: 0.1, validateEvery: 500, validationShare: 0.125, sampleEvery: 1500,
                saveEvery: 500)
        case "small":  // Minutes: learns a text of a megabyte on two cores.
            configuration = LinformerLMConfiguration(tokens: 256, inputSize: 256, channels: 256)
            (configuration.stack.slots, configuration.stack.feedForwardDimension) = (128, 1024)
            (configuration.stack.heads, configuration.stack.depth) = (4, 4)
            training = TrainingDefaults(
                sequenceLength: 256, batchSize: 8, length: .steps(2000), learningRate: 1e-3, schedule: .cosine,
                warmupSteps: 100, learningRateFloor: 0.1)
        case "reference":  // linformer-pytorch's own defaults of an encoder, at the size its users train.
            configuration = LinformerLMConfiguration(tokens: 256, inputSize: 1024, channels: 512)
            (configuration.stack.slots, configuration.stack.feedForwardDimension) = (128, 2048)
            (configuration.stack.heads, configuration.stack.depth) = (8, 6)
            training = TrainingDefaults(
                objective: .masked, sequenceLength: 1024, batchSize: 4, length: .steps(100_000), learningRate: 2e-4)
        default:
            throw unknown("preset", name, presetNames)
        }
        training = training.teaching(objective ?? training.objective)
        // Reversals are learned from slots of all tokens: 99.8 % of the tokens in the steps of quick, begun in turns 98.4 %.
        if name != "reference" && training.objective != .reverse { configuration.stack.projectionStart = .turns }
        // What is hidden is found by attending to its neighbors, which takes longer to learn in longer windows, in smaller
        // batches and in wider models.
        if training.objective == .masked && ["quick", "small"].contains(name) {
            (training.sequenceLength, training.batchSize) = (64, name == "quick" ? 32 : 64)
            (configuration.stack.inputSize, configuration.stack.slots) = (64, 32)
            if name == "small" {
                (configuration.stack.channels, configuration.stack.feedForwardDimension) = (128, 512)
                training.learningRate = 2e-3
            }
        }
        configuration.stack.causality = training.objective == .masked ? .bidirectional : .causal
        if training.objective == .nextToken && ["quick", "small"].contains(name) {
            configuration.readInSegments(window: name == "quick" ? 64 : 128)
            if name == "small" {
                (configuration.stack.inputSize, training.sequenceLength) = (512, 512)
                training.length = .steps(1000)
            }
        }
        configuration.setDropout(0)
        training.clip = 0.5
        let isReversal = training.objective == .reverse
        return Preset(
            configuration: isReversal
                ? .encoderDecoder(configuration.encoderDecoder) : .languageModel(configuration),
            training: training)
    }

    public func configuration(_ size: ModelSize) -> LinformerModelConfiguration {
        var configuration = LinformerLMConfiguration(
            tokens: size.vocabulary, inputSize: size.sequenceLength, channels: size.width)
        configuration.stack.slots = min(size.window, size.sequenceLength)
        configuration.stack.feedForwardDimension = 4 * size.width
        (configuration.stack.heads, configuration.stack.depth) = (size.heads, size.depth)
        // Whole vectors of 16 floats, where that changes the size by little: 34 columns are three of them, 32 two.
        let (columns, isWide) = (size.headDimension, size.headDimension >= 32 && size.headDimension % 16 < 4)
        configuration.stack.headDimension = isWide ? columns - columns % 16 : columns
        configuration.stack.projectionStart = .turns
        configuration.readInSegments(window: size.window)
        let hidden = configuration.stack.feedForwardDimension
        configuration.stack.feedForwardDimension = hidden >= 256 ? hidden - hidden % 16 : hidden
        configuration.setDropout(0)
        return .languageModel(configuration)
    }

    public func makeModel(_ configuration: LinformerModelConfiguration, key: RandomKey) throws -> any LanguageModel {
        switch configuration {
        case .encoderDecoder(let configuration):
            guard configuration.startToken != nil else {
                throw ConfigurationError("start_token", "is missing; expected the token between source and target")
            }
            return LinformerEncDec(configuration, key: key)
        case .languageModel(let configuration):
            for (key, isWrong) in [
                ("return_emb", configuration.returnsEmbeddings), ("decoder_mode", configuration.stack.isDecoder),
            ] where isWrong {
                throw ConfigurationError(key, "true is no language model; expected false")
            }
            return LinformerLM(configuration, key: key)
        }
    }
}

extension LinformerLMConfiguration {
    /// The same dropout in all places.
    fileprivate mutating func setDropout(_ probability: Double) {
        (stack.dropout, stack.feedForwardDropout, tokenDropout) = (probability, probability, probability)
    }

    /// Causal by segments, the form that learns text sooner than bounded memory, with short convolutions before attention and
    /// a gated feed-forward, whose three matrices have as many parameters as two of the width that is set.
    fileprivate mutating func readInSegments(window: Int) {
        stack.causality = .segments
        (stack.segments.window, stack.segments.maximum) = (window, 256)
        stack.segments.positions = .rotary
        stack.sharing = .none
        (stack.normalizesFirst, usesPositions) = (true, false)
        (stack.shortConvolution, stack.gatesFeedForward) = (4, true)
        stack.feedForwardDimension = stack.feedForwardDimension * 2 / 3
    }

    /// An encoder and a decoder of these sizes, the last token being the start token.
    fileprivate var encoderDecoder: LinformerEncDecConfiguration {
        var encoder = self
        encoder.stack.causality = .bidirectional
        return LinformerEncDecConfiguration(encoder: encoder, decoder: self, startToken: tokens - 1)
    }
}
