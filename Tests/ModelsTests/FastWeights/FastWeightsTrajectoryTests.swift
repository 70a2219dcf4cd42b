import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// Ten training steps as PyTorch's Adam makes them, and as the peer's Noam does: the same losses, gradient norms and final
/// weights.
@Suite struct FastWeightsTrajectoryTests {
    @Test("Ten training steps are PyTorch's", arguments: Fixture.names("trajectory-fast-weights"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = FastWeightsLM(
            try FastWeightsConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        try fixture.load(model)
        let (losses, norms) = try fixture.train(model)
        try fixture.expectTrained(losses, "losses")
        try fixture.expectTrained(norms, "gradient_norms")
        for (key, parameter) in model.state {
            try fixture.expectTrained(parameter.value, "final/" + key)
        }
    }
}
