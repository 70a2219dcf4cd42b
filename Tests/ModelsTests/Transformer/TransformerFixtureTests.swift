import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Transformers

/// Agreement with the same model written from torch.nn.functional: logits, loss and all gradients, every option at least
/// once.
@Suite struct TransformerFixtureTests {
    @Test("Models agree, in both forms", arguments: Fixture.names("transformer-"), Implementation.allCases)
    func transformer(_ name: String, _ form: Implementation) throws {
        let fixture = try Fixture(name)
        let model = try fixture.transformerModel()
        let (tokens, targets) = (try fixture.file.tokens("tokens"), try fixture.file.tokens("targets"))
        let mode = ForwardMode.inference.using(form)
        let logits = model(tokens, mode: mode)
        try fixture.expectValues(logits, fixture.tensor("output"), "logits")
        // The model's own loss stores no logits.
        for loss in [crossEntropy(logits, targets), model.loss(tokens, targets, mode: mode)] {
            try fixture.expectValues(loss, fixture.tensor("loss"), "loss")
            let gradients = gradients(of: loss)
            for (key, parameter) in model.trainable {
                let gradient = try #require(gradients[parameter], "\(name): no gradient for \(key)")
                try fixture.expectGradient(gradient, fixture.tensor("gradients/" + key), key)
            }
        }
    }

    /// Losses, gradient norms, and final weights.
    @Test("Ten training steps agree with PyTorch")
    func tenSteps() throws {
        let fixture = try Fixture("trajectory-transformer")
        let model = try fixture.transformerModel()
        let (losses, norms) = try fixture.train(model)
        try fixture.expectTrained(losses, "losses")
        try fixture.expectTrained(norms, "gradient_norms")
        for (key, parameter) in model.trainable {
            try fixture.expectTrained(parameter.value, "final/" + key)
        }
    }
}
