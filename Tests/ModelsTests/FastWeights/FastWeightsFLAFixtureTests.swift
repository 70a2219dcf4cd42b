import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// Agreement with flash-linear-attention 0.6.0 (Scripts/fixtures/fla.py): operations with its own plain PyTorch functions,
/// layers, models and training steps with the formulas of its DeltaNet and GatedDeltaNet.
@Suite struct FastWeightsFLAFixtureTests {
    /// Tokens before the state is handed on: none, one, some, all but one, all.
    private func cuts(_ n: Int) -> [Int] { Set([0, 1, n / 2, n - 1, n]).sorted() }

    @Test(
        "The memory, with a state in and out, cut anywhere", arguments: Fixture.names("fla-operation-"),
        Implementation.allCases)
    func operation(_ name: String, in implementation: Implementation) throws {
        let fixture = try Fixture(name)
        let operation = try Operation(fixture, implementation)
        for cut in cuts(operation.length) {
            let (output, memory) = operation.run(cut: cut)
            try fixture.expectValues(output, fixture.tensor("output"), "cut at \(cut): output")
            try fixture.expectValues(memory, fixture.tensor("final_state"), "cut at \(cut): state")
            try fixture.expectFastWeightsGradients(NoModule(), inputs: operation.inputs) {
                let (output, memory) = operation.run(cut: cut)
                let (probe, stateProbe) = (try fixture.tensor("probe"), try fixture.tensor("state_probe"))
                return gradients(of: (output * probe).sum() + (memory * stateProbe).sum())
            }
        }
    }

    @Test(
        "Layers, at once and in two parts", arguments: Fixture.names("fla-layer-"), Implementation.allCases)
    func layer(_ name: String, in implementation: Implementation) throws {
        let fixture = try Fixture(name)
        let layer = FastWeightsAttention(try configuration(fixture), key: RandomKey(seed: 1))
        try layer.load(fixture.file, prefix: "weights/")
        let x = try fixture.tensor("x").requiringGradient()
        let mode = ForwardMode.inference.using(implementation)
        for cut in cuts(x.shape[1]) {
            func run() -> Tensor {
                let first = layer(x.sliced(1, from: 0, to: cut), mode: mode)
                let second = layer(x.sliced(1, from: cut), state: first.state, mode: mode)
                return concatenate([first.output, second.output], axis: 1)
            }
            // Keys are divided by their lengths and rows by their deviation, which may be small.
            let response = roundingResponse(of: layer) { ["output": run()] }["output"] ?? 0
            try fixture.expectValues(run(), fixture.tensor("output"), "cut at \(cut): output", response: response)
            try fixture.expectFastWeightsGradients(layer, inputs: ["x": x]) {
                gradients(of: (run() * (try fixture.tensor("probe"))).sum())
            }
        }
    }

    @Test("Language models in both forms", arguments: Fixture.names("fla-lm-"), Implementation.allCases)
    func languageModel(_ name: String, in implementation: Implementation) throws {
        let fixture = try Fixture(name)
        let model = FastWeightsLM(try configuration(fixture), key: RandomKey(seed: 1))
        try model.load(fixture.file, prefix: "weights/")
        let (tokens, targets) = (try fixture.file.tokens("tokens"), try fixture.file.tokens("targets"))
        let mode = ForwardMode.inference.using(implementation)
        try fixture.expectValues(model(tokens, mode: mode), fixture.tensor("output"), "logits")
        try fixture.expectValues(model.loss(tokens, targets, mode: mode), fixture.tensor("loss"), "loss")
        try fixture.expectFastWeightsGradients(model) { gradients(of: model.loss(tokens, targets, mode: mode)) }
    }

    @Test("Eight training steps are PyTorch's AdamW's", arguments: Fixture.names("fla-trajectory-"))
    func trajectory(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = FastWeightsLM(try configuration(fixture), key: RandomKey(seed: 1))
        try fixture.load(model)
        let (losses, norms) = try fixture.train(model)
        try fixture.expectTrained(losses, "losses")
        try fixture.expectTrained(norms, "gradient_norms")
        for (key, parameter) in model.state { try fixture.expectTrained(parameter.value, "final/" + key) }
    }

    @Test("All of a kind are there")
    func counts() {
        let counts = ["fla-operation-", "fla-layer-", "fla-lm-", "fla-trajectory-"].map { Fixture.names($0).count }
        #expect(counts == [16, 12, 12, 2])
    }

    private func configuration(_ fixture: Fixture) throws -> FastWeightsConfiguration {
        try FastWeightsConfiguration(fixture.configuration, file: fixture.name)
    }
}

private struct NoModule: Module {
    func collect(into state: inout StateCollector) {}
}

/// The memory's inputs from a fixture, and the ways through it.
private struct Operation {
    let q: Tensor, k: Tensor, v: Tensor, beta: Tensor
    let logDecay: Tensor?
    let state: Tensor?
    let rule: UpdateRule
    /// The factor of the queries.
    let scale: Float
    let implementation: Implementation

    var length: Int { q.shape[1] }

    /// The tensors whose gradients are compared, by the file's names.
    var inputs: [String: Tensor] {
        let all = ["q": q, "k": k, "v": v, "beta": beta, "log_decay": logDecay, "state": state]
        return all.compactMapValues { $0 }
    }

    init(_ fixture: Fixture, _ implementation: Implementation) throws {
        func leaf(_ name: String) throws -> Tensor { try fixture.tensor(name).requiringGradient() }
        (q, k, v, beta) = (try leaf("q"), try leaf("k"), try leaf("v"), try leaf("beta"))
        logDecay = try fixture.optional("log_decay")?.requiringGradient()
        state = try fixture.optional("state")?.requiringGradient()
        var reader = try ConfigurationReader(fixture.configuration, file: fixture.name)
        rule = try reader.option("update_rule", default: .delta)
        scale = Float(try reader.double("scale"))
        self.implementation = implementation
    }

    /// Reads the first `cut` tokens, then the others from the state they have left.
    func run(cut: Int) -> (output: Tensor, state: Tensor) {
        let first = part(0, cut, state)
        let second = part(cut, length, first.state)
        return (concatenate([first.output, second.output], axis: 1), second.state)
    }

    private func part(_ from: Int, _ to: Int, _ state: Tensor?) -> (output: Tensor, state: Tensor) {
        func tokens(_ x: Tensor) -> Tensor { x.sliced(1, from: from, to: to) }
        return deltaRule(
            tokens(q) * scale, tokens(k), tokens(v), beta: tokens(beta), logDecay: logDecay.map(tokens), rule: rule,
            state: state, implementation: implementation)
    }
}
