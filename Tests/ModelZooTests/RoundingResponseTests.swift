import AttentionZooTestSupport
import ModelZoo
import Testing

@Suite("The response to rounding") struct RoundingResponseTests {
    @Test("Measuring it leaves the weights as they are, draw after draw", arguments: ContractModel.usual)
    func weights(_ entry: ContractModel) throws {
        let model = try entry.make()
        func values() -> [[Float]] { model.trainable.map(\.parameter.value.values) }
        let before = values()
        var (draws, steps) = (0, [Float]())
        let response = roundingResponse(of: model) {
            draws += 1
            // A last place up or down, in each draw anew.
            for (moved, start) in zip(values().joined(), before.joined()) where draws > 1 {
                steps.append(moved == start.nextUp || moved == start.nextDown ? 1 : 0)
            }
            return ["loss": Tensor([Float(draws)])]
        }
        #expect(values() == before)
        #expect(steps.count == (draws - 1) * before.joined().count && steps.allSatisfy { $0 == 1 })
        // Half of the largest change: a last place is two roundings.
        #expect(response == ["loss": Double(draws - 1) / 2])
    }
}
