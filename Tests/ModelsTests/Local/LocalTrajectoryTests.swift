import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

/// Ten training steps as PyTorch makes them: the same losses, gradient norms and final weights.
@Suite struct LocalTrajectoryTests {
    @Test("Ten training steps follow PyTorch's", arguments: Fixture.names("trajectory-local"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = LocalTransformer(
            try LocalConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        try fixture.load(model)
        let (losses, norms) = try fixture.train(model, mode: .training(RandomKey(seed: 1)))
        try fixture.expectTrained(losses, "losses")
        try fixture.expectTrained(norms, "gradient_norms")
        // A bias of all scores alike changes nothing: its gradient is 0, and Adam makes a step of rounding errors.
        for (key, parameter) in model.trainable where key != "dynamic_pos_bias.mlp.4.bias" {
            try fixture.expectTrained(parameter.value, "final/" + key)
        }
    }
}
