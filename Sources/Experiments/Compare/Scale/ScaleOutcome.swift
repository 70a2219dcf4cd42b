/// The cost of one model at one sequence length: a batch of one sequence of random tokens.
package struct ScaleOutcome: Codable, Sendable, Equatable {
    /// The architecture's id, or `naive` for the baseline with all n² scores in memory.
    package var model: String
    /// n.
    package var length: Int
    /// Those of the model for sequences of n tokens: some have more the longer these are.
    package var parameters: Int
    /// The time of the pass without gradients over all n tokens; nil where the model was not run.
    package var forwardSeconds: Double?
    /// The time of the pass with gradients of the loss over all n tokens, and of its backward alone.
    package var trainingSeconds: Double?, backwardSeconds: Double?
    /// The time of one token generated after n tokens: the median of many, each of which finds one more in the state.
    /// `naive` has no state and computes all n again, the same each time: there it is the fastest of several passes.
    package var generationSeconds: Double?
    /// The most memory that tensors held at once in the pass with gradients, parameters included, in MB of 2²⁰ bytes.
    package var peakMegabytes: Double?
    /// The memory of the decoding state after n tokens; nil for `naive`, which has none.
    package var stateMegabytes: Double?
    /// The reason why this length is beyond the budgets, as in: would take about 90 s a pass, more than the 60 s
    /// allowed. nil if it is within them. Measurements made before that was known are kept: none, only the pass without
    /// gradients, or all.
    package var skipped: String?

    /// A model at a length, without measurements.
    package init(model: String, length: Int, parameters: Int, skipped: String? = nil) {
        (self.model, self.length, self.parameters, self.skipped) = (model, length, parameters, skipped)
    }

    enum CodingKeys: String, CodingKey {
        case model, length, parameters, skipped
        case forwardSeconds = "forward_seconds"
        case trainingSeconds = "training_seconds"
        case backwardSeconds = "backward_seconds"
        case generationSeconds = "generation_seconds"
        case peakMegabytes = "peak_megabytes"
        case stateMegabytes = "state_megabytes"
    }
}
