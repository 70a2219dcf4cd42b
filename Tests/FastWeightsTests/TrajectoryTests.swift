import FixtureSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// Ten training steps as PyTorch's Adam makes them, and as the peer's Noam does: the same losses, gradient norms and final
/// weights.
@Suite struct TrajectoryTests {
    @Test(arguments: Fixture.names("trajectory-fast-weights"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = FastWeightsLM(
            try FastWeightsConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        try fixture.load(model)
        let (losses, norms) = try fixture.train(model)
        // The peer's own float32 noise is up to 2e-6 here.
        try expectClose(losses, fixture.tensor("losses"), 1e-5, "\(name): losses")
        try expectClose(norms, fixture.tensor("gradient_norms"), 1e-5, "\(name): gradient norms")
        for (key, parameter) in model.state {
            try expectClose(parameter.value, fixture.tensor("final/" + key), 1e-5, "\(name): final \(key)")
        }
    }
}
