/// How well one model learned a text, and at what cost.
public struct TextOutcome: Codable, Sendable, Equatable {
    /// The architecture's id.
    public var model: String
    public var parameters: Int
    /// The width that gives so many parameters.
    public var width: Int
    /// Of the whole training.
    public var steps: Int, tokens: Int
    /// Of training steps alone; validations are not counted.
    public var seconds: Double
    /// Tokens trained on in a second: of the median step.
    public var tokensPerSecond: Double
    /// The most memory that tensors held at once in training: parameters, optimiser, activations, gradients.
    public var peakMegabytes: Double
    /// Tokens generated in a second, one sequence, after a prompt of `generationPrompt` tokens.
    public var generationTokensPerSecond: Double
    public var generationPrompt: Int
    /// The validations, in order.
    public var validations: [Validation]

    public struct Validation: Codable, Sendable, Equatable {
        public var step: Int, tokens: Int
        /// Of training before it.
        public var seconds: Double
        public var bitsPerByte: Double

        public init(step: Int, tokens: Int, seconds: Double, bitsPerByte: Double) {
            (self.step, self.tokens, self.seconds, self.bitsPerByte) = (step, tokens, seconds, bitsPerByte)
        }

        enum CodingKeys: String, CodingKey {
            case step, tokens, seconds
            case bitsPerByte = "bits_per_byte"
        }
    }

    /// The least of all validations.
    public var best: Double { validations.map(\.bitsPerByte).min() ?? .nan }

    public init(
        model: String, parameters: Int, width: Int, steps: Int, tokens: Int, seconds: Double, tokensPerSecond: Double,
        peakMegabytes: Double, generationTokensPerSecond: Double, generationPrompt: Int, validations: [Validation]
    ) {
        (self.model, self.parameters, self.width) = (model, parameters, width)
        (self.steps, self.tokens, self.seconds) = (steps, tokens, seconds)
        (self.tokensPerSecond, self.peakMegabytes) = (tokensPerSecond, peakMegabytes)
        self.generationTokensPerSecond = generationTokensPerSecond
        self.generationPrompt = generationPrompt
        self.validations = validations
    }

    enum CodingKeys: String, CodingKey {
        case model, parameters, width, steps, tokens, seconds, validations
        case tokensPerSecond = "tokens_per_second"
        case peakMegabytes = "peak_megabytes"
        case generationTokensPerSecond = "generation_tokens_per_second"
        case generationPrompt = "generation_prompt"
    }
}
