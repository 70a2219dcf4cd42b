import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// Ten training steps as PyTorch makes them: the same losses, gradient norms and final weights. The one projection of
/// `layerwise` gets its gradient from all layers; with full attention the projections stay as they are; `causal` is the
/// leak-free form.
@Suite struct LinformerTrajectoryTests {
    @Test("Ten training steps are PyTorch's", arguments: Fixture.names("trajectory-linformer"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = LinformerLM(
            try LinformerLMConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        try fixture.load(model)
        let (losses, norms) = try fixture.train(model)
        try fixture.expectTrained(losses, "losses")
        try fixture.expectTrained(norms, "gradient_norms")
        for (key, parameter) in model.state {
            try fixture.expectTrained(parameter.value, "final/" + key)
        }
    }
}
