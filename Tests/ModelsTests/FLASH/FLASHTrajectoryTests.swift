import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FLASHTransformers

/// Ten training steps as PyTorch makes them: the same losses, gradient norms and final weights.
@Suite struct FLASHTrajectoryTests {
    @Test("Ten training steps agree with PyTorch", arguments: Fixture.names("trajectory-flash"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = FLASHTransformer(
            try FLASHConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        try fixture.load(model)
        let (losses, norms) = try fixture.train(model)
        try fixture.expectTrained(losses, "losses")
        try fixture.expectTrained(norms, "gradient_norms")
        for (key, parameter) in model.trainable {
            try fixture.expectTrained(parameter.value, "final/" + key)
        }
    }
}
