import NN
import Tensors
import Trainer

extension Fixture {
    /// Trains a model as the fixture says, whose weights it has, and returns the loss and the gradients' global norm of each
    /// step: [steps] each.
    ///
    /// `tokens` and `targets` of the file are [steps, b, n]; its metadata `training` has lr, clip, weight_decay, eps and
    /// optimizer: adam, where it is not said; adamw; or noam, Adam with that schedule (warmup, d_model; lr is its factor).
    /// - Parameter lossOf: the loss of tokens and targets, [b, n] each, where it is not the model's own of one segment.
    public func train(
        _ model: some LanguageModel, mode: ForwardMode = .inference,
        lossOf: ((_ tokens: TokenTensor, _ targets: TokenTensor) -> Tensor)? = nil
    ) throws -> (losses: Tensor, norms: Tensor) {
        let metadata = file.metadata["training"]!
        var training = try ConfigurationReader(JSONValue(parsing: metadata.utf8, file: name), file: name)
        let decay = try training.double("weight_decay")
        let kind = try training.optionalString("optimizer", oneOf: ["adam", "adamw", "noam"])
        let epsilon = try training.optionalDouble("eps") ?? 1e-8
        let optimizer = Optimizer(
            model.trainable,
            kind == "adamw"
                ? .adamW(epsilon: epsilon, weightDecay: decay) : .adam(epsilon: epsilon, weightDecay: decay))
        let (rate, clip) = (try training.double("lr"), try training.double("clip"))
        let schedule: LearningRateSchedule
        if kind == "noam" {
            let (warmup, dimension) = (try training.int("warmup"), try training.int("d_model"))
            let peak = LearningRateSchedule.noamPeak(modelDimension: dimension, warmupSteps: warmup, factor: rate)
            schedule = try LearningRateSchedule(.noam, peak: peak, warmupSteps: warmup)
        } else {
            schedule = try LearningRateSchedule(.constant, peak: rate)
        }
        let (tokens, targets) = (try file.tokens("tokens"), try file.tokens("targets"))
        var losses: [Float] = []
        var norms: [Float] = []
        for step in 0..<tokens.shape[0] {
            let (inputs, wanted) = (batch(tokens, step), batch(targets, step))
            let loss = lossOf?(inputs, wanted) ?? model.loss(inputs, wanted, mode: mode)
            let all = gradients(of: loss)
            let norm = optimizer.globalNorm(of: all)
            optimizer.update(
                all, learningRate: schedule.learningRate(at: step + 1),
                scale: Optimizer.clippingScale(norm: norm, limit: clip))
            losses.append(loss.item)
            norms.append(Float(norm))
        }
        return (Tensor(losses), Tensor(norms))
    }

    private func batch(_ all: TokenTensor, _ step: Int) -> TokenTensor {
        let (b, n) = (all.shape[1], all.shape[2])
        return TokenTensor(Array(all.values[step * b * n..<(step + 1) * b * n]), shape: [b, n])
    }
}
