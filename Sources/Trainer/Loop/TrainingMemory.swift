import NN
import Tensors

// The memory of a training, as far as it is known before the first step, and what is said where it does not suffice.

extension TrainingOptions {
    /// Checks that memory holds a training beside the weights, which are there: gradients, the optimizer's moments, the
    /// tokens of a step, and the tensors that layers keep for the backward pass.
    /// - Throws: `OptionError` or `InputError` that says how much that is at least, and what to lower.
    func requireMemory(for model: some LanguageModel) throws {
        let parameters = parameterMemory(of: model)
        let tokens = tokensPerStep.timesClamped(2 * MemoryLayout<Int32>.stride)
        let activations = Int.clampedProduct([batchSize, longestSegment(of: model), model.leastActivations, 4])
        let bytes = [parameters, tokens, activations].reduce(0) { $0.plusClamped($1) }
        func requireRoom(remedy: String) throws {
            try MemoryLimits.requireRoom(
                for: bytes, "gradients, optimizer and activations of a step take at least", remedy: remedy)
        }
        guard parameters <= tokens.plusClamped(activations) else {
            return try requireRoom(remedy: "expected a smaller model")
        }
        do { try requireRoom(remedy: "lower ") } catch let error as InputError {
            let (option, value) = greatestOfBatch
            throw OptionError(of: option, text: "\(error.message)\(option: option), which is \(value)")
        }
    }

    /// Checks that memory holds gradients and the optimizer's moments beside the weights, which are there: all that is
    /// known of a training on batches that the program makes.
    /// - Throws: `InputError` that says how much that is.
    func requireParameterMemory(for model: some Module) throws {
        try MemoryLimits.requireRoom(
            for: parameterMemory(of: model), "gradients and optimizer take at least", remedy: "expected a smaller model"
        )
    }

    /// Bytes of the gradients and the optimizer's moments.
    private func parameterMemory(of model: some Module) -> Int {
        let moments = model.trainable.reduce(0) { $0.plusClamped(optimizer.momentCount(of: $1.parameter.shape)) }
        return model.parameterCount.plusClamped(moments).timesClamped(4)
    }

    /// Tokens of a row that are in one graph.
    private func longestSegment(of model: some LanguageModel) -> Int {
        guard model.carriesState, let most = model.maximumLength else { return sequenceLength }
        return min(most, sequenceLength)
    }

    private var greatestOfBatch: (option: String, value: Int) {
        batchSize >= sequenceLength ? ("batchSize", batchSize) : ("sequenceLength", sequenceLength)
    }
}

extension TrainingRun {
    /// A note on what is saved should memory not suffice in the middle of a step, and how to continue.
    var memoryNote: String { memoryAdvice.text(naming: optionNames) }

    private var memoryAdvice: OptionText {
        let remedy: OptionText = "try a smaller \(option: "batchSize") or \(option: "sequenceLength")"
        guard let folder else { return "nothing is saved; \(remedy)" }
        guard let saved = savedStep, saved > 0 else { return "no step is saved; \(remedy) in another folder" }
        return "step \(saved) is saved: go on from it with \(resuming: folder.path) when there is more memory"
    }
}
