/// Linformer in the zoo: the language model, or with the keys of one the encoder–decoder.
struct LinformerArchitecture: Architecture {
    let id = "linformer"
    let presetNames = ["tiny", "quick", "small", "reference"]

    func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset {
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
        let json = training.objective == .reverse ? configuration.encoderDecoder.json : configuration.json
        return Preset(configuration: json, training: training)
    }

    func configuration(_ size: ModelSize) -> JSONValue {
        var configuration = LinformerLMConfiguration(
            tokens: size.vocabulary, inputSize: size.sequenceLength, channels: size.width)
        configuration.stack.slots = min(size.window, size.sequenceLength)
        configuration.stack.feedForwardDimension = 4 * size.width
        (configuration.stack.heads, configuration.stack.depth) = (size.heads, size.depth)
        configuration.stack.headDimension = size.headDimension
        configuration.stack.projectionStart = .turns
        configuration.readInSegments(window: size.window)
        configuration.setDropout(0)
        return configuration.json
    }

    func makeModel(_ configuration: JSONValue, file: String, key: RandomKey) throws -> any LanguageModel {
        if configuration.isEncoderDecoder {
            let options = try LinformerEncDecConfiguration(configuration, file: file)
            guard options.startToken != nil else {
                throw InputError("\(file): \"start_token\" is missing; expected the token between source and target")
            }
            return try modelThatFits(configuration, file: file) {
                LinformerEncDec(try LinformerEncDecConfiguration($0, file: file), key: key)
            }
        }
        let options = try LinformerLMConfiguration(configuration, file: file)
        for (key, isWrong) in [("return_emb", options.returnsEmbeddings), ("decoder_mode", options.stack.isDecoder)]
        where isWrong {
            throw InputError("\(file): \"\(key)\": true is no language model; expected false")
        }
        return try modelThatFits(configuration, file: file) {
            LinformerLM(try LinformerLMConfiguration($0, file: file), key: key)
        }
    }

    /// Sets the vocabulary; of an encoder–decoder that of both parts, the last token being the start token.
    func configuration(_ configuration: JSONValue, vocabularySize: Int) -> JSONValue {
        guard configuration.isEncoderDecoder else {
            return configuration.setting(["num_tokens": .integer(vocabularySize)])
        }
        return configuration.setting([
            "enc_num_tokens": .integer(vocabularySize), "dec_num_tokens": .integer(vocabularySize),
            "start_token": .integer(vocabularySize - 1),
        ])
    }

    /// Returns the longest row; of an encoder–decoder, source and target together.
    func rowLength(of configuration: JSONValue) -> Int? {
        func length(_ prefix: String) -> Int? { configuration.objectValue?[prefix + "input_size"]?.intValue }
        guard configuration.isEncoderDecoder else { return length("") }
        guard let source = length("enc_"), let target = length("dec_") else { return nil }
        let half = min(source, target)
        return half > .max / 2 ? nil : 2 * half
    }

    /// E and F are as long as the sequences; of an encoder–decoder, as source and target, the halves of a row.
    func configuration(_ configuration: JSONValue, sequenceLength: Int?, dropout: Double?) -> JSONValue {
        let prefixes = configuration.isEncoderDecoder ? ["enc_", "dec_"] : [""]
        let length = sequenceLength.map { JSONValue.integer(($0 + prefixes.count - 1) / prefixes.count) }
        let probability = dropout.map { JSONValue.number($0) }
        return prefixes.reduce(configuration) { configuration, prefix in
            configuration.setting([
                prefix + "input_size": length, prefix + "dropout": probability, prefix + "dropout_ff": probability,
                prefix + "dropout_tokens": probability,
            ])
        }
    }
}

extension JSONValue {
    /// True if this configures a `LinformerEncDec`.
    fileprivate var isEncoderDecoder: Bool {
        objectValue?.keys.contains { $0.hasPrefix("enc_") || $0.hasPrefix("dec_") } ?? false
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
