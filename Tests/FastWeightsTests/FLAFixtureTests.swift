import FixtureSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// Agreement with flash-linear-attention 0.6.0 (Scripts/fixtures/fla.py): operations with its own plain PyTorch functions,
/// layers, models and training steps with the formulas of its DeltaNet and GatedDeltaNet.
@Suite struct FLAFixtureTests {
    /// Tokens before the state is handed on: none, one, some, all but one, all.
    private func cuts(_ n: Int) -> [Int] { Set([0, 1, n / 2, n - 1, n]).sorted() }

    @Test(
        "the memory, with a state in and out, cut anywhere", arguments: Fixture.names("fla-operation-"),
        Implementation.allCases)
    func operation(_ name: String, in implementation: Implementation) throws {
        let fixture = try Fixture(name)
        let operation = try Operation(fixture, implementation)
        for cut in cuts(operation.length) {
            let (output, memory) = operation.run(cut: cut)
            try fixture.expectValues(output, fixture.tensor("output"), "cut at \(cut): output")
            try fixture.expectValues(memory, fixture.tensor("final_state"), "cut at \(cut): state")
            try fixture.expectGradients(NoModule(), inputs: operation.inputs) {
                let (output, memory) = operation.run(cut: cut)
                let (probe, stateProbe) = (try fixture.tensor("probe"), try fixture.tensor("state_probe"))
                return gradients(of: (output * probe).sum() + (memory * stateProbe).sum())
            }
        }
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
    /// Of the queries.
    let scale: Float
    let implementation: Implementation

    var length: Int { q.shape[1] }

    /// What gradients are compared of, by the file's names.
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
