import FixtureSupport
import NN
import Tensors
import Testing

@testable import FLASHTransformers

/// Ten training steps as PyTorch makes them: the same losses, gradient norms and final weights.
@Suite struct TrajectoryTests {
    @Test(arguments: Fixture.names("trajectory-flash"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = FLASHTransformer(
            try FLASHConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        try fixture.load(model)
        let (losses, norms) = try fixture.train(model)
        // The peer's own float32 noise is up to 4e-7 here; leaving out the clipping moves the losses by 2.6e-3.
        try expectClose(losses, fixture.tensor("losses"), 1e-5, "\(name): losses")
        try expectClose(norms, fixture.tensor("gradient_norms"), 1e-5, "\(name): gradient norms")
        for (key, parameter) in model.trainable {
            try expectClose(parameter.value, fixture.tensor("final/" + key), 1e-5, "\(name): final \(key)")
        }
    }
}
