import FixtureSupport
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

/// Ten training steps as PyTorch's Adam makes them on the loss of the peer's wrapper, of two segments each: the same
/// losses, gradient norms and final weights.
@Suite struct TrajectoryTests {
    @Test(arguments: Fixture.names("trajectory-block-recurrent"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = try fixture.model()
        let segments = try fixture.segments()
        let (losses, norms) = try fixture.train(model) { tokens, targets in
            var carries = [RecurrentMemory?](repeating: nil, count: tokens.shape[0])
            var total = Tensor([0])
            for segment in segments {
                let result = model.loss(
                    tokens.columns(segment), targets.columns(segment), carries: carries, mode: .inference)
                carries = result.carries
                total = total + result.loss
            }
            return total / Float(segments.count)
        }
        // The peer's own float32 noise is up to 6e-7 here.
        try expectClose(losses, fixture.tensor("losses"), 1e-5, "\(name): losses")
        try expectClose(norms, fixture.tensor("gradient_norms"), 1e-5, "\(name): gradient norms")
        for (key, parameter) in model.state {
            try expectClose(parameter.value, fixture.tensor("final/" + key), 1e-5, "\(name): final \(key)")
        }
    }
}
