import NN
import Tensors
import Trainer

extension Fixture {
    /// Trains a model as the fixture says, whose weights it has, and returns the loss and the gradients' global norm of each
    /// step: [steps] each.
    ///
    /// `tokens` and `targets` of the file are [steps, b, n]; its metadata `training` has lr, clip, weight_decay and
    /// optimizer (adam, where it is not said, or adamw).
    public func train(
        _ model: some LanguageModel, mode: ForwardMode = .inference
    ) throws -> (losses: Tensor, norms: Tensor) {
        let metadata = file.metadata["training"]!
        var training = try ConfigurationReader(JSONValue(parsing: metadata.utf8, file: name), file: name)
        let decay = try training.double("weight_decay")
        let isDecoupled = try training.optionalString("optimizer", oneOf: ["adam", "adamw"]) == "adamw"
        let optimizer = Optimizer(
            model.trainable, isDecoupled ? .adamW(weightDecay: decay) : .adam(weightDecay: decay))
        let (rate, clip) = (try training.double("lr"), try training.double("clip"))
        let (tokens, targets) = (try file.tokens("tokens"), try file.tokens("targets"))
        var losses: [Float] = []
        var norms: [Float] = []
        for step in 0..<tokens.shape[0] {
            let loss = model.loss(batch(tokens, step), batch(targets, step), mode: mode)
            let all = gradients(of: loss)
            let norm = optimizer.globalNorm(of: all)
            optimizer.update(all, learningRate: rate, scale: Optimizer.clippingScale(norm: norm, limit: clip))
            losses.append(loss.item)
            norms.append(Float(norm))
        }
        return (Tensor(losses), Tensor(norms))
    }

    private func batch(_ all: TokenTensor, _ step: Int) -> TokenTensor {
        let (b, n) = (all.shape[1], all.shape[2])
        return TokenTensor(Array(all.values[step * b * n..<(step + 1) * b * n]), shape: [b, n])
    }

    /// The largest element of all gradients in the file: what rounding in sums that cancel is measured by.
    public var largestGradient: Float {
        get throws {
            let keys = file.names.filter { $0.hasPrefix("gradients/") }
            return try keys.map { try tensor($0).values.reduce(0) { max($0, abs($1)) } }.max() ?? 0
        }
    }
}
