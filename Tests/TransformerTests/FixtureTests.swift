import FixtureSupport
import NN
import Tensors
import Testing

@testable import Transformers

/// Agreement with the same model written from torch.nn.functional: logits, loss and all gradients, every option at least
/// once.
@Suite struct FixtureTests {
    @Test(arguments: Fixture.names("transformer-"))
    func transformer(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = try fixture.model()
        let (tokens, targets) = (try fixture.file.tokens("tokens"), try fixture.file.tokens("targets"))
        let logits = model(tokens)
        // PyTorch's own float32 is up to 3e-7 off its float64, of gradients 1e-6; ours sums in other orders.
        try expectClose(logits, fixture.tensor("output"), 3e-6, "\(name): logits")
        // The model's own loss stores no logits.
        for loss in [crossEntropy(logits, targets), model.loss(tokens, targets)] {
            try expectClose(loss, fixture.tensor("loss"), 3e-6, "\(name): loss")
            let gradients = gradients(of: loss)
            for (key, parameter) in model.trainable {
                let gradient = try #require(gradients[parameter], "\(name): no gradient for \(key)")
                try expectClose(gradient, fixture.tensor("gradients/" + key), 1e-5, "\(name): gradient of \(key)")
            }
        }
    }

    /// Ten training steps as PyTorch makes them: the same losses, gradient norms and final weights.
    @Test func tenSteps() throws {
        let fixture = try Fixture("trajectory-transformer")
        let model = try fixture.model()
        let (losses, norms) = try fixture.train(model)
        // PyTorch's own float32 is up to 4e-7 off its float64 after ten steps.
        try expectClose(losses, fixture.tensor("losses"), 1e-5, "losses")
        try expectClose(norms, fixture.tensor("gradient_norms"), 1e-5, "gradient norms")
        for (key, parameter) in model.trainable {
            try expectClose(parameter.value, fixture.tensor("final/" + key), 1e-5, "final \(key)")
        }
    }
}
