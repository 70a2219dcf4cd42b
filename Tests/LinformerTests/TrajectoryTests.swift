import FixtureSupport
import NN
import Tensors
import Testing
import Trainer

@testable import Linformers

/// Ten training steps as PyTorch makes them: the same losses, gradient norms and final weights. The one projection of
/// `layerwise` gets its gradient from all layers; with full attention the projections stay as they are; `causal` is the
/// leak-free form.
@Suite struct TrajectoryTests {
    @Test(arguments: Fixture.names("trajectory-linformer"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = LinformerLM(
            try LinformerLMConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        try fixture.load(model)
        let metadata = fixture.file.metadata["training"]!
        var training = try ConfigurationReader(JSONValue(parsing: metadata.utf8, file: name), file: name)
        let optimizer = Optimizer(model.trainable, .adam(weightDecay: try training.double("weight_decay")))
        let (rate, clip) = (try training.double("lr"), try training.double("clip"))
        let (tokens, targets) = (try fixture.file.tokens("tokens"), try fixture.file.tokens("targets"))
        var losses: [Float] = []
        var norms: [Float] = []
        for step in 0..<tokens.shape[0] {
            let loss = model.loss(batch(tokens, step), batch(targets, step), mode: .inference)
            let all = gradients(of: loss)
            let norm = optimizer.globalNorm(of: all)
            optimizer.update(all, learningRate: rate, scale: Optimizer.clippingScale(norm: norm, limit: clip))
            losses.append(loss.item)
            norms.append(Float(norm))
        }
        // The peer's own float32 noise is up to 1e-6 here.
        try expectClose(Tensor(losses), fixture.tensor("losses"), 1e-5, "\(name): losses")
        try expectClose(Tensor(norms), fixture.tensor("gradient_norms"), 1e-5, "\(name): gradient norms")
        for (key, parameter) in model.state {
            try expectClose(parameter.value, fixture.tensor("final/" + key), 1e-5, "\(name): final \(key)")
        }
    }

    private func batch(_ all: TokenTensor, _ step: Int) -> TokenTensor {
        let (b, n) = (all.shape[1], all.shape[2])
        return TokenTensor(Array(all.values[step * b * n..<(step + 1) * b * n]), shape: [b, n])
    }
}
