import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

/// Agreement of both forms with local-attention 1.11.2: outputs, loss and all gradients, every option at least once.
@Suite struct LocalFixtureTests {
    @Test(
        "Both forms of the transformer agree with the peer",
        arguments: Fixture.names("local-transformer-").filter { !$0.hasPrefix("local-transformer-stack") },
        Implementation.allCases)
    func transformer(_ name: String, _ implementation: Implementation) throws {
        let mode = ForwardMode.inference.using(implementation)
        let fixture = try Fixture(name)
        let configuration = try LocalConfiguration(fixture.configuration, file: name)
        let model = LocalTransformer(configuration, key: RandomKey(seed: 1), globalLayer: fixture.globalLayer)
        try fixture.load(model)
        let (tokens, targets) = (try fixture.file.tokens("tokens"), try fixture.file.tokens("targets"))
        let logits = try model(tokens, mask: fixture.optional("mask"), mode: mode)
        try fixture.expectValues(logits, fixture.tensor("output"), "logits")
        let loss = crossEntropy(logits, targets, ignoreIndex: configuration.ignoreIndex)
        try fixture.expectValues(loss, fixture.tensor("loss"), "loss")
        try fixture.expectGradients(gradients(of: loss), model)
        if fixture.file.entries["mask"] == nil {
            try fixture.expectValues(
                model.loss(tokens, targets, mode: mode), fixture.tensor("loss"), "the model's own loss")
        }
    }

    @Test(
        "Both forms of the stack agree with the peer", arguments: Fixture.names("local-transformer-stack"),
        Implementation.allCases)
    func stack(_ name: String, _ implementation: Implementation) throws {
        let mode = ForwardMode.inference.using(implementation)
        let fixture = try Fixture(name)
        let configuration = try LocalConfiguration(fixture.configuration, file: name)
        #expect(configuration.tokens == nil)
        let model = LocalTransformerStack(configuration, key: RandomKey(seed: 1))
        let mask = try fixture.optional("mask")
        try expectLayer(fixture, model, inputs: ["x"]) { model($0[0], mask: mask, mode: mode) }
    }

    @Test("Both forms of LocalMHA agree with the peer", arguments: Fixture.names("local-mha-"), Implementation.allCases)
    func layer(_ name: String, _ implementation: Implementation) throws {
        let mode = ForwardMode.inference.using(implementation)
        let fixture = try Fixture(name)
        let layer = LocalMHA(try LocalMHAOptions(fixture.configuration, file: name), key: RandomKey(seed: 1))
        let mask = try fixture.optional("mask")
        try expectLayer(fixture, layer, inputs: fixture.inputs(["x"])) {
            layer($0[0], mask: mask, bias: $0.count > 1 ? .byPlace($0[1]) : nil, mode: mode)
        }
    }

    @Test(
        "Both forms of LocalAttention agree with the peer", arguments: Fixture.names("local-attention-"),
        Implementation.allCases)
    func attention(_ name: String, _ implementation: Implementation) throws {
        let mode = ForwardMode.inference.using(implementation)
        let fixture = try Fixture(name)
        let layer = LocalAttention(try LocalAttentionOptions(fixture.configuration, file: name))
        let (mask, window) = (try fixture.optional("mask"), try fixture.callWindow)
        try expectLayer(fixture, layer, inputs: fixture.inputs(["q", "k", "v"])) {
            layer(
                $0[0], $0[1], $0[2], mask: mask, bias: $0.count > 3 ? .byPlace($0[3]) : nil, windowSize: window,
                mode: mode)
        }
    }

    private func expectLayer(
        _ fixture: Fixture, _ layer: any Module, inputs: [String], _ forward: ([Tensor]) -> Tensor
    ) throws {
        try fixture.load(layer)
        let leaves = try inputs.map { try fixture.tensor($0).requiringGradient() }
        let output = forward(leaves)
        #expect(output.shape == (try fixture.tensor("output").shape))
        try fixture.expectValues(output, fixture.tensor("output"), "output")
        let all = gradients(of: (output * (try fixture.tensor("probe"))).sum())
        try fixture.expectGradients(all, layer, inputs: Dictionary(uniqueKeysWithValues: zip(inputs, leaves)))
    }

    /// The peer's table of 4 queries and 9 keys, the last 4 of which are their own places: element [h, i, j] is that of
    /// the distance |5 + i − j|.
    @Test("The dynamic bias agrees with the peer's table") func dynamicBias() throws {
        let fixture = try Fixture("local-dynamic-bias")
        var reader = try ConfigurationReader(fixture.configuration, file: fixture.name)
        let (dimension, heads) = (try reader.int("dim"), try reader.int("heads"))
        let bias = DynamicPositionBias(dimension, heads: heads, key: RandomKey(seed: 1))
        try fixture.load(bias)
        let (expected, probe) = (try fixture.tensor("output"), try fixture.tensor("probe"))
        let byDistance = bias.byDistance(9)
        var rows: [Tensor] = []
        for i in 0..<4 {
            for j in 0..<9 { rows.append(byDistance.sliced(1, from: abs(5 + i - j), to: abs(5 + i - j) + 1)) }
        }
        let table = concatenate(rows, axis: 1).reshaped([heads, 4, 9])
        fixture.expectValues(table, expected, "bias")
        try fixture.expectGradients(gradients(of: (table * probe).sum()), bias)
    }
}

extension Fixture {
    /// These and the bias of the scores, if there is one.
    fileprivate func inputs(_ names: [String]) -> [String] { names + (file.entries["bias"] == nil ? [] : ["bias"]) }

    /// The window size that the call changes.
    fileprivate var callWindow: Int? {
        get throws {
            guard let call = file.metadata["call"] else { return nil }
            var reader = try ConfigurationReader(JSONValue(parsing: call.utf8, file: name), file: name)
            return try reader.int("window_size")
        }
    }

    /// Makes the caller's layer, a linear one, where the peer was given one.
    fileprivate var globalLayer: ((_ layer: Int, _ key: RandomKey) -> any GlobalLayer)? {
        guard file.metadata["global_attn_layer"] != nil else { return nil }
        return { _, key in
            TokenwiseLayer(Linear(10, 10, key: key)) { linear, x in linear(x) }
        }
    }
}
