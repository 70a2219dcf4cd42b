import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

/// Agreement of both forms with block-recurrent-transformer-pytorch 0.4.4, and for the options it has not with a token by
/// token reference in double precision that gives the peer's numbers where both can be run (Scripts/fixtures): logits,
/// memories, states, loss and all gradients over several segments.
@Suite("Agreement with the peer") struct BlockRecurrentFixtureTests {
    /// Calls the model as the peer is called.
    @Test("Memories and states in and out", arguments: Fixture.names("block-recurrent-lm-"), Implementation.allCases)
    func memoriesAndStates(_ name: String, _ implementation: Implementation) throws {
        let fixture = try Fixture(name)
        let model = try fixture.blockRecurrentModel()
        let (tokens, targets) = (try fixture.file.tokens("tokens"), try fixture.file.tokens("targets"))
        var memories = try fixture.numbered("xl_memories").map { $0.requiringGradient() }
        var states = try fixture.numbered("states").map { $0.requiringGradient() }
        let leaves = named("xl_memories", memories).merging(named("states", states)) { $1 }
        var logits: [Tensor] = []
        var losses: [Tensor] = []
        for segment in try fixture.segments() {
            let result = model(
                tokens.columns(segment), xlMemories: memories, states: states, mode: .inference.using(implementation))
            (memories, states) = (result.xlMemories, result.states)
            logits.append(result.logits)
            losses.append(
                crossEntropy(result.logits, targets.columns(segment), ignoreIndex: model.configuration.ignoreIndex))
        }
        try fixture.expectValues(concatenate(logits, axis: 1), fixture.tensor("output"), "logits")
        try expectMean(losses, fixture)
        if fixture.file.entries["next_states.0"] != nil {
            try expectAll(memories, fixture, "next_xl_memories")
            try expectAll(states, fixture, "next_states")
        }
        try fixture.expectBlockRecurrentGradients(gradients(of: mean(losses)), model, inputs: leaves)
    }

    /// Calls the model as the trainer does.
    @Test(
        "Segments that pass carries",
        arguments: Fixture.names("block-recurrent-lm-") + Fixture.names("block-recurrent-variant-"),
        Implementation.allCases)
    func carries(_ name: String, _ implementation: Implementation) throws {
        let mode = ForwardMode.inference.using(implementation)
        let fixture = try Fixture(name)
        if try !fixture.numbered("states").isEmpty { return }  // what is given there is no carry of a row
        let model = try fixture.blockRecurrentModel()
        let (tokens, targets) = (try fixture.file.tokens("tokens"), try fixture.file.tokens("targets"))
        let expected = try fixture.tensor("output")
        var carries = [RecurrentMemory?](repeating: nil, count: tokens.shape[0])
        var losses: [Tensor] = []
        for segment in try fixture.segments() {
            let inputs = tokens.columns(segment)
            let (logits, next) = model.logits(inputs, carries: carries, mode: mode)
            fixture.expectValues(
                logits, expected.sliced(1, from: segment.lowerBound, to: segment.upperBound), "logits of \(segment)")
            losses.append(model.loss(inputs, targets.columns(segment), carries: carries, mode: mode).loss)
            carries = next
        }
        try expectMean(losses, fixture)
        try fixture.expectBlockRecurrentGradients(gradients(of: mean(losses)), model)
    }

    @Test("The wrapper's loss and gradients", arguments: Fixture.names("block-recurrent-wrapper-"))
    func wrapper(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = try fixture.blockRecurrentModel()
        let wrapper = RecurrentTrainerWrapper(model)
        let loss = wrapper(try fixture.file.tokens("tokens"))
        try fixture.expectValues(loss, fixture.tensor("loss"), "loss")
        try fixture.expectBlockRecurrentGradients(gradients(of: loss), wrapper)
    }

    private func named(_ name: String, _ tensors: [Tensor]) -> [String: Tensor] {
        Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ("\(name).\($0)", $1) })
    }

    private func mean(_ losses: [Tensor]) -> Tensor {
        losses.dropFirst().reduce(losses[0], +) / Float(losses.count)
    }

    private func expectMean(_ losses: [Tensor], _ fixture: Fixture) throws {
        try fixture.expectValues(mean(losses), fixture.tensor("loss"), "loss")
    }

    private func expectAll(_ got: [Tensor], _ fixture: Fixture, _ what: String) throws {
        let expected = try fixture.numbered(what)
        #expect(got.count == expected.count, "\(what)")
        for (index, (a, b)) in zip(got, expected).enumerated() {
            #expect(a.shape == b.shape, "\(what) of \(index)")
            fixture.expectValues(a, b, "\(what) of \(index)")
        }
    }
}
