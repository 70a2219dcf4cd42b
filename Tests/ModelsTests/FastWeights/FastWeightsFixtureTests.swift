import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// Agreement with labml-nn 0.5.1, both of its forms, and for the options it has not with loops over tokens in double
/// precision (Scripts/fixtures): outputs, loss and all gradients, every option at least once.
@Suite struct FastWeightsFixtureTests {
    @Test(
        "Language models in both forms",
        arguments: Fixture.names("fast-weights-lm-") + Fixture.names("fast-weights-variant-"), Implementation.allCases)
    func languageModel(_ name: String, in implementation: Implementation) throws {
        let fixture = try Fixture(name)
        let model = FastWeightsLM(try configuration(fixture), key: RandomKey(seed: 1))
        let tokens = try fixture.file.tokens("tokens")
        let mode = ForwardMode.inference.using(implementation)
        try expectModel(fixture, model, inputs: []) { _ in model(tokens, mode: mode) }
        let loss = model.loss(tokens, try fixture.file.tokens("targets"), mode: mode)
        try fixture.expectValues(loss, fixture.tensor("loss"), "the model's own loss")
    }

    @Test("Stacks of layers", arguments: Fixture.names("fast-weights-stack-"))
    func stack(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = FastWeightsTransformer(try configuration(fixture), key: RandomKey(seed: 1))
        try expectModel(fixture, model, inputs: ["x"]) { model($0[0]).output }
    }

    @Test("Layers", arguments: Fixture.names("fast-weights-layer-"))
    func layer(_ name: String) throws {
        let fixture = try Fixture(name)
        let layer = FastWeightsTransformerLayer(try configuration(fixture), key: RandomKey(seed: 1))
        try expectModel(fixture, layer, inputs: ["x"]) { layer($0[0]).output }
    }

    @Test("Attention", arguments: Fixture.names("fast-weights-attention-"))
    func attention(_ name: String) throws {
        let fixture = try Fixture(name)
        let layer = FastWeightsAttention(try configuration(fixture), key: RandomKey(seed: 1))
        try expectModel(fixture, layer, inputs: ["x"]) { layer($0[0]).output }
    }

    /// The token-wise form, which is given a state and leaves one: at once, and in two parts.
    @Test(
        "Attention given a state, in both forms", arguments: Fixture.names("fast-weights-steps-"),
        Implementation.allCases
    )
    func tokenWise(_ name: String, in implementation: Implementation) throws {
        let fixture = try Fixture(name)
        let layer = FastWeightsAttention(try configuration(fixture), key: RandomKey(seed: 1))
        try layer.load(fixture.file, prefix: "weights/")
        let (x, state) = (try fixture.tensor("x").requiringGradient(), try fixture.tensor("state").requiringGradient())
        let (n, mode) = (x.shape[1], ForwardMode.inference.using(implementation))
        for cut in Set([0, 1, n / 2, n - 1]).sorted() {
            func run() throws -> (output: Tensor, memory: Tensor) {
                let first = layer(x.sliced(1, from: 0, to: cut), state: FastWeights(memory: state), mode: mode)
                let second = layer(x.sliced(1, from: cut), state: first.state, mode: mode)
                let output = concatenate([first.output, second.output], axis: 1)
                return (output, try #require(second.state).memory)
            }
            let (output, memory) = try run()
            try fixture.expectValues(output, fixture.tensor("output"), "cut at \(cut): output")
            try fixture.expectValues(memory, fixture.tensor("final_state"), "cut at \(cut): state")
            try fixture.expectFastWeightsGradients(layer, inputs: ["x": x, "state": state]) {
                let (output, memory) = try run()
                let (probe, stateProbe) = (try fixture.tensor("probe"), try fixture.tensor("state_probe"))
                return gradients(of: (output * probe).sum() + (memory * stateProbe).sum())
            }
        }
    }

    @Test("DPFP in both forms", arguments: Fixture.names("fast-weights-dpfp-"), Implementation.allCases)
    func dpfp(_ name: String, in implementation: Implementation) throws {
        let fixture = try Fixture(name)
        var reader = try ConfigurationReader(fixture.configuration, file: name)
        let map = Features(.dpfp, nu: try reader.int("nu"), epsilon: Float(try reader.double("eps")))
        try expectModel(fixture, Nothing(), inputs: ["x"]) { map($0[0], implementation: implementation) }
    }

    private struct Nothing: Module {
        func collect(into state: inout StateCollector) {}
    }

    private func configuration(_ fixture: Fixture) throws -> FastWeightsConfiguration {
        try FastWeightsConfiguration(fixture.configuration, file: fixture.name)
    }

    /// Loads the weights, then compares output, loss and gradients, those of the inputs included.
    private func expectModel(
        _ fixture: Fixture, _ module: any Module, inputs: [String], _ forward: ([Tensor]) -> Tensor
    ) throws {
        try module.load(fixture.file, prefix: "weights/")
        let leaves = try inputs.map { try fixture.tensor($0).requiringGradient() }
        let output = forward(leaves)
        #expect(output.shape == (try fixture.tensor("output").shape))
        try fixture.expectValues(output, fixture.tensor("output"), "output")
        func loss() throws -> Tensor {
            if let probe = try fixture.optional("probe") { return (forward(leaves) * probe).sum() }
            return crossEntropy(forward(leaves), try fixture.file.tokens("targets"))
        }
        // With a probe it is a sum of terms that cancel: not compared.
        if fixture.file.entries["probe"] == nil { try fixture.expectValues(loss(), fixture.tensor("loss"), "loss") }
        let leavesByName = Dictionary(uniqueKeysWithValues: zip(inputs, leaves))
        try fixture.expectFastWeightsGradients(module, inputs: leavesByName) { gradients(of: try loss()) }
    }
}
