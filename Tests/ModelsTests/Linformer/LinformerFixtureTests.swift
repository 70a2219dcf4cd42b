import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// Agreement with linformer-pytorch 0.19.3, corrected where this package does otherwise (Scripts/fixtures): outputs, loss
/// and all gradients, every option at least once.
@Suite struct LinformerFixtureTests {
    @Test(
        "Language models and decoders agree with the peer",
        arguments: Fixture.names("linformer-lm-") + Fixture.names("linformer-decoder-"))
    func languageModel(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = LinformerLM(
            try LinformerLMConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        let (mask, contextMask) = (try fixture.optional("mask"), try fixture.optional("context_mask"))
        let tokens = try fixture.file.tokens("tokens")
        try expectModel(fixture, model, inputs: fixture.present(["embeddings"])) {
            model(tokens, embeddings: $0.first, inputMask: mask, embeddingsMask: contextMask, mode: $1)
        }
        if fixture.present(["embeddings", "mask", "probe"]).isEmpty {
            let loss = model.loss(tokens, try fixture.file.tokens("targets"))
            try fixture.expectValues(loss, fixture.tensor("loss"), "the model's own loss")
        }
    }

    @Test("Encoder–decoders agree with the peer", arguments: Fixture.names("linformer-encdec-"))
    func encoderDecoder(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = LinformerEncDec(
            try LinformerEncDecConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        let (source, target) = (try fixture.file.tokens("source"), try fixture.file.tokens("tokens"))
        let (mask, targetMask) = (try fixture.optional("mask"), try fixture.optional("target_mask"))
        try expectModel(fixture, model, inputs: []) {
            model(source, target, sourceMask: mask, targetMask: targetMask, mode: $1)
        }
    }

    @Test("Layers on vectors agree with the peer", arguments: Fixture.names("linformer-stack-"))
    func stack(_ name: String) throws {
        let fixture = try Fixture(name)
        let model = Linformer(try LinformerConfiguration(fixture.configuration, file: name), key: RandomKey(seed: 1))
        let (mask, contextMask) = (try fixture.optional("mask"), try fixture.optional("context_mask"))
        try expectModel(fixture, model, inputs: fixture.present(["x", "embeddings"])) {
            model(
                $0[0], embeddings: $0.count > 1 ? $0[1] : nil, inputMask: mask, embeddingsMask: contextMask, mode: $1)
        }
    }

    @Test("Attention layers agree with the peer", arguments: Fixture.names("linformer-mha-"))
    func attention(_ name: String) throws {
        let fixture = try Fixture(name)
        let heads = try fixture.configuration(["dim": nil, "dim_d": try fixture.configuration.objectValue?["dim"]])
        let configuration = try LinformerConfiguration(heads, file: name)
        let layer = MHAttention(configuration, isDecoder: configuration.isDecoder, key: RandomKey(seed: 1))
        let mask = try fixture.optional("mask")
        try expectModel(fixture, layer, inputs: fixture.present(["x", "embeddings"])) {
            layer($0[0], embeddings: $0.count > 1 ? $0[1] : nil, inputMask: mask, mode: $1)
        }
    }

    @Test("Feed-forwards agree with the peer", arguments: Fixture.names("linformer-ff-"))
    func feedForward(_ name: String) throws {
        let fixture = try Fixture(name)
        var reader = try ConfigurationReader(fixture.configuration, file: name)
        let layer = FeedForward(
            try reader.int("input_channels"), try reader.int("output_channels"), hidden: try reader.int("ff_dim"),
            activation: try reader.option("activation"), dropout: try reader.double("dropout"),
            key: RandomKey(seed: 1))
        try expectModel(fixture, layer, inputs: ["x"]) { layer($0[0], mode: $1) }
    }

    @Test("Single heads agree with the peer", arguments: Fixture.names("linformer-head-"))
    func head(_ name: String) throws {
        let fixture = try Fixture(name)
        var reader = try ConfigurationReader(fixture.configuration, file: name)
        let (n, k) = (try reader.int("input_size"), try reader.int("dim_k"))
        var configuration = LinformerConfiguration(inputSize: n, channels: try reader.int("dim"), slots: k)
        configuration.heads = 1
        configuration.dropout = try reader.double("dropout")
        configuration.usesFullAttention = try reader.bool("full_attention")
        configuration.causality = try #require(LinformerCausality(reader.value("causal") ?? .bool(false)))
        let method: ProjectionMethod = try reader.option("method")
        let projections = (0..<2).map {
            getEF(
                inputSize: n, slots: k, method: method, headDimension: configuration.headWidth,
                key: RandomKey(seed: 1).child($0))
        }
        let layer = LinearAttentionHead(
            configuration, projections[0], projections[try reader.bool("shares") ? 0 : 1])
        let mask = try fixture.optional("mask")
        try expectModel(fixture, layer, inputs: ["q", "k", "v"]) {
            layer($0[0], $0[1], $0[2], inputMask: mask, mode: $1)
        }
    }

    @Test("Projections E and F agree with the peer", arguments: Fixture.names("linformer-ef-"))
    func projection(_ name: String) throws {
        let fixture = try Fixture(name)
        var reader = try ConfigurationReader(fixture.configuration, file: name)
        let projection = getEF(
            inputSize: try reader.int("input_size"), slots: try reader.int("dim"), method: try reader.option("method"),
            headDimension: try reader.optionalInt("head_dim"), bias: try reader.bool("bias"), key: RandomKey(seed: 1))
        // Columns of one head: [b, n, d] → [b, k, d]
        try expectModel(fixture, Named(projection: projection), inputs: ["x"]) {
            projection($0[0].unsqueezed(2), implementation: $1.implementation).squeezed(2)
        }
    }

    private struct Named: Module {
        let projection: SequenceProjection
        func collect(into state: inout StateCollector) { projection.collect("E", into: &state) }
    }

    /// Loads the weights, then compares what both forms compute: output, loss and gradients, those of the inputs included.
    private func expectModel(
        _ fixture: Fixture, _ module: any Module, inputs: [String], _ forward: ([Tensor], ForwardMode) -> Tensor
    ) throws {
        try fixture.load(module)
        for form in Implementation.allCases {
            let leaves = try inputs.map { try fixture.tensor($0).requiringGradient() }
            let output = forward(leaves, .inference.using(form))
            #expect(output.shape == (try fixture.tensor("output").shape))
            try fixture.expectValues(output, fixture.tensor("output"), "\(form) output")
            let loss: Tensor
            if let probe = try fixture.optional("probe") {
                loss = (output * probe).sum()  // of terms that cancel: not compared
            } else {
                loss = crossEntropy(output, try fixture.file.tokens("targets"))
                try fixture.expectValues(loss, fixture.tensor("loss"), "\(form) loss")
            }
            let leavesByName = Dictionary(uniqueKeysWithValues: zip(inputs, leaves))
            try fixture.expectLinformerGradients(gradients(of: loss), module, inputs: leavesByName)
        }
    }
}

extension Fixture {
    /// Those of the names that the file has.
    fileprivate func present(_ names: [String]) -> [String] { names.filter { file.entries[$0] != nil } }
}
