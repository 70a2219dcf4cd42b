import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FLASHTransformers

/// Agreement with flash-pytorch 0.1.9: outputs, loss and all gradients, every option at least once.
@Suite struct FLASHFixtureTests {
    @Test(
        "Models agree with flash-pytorch in both forms", arguments: Fixture.names("flash-transformer-"),
        Implementation.allCases)
    func transformer(_ name: String, form: Implementation) throws {
        let fixture = try Fixture(name)
        let model = FLASHTransformer(
            try FLASHConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        try fixture.load(model)
        let tokens = try fixture.file.tokens("tokens")
        let (mask, targets) = (try fixture.optional("mask"), try fixture.file.tokens("targets"))
        let mode = ForwardMode.inference.using(form)
        let logits = model(tokens, mask: mask, mode: mode)
        try fixture.expectValues(logits, fixture.tensor("output"), "logits")
        // The model's own loss, which stores no logits, takes no mask.
        for loss in [crossEntropy(logits, targets)] + (mask == nil ? [model.loss(tokens, targets, mode: mode)] : []) {
            try fixture.expectValues(loss, fixture.tensor("loss"), "loss")
            try fixture.expectGradients(gradients(of: loss), model)
        }
    }

    @Test(
        "Layers agree with flash-pytorch in both forms", arguments: Fixture.names("flash-layer-"),
        Implementation.allCases)
    func layer(_ name: String, form: Implementation) throws {
        let fixture = try Fixture(name)
        var reader = try ConfigurationReader(fixture.configuration, file: name)
        var configuration = FLASHConfiguration.layer(dimension: try reader.int("dim"))
        configuration.groupSize = try reader.int("group_size")
        configuration.queryKeyDimension = try reader.int("query_key_dim")
        configuration.expansionFactor = try reader.double("expansion_factor")
        configuration.isCausal = try reader.bool("causal")
        configuration.attentionDropout = try reader.double("dropout")
        configuration.normType = try reader.option("norm_type")
        configuration.shiftsTokens = try reader.bool("shift_tokens")
        configuration.usesLaplace = try reader.bool("laplace_attn_fn")
        configuration.reducesGroups = try reader.bool("reduce_group_non_causal_attn")
        let rotary = try reader.optionalInt("rotary_pos_emb").map { FLASH.rotary($0) }
        try reader.finish()
        let layer = FLASH(configuration, rotary: rotary, key: RandomKey(seed: 1))
        let mask = try fixture.optional("mask")
        try expectLayer(fixture, layer, inputs: ["x"]) { layer($0[0], mask: mask, mode: .inference.using(form)) }
    }

    @Test("GAU agrees with flash-pytorch", arguments: Fixture.names("gau-"))
    func gatedAttentionUnit(_ name: String) throws {
        let fixture = try Fixture(name)
        var reader = try ConfigurationReader(fixture.configuration, file: name)
        var options = GAU.Options(dimension: try reader.int("dim"))
        options.queryKeyDimension = try reader.int("query_key_dim")
        options.expansionFactor = try reader.double("expansion_factor")
        options.addsResidual = try reader.bool("add_residual")
        options.isCausal = try reader.bool("causal")
        options.dropout = try reader.double("dropout")
        options.attentionFunction = try reader.bool("laplace_attn_fn") ? .laplace : .reluSquared
        options.normType = try reader.option("norm_type")
        _ = try reader.bool("rel_pos_bias")  // The peer builds the bias whatever this says.
        try reader.finish()
        let layer = GAU(options, key: RandomKey(seed: 1))
        let mask = try fixture.optional("mask")
        let inputs = fixture.file.entries["bias"] == nil ? ["x"] : ["x", "bias"]
        try expectLayer(fixture, layer, inputs: inputs) {
            layer($0[0], relativePositionBias: $0.count > 1 ? $0[1] : nil, mask: mask)
        }
    }

    private func expectLayer(
        _ fixture: Fixture, _ layer: any Module, inputs: [String], _ forward: ([Tensor]) -> Tensor
    ) throws {
        try fixture.load(layer)
        let leaves = try inputs.map { try fixture.tensor($0).requiringGradient() }
        let output = forward(leaves)
        try fixture.expectValues(output, fixture.tensor("output"), "output")
        let all = gradients(of: (output * (try fixture.tensor("probe"))).sum())
        try fixture.expectGradients(all, layer)
        for (input, leaf) in zip(inputs, leaves) {
            let gradient = try #require(all[leaf], "\(fixture.name): no gradient for \(input)")
            try fixture.expectGradient(gradient, fixture.tensor("gradients/" + input), input)
        }
    }

    @Test("The card lists the code") func listing() throws {
        try expectListing(inCard: "Models/FLASH/README.md", of: "Models/FLASH/FLASH.swift", lines: 80)
    }

    @Test("Relative positions fall into T5's buckets") func relativePositionBuckets() throws {
        let fixture = try Fixture("t5-buckets")
        let positions = try fixture.file.tokens("relative_positions").values
        for (kind, causal) in [("causal", true), ("bidirectional", false)] {
            let expected = try fixture.file.tokens(kind).values
            let got = positions.map { Int32(T5RelativePositionBias.bucket(Int($0), causal: causal)) }
            #expect(got == expected)
        }
    }
}
