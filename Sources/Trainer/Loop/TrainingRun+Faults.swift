import NN
import Tensors

// The faults that end a training before its time: numbers that are not finite, files that cannot be written.

extension TrainingRun {
    /// The finding that numbers are no longer finite.
    enum Divergence {
        /// The next step: its loss and its gradients, of which nothing has been changed yet.
        case step(loss: Double, norm: Double, Gradients)
        /// After the last step: the validation, with its loss, or a sample.
        case validation(loss: Double)
        case sample
    }

    /// The fault of a training whose numbers are no longer finite. Whoever finds a weight that is not says the same.
    func diverged(_ finding: Divergence) -> TrainingFault {
        let weight = firstWeightNotFinite.map { "after step \(step): \($0)" }
        return TrainingFault(.notFinite, weight ?? problem(finding), advice: advice)
    }

    /// - Throws: `TrainingFault` when a weight is not finite: such a step is not saved, and ends no training.
    func requireFiniteWeights() throws {
        guard let weight = firstWeightNotFinite else { return }
        throw TrainingFault(.notFinite, "after step \(step): \(weight)", advice: advice)
    }

    /// Describes the numbers that are not finite although all weights are.
    private func problem(_ finding: Divergence) -> String {
        switch finding {
        case .step(let loss, let norm, let gradients):
            let gradient = firstNotFinite("the gradient of", { gradients[$0] }).map { $0 + largestWeight }
            let problem = loss.isFinite ? "the gradient's norm is \(norm.unsigned)" : "the loss is \(loss.unsigned)"
            return "step \(step + 1): \(problem); \(gradient ?? "all weights and gradients are finite")"
        case .validation(let loss):
            return "after step \(step): the validation loss is \(loss.unsigned)\(largestWeight)"
        case .sample:
            return "after step \(step): a sample's logits are not finite\(largestWeight)"
        }
    }

    private var firstWeightNotFinite: String? { model.firstWeightNotFinite.map { "the parameter \($0)" } }

    /// A note on where the numbers may have begun to grow: a loss that is not finite spoils all gradients at once.
    private var largestWeight: String {
        let sizes = model.trainable.map { key, parameter in
            (key: key, size: parameter.value.detached().contiguous().values.reduce(0) { max($0, abs($1)) })
        }
        guard let (key, size) = sizes.max(by: { $0.size < $1.size }) else { return "" }
        return ", while weights are finite, the largest of them \(size) in \(key)"
    }

    private func firstNotFinite(_ what: String, _ tensor: (Parameter) -> Tensor?) -> String? {
        for (key, parameter) in model.trainable {
            if let value = tensor(parameter)?.firstNotFinite { return "\(what) \(key) holds \(value.unsigned)" }
        }
        return nil
    }

    /// Advice on how to continue. The step after a checkpoint gives the same numbers again whatever the options: one
    /// before it is needed then. If nothing has been learned yet, no option of the optimizer has had a say.
    private var advice: OptionText {
        if step == 0 {
            return """
                ; nothing has been learned yet, so a lower learning rate would not help: look at the model's configuration \
                and its initial weights
                """
        }
        guard let folder, let saved = savedStep else { return "; try a lower learning rate, or clipping" }
        let rate = OptionMention(property: "learningRate", value: "\(options.learningRate / 2)")
        let clip: OptionText = "or with a lower \(option: "clip")"
        guard saved == step else {
            // Initial weights may be bad on some texts whatever the options.
            let otherwise = saved == 0 ? "; if the same comes again, look at the model's configuration" : ""
            return
                "; step \(saved) is saved: go on from it with \(resuming: folder.path, with: rate), \(clip)\(otherwise)"
        }
        guard let earlier = folder.savedSteps.last(where: { $0 < step }) else {
            return """
                ; no earlier checkpoint than that of step \(saved), from which the same would come again, is kept in \
                \(folder.path): begin again with a lower \(option: "learningRate"), \(option: "clip"), or longer \
                \(option: "warmupSteps")
                """
        }
        return """
            ; the same would come again from step \(saved): go on from an earlier one with \
            \(resuming: folder.checkpoint(earlier).path, with: rate), \(clip)
            """
    }

    /// Adds to an error in writing the run's files where the run stands.
    func writing(_ body: () throws -> Void) throws {
        do { try body() } catch let error as InputError {
            guard let folder, let saved = folder.savedSteps.last else { throw error }
            throw TrainingFault(
                .notWritten, error.message,
                advice: "; step \(saved) is saved: go on from it with \(resuming: folder.path) when this is mended")
        }
    }
}
