import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

/// Ten training steps as PyTorch's Adam makes them on the loss of the peer's wrapper, of two segments each: the same
/// losses, gradient norms and final weights.
@Suite("Trajectory") struct BlockRecurrentTrajectoryTests {
    @Test("Ten training steps", arguments: Fixture.names("trajectory-block-recurrent"))
    func tenSteps(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = try fixture.blockRecurrentModel()
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
        try fixture.expectTrained(losses, "losses")
        try fixture.expectTrained(norms, "gradient_norms")
        for (key, parameter) in model.state {
            try fixture.expectTrained(parameter.value, "final/" + key)
        }
    }
}
