/// The result of one model's training on a text, and its cost.
package struct TextOutcome: Codable, Sendable, Equatable {
    /// The text's name: that of its file, or `corpus` for the built-in one. A comparison may have several texts, each with
    /// a training of its own for each model.
    package var text: String
    /// The checksum of the tokens trained on and of those held out: tells one text from another of the same name.
    package var checksum: String
    /// The architecture's id.
    package var model: String
    /// The number of the model's parameters.
    package var parameters: Int
    /// The width that gives so many parameters.
    package var width: Int
    /// The steps and tokens of the whole training.
    package var steps: Int, tokens: Int
    /// The time of training steps alone, without validations.
    package var seconds: Double
    /// Tokens trained on in a second: of the median step; 0 where no step was made.
    package var tokensPerSecond: Double
    /// The most memory that tensors held at once in training: parameters, optimizer, activations, gradients.
    /// nil where the training ended with a fault.
    package var peakMegabytes: Double?
    /// Tokens generated in a second, one sequence, after a prompt of `generationPrompt` tokens: by the median time of a token.
    package var generationTokensPerSecond: Double
    /// Tokens in that prompt.
    package var generationPrompt: Int
    /// The validations, in order.
    package var validations: [Validation]
    /// The trainer's message if training ended before its time because numbers were no longer finite.
    package var fault: String?

    /// The bits per byte of the held-out text after so many steps.
    package struct Validation: Codable, Sendable, Equatable {
        /// The steps and tokens of training before it.
        package var step: Int, tokens: Int
        /// The seconds of training before it.
        package var seconds: Double
        /// The bits per byte of the held-out text.
        package var bitsPerByte: Double

        /// A validation after a step.
        package init(step: Int, tokens: Int, seconds: Double, bitsPerByte: Double) {
            (self.step, self.tokens, self.seconds, self.bitsPerByte) = (step, tokens, seconds, bitsPerByte)
        }

        enum CodingKeys: String, CodingKey {
            case step, tokens, seconds
            case bitsPerByte = "bits_per_byte"
        }
    }

    /// The least of all validations.
    package var best: Double { validations.map(\.bitsPerByte).min() ?? .nan }

    /// Creates the outcome of one model and text.
    package init(
        text: String, checksum: String, model: String, parameters: Int, width: Int, steps: Int, tokens: Int,
        seconds: Double, tokensPerSecond: Double,
        peakMegabytes: Double?, generationTokensPerSecond: Double, generationPrompt: Int, validations: [Validation],
        fault: String? = nil
    ) {
        (self.text, self.checksum, self.model) = (text, checksum, model)
        (self.parameters, self.width) = (parameters, width)
        (self.steps, self.tokens, self.seconds) = (steps, tokens, seconds)
        (self.tokensPerSecond, self.peakMegabytes) = (tokensPerSecond, peakMegabytes)
        self.generationTokensPerSecond = generationTokensPerSecond
        self.generationPrompt = generationPrompt
        (self.validations, self.fault) = (validations, fault)
    }

    enum CodingKeys: String, CodingKey {
        case text, checksum, model, parameters, width, steps, tokens, seconds, validations, fault
        case tokensPerSecond = "tokens_per_second"
        case peakMegabytes = "peak_megabytes"
        case generationTokensPerSecond = "generation_tokens_per_second"
        case generationPrompt = "generation_prompt"
    }
}
