import FixtureSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

/// Ten training steps as PyTorch makes them: the same losses, gradient norms and final weights.
@Suite struct TrajectoryTests {
    @Test(arguments: Fixture.names("trajectory-local"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = LocalTransformer(
            try LocalConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        try fixture.load(model)
        let (losses, norms) = try fixture.train(model, mode: .training(RandomKey(seed: 1)))
        // The peer's own float32 noise is up to 4e-6 here.
        try expectClose(losses, fixture.tensor("losses"), 1e-5, "\(name): losses")
        try expectClose(norms, fixture.tensor("gradient_norms"), 2e-5, "\(name): gradient norms")
        // A bias of all scores alike changes nothing: its gradient is 0, and Adam makes a step of rounding errors.
        for (key, parameter) in model.trainable where key != "dynamic_pos_bias.mlp.4.bias" {
            try expectClose(parameter.value, fixture.tensor("final/" + key), 1e-5, "\(name): final \(key)")
        }
    }
}
