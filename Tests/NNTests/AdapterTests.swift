import AttentionZooTestSupport
import NN
import Tensors
import Testing

/// Two layers after an embedding whose table is the output's as well, and packed projections.
private struct Small: Module {
    let embedding = Embedding(6, 4, key: RandomKey(seed: 1))
    let first = Linear(4, 5, key: RandomKey(seed: 2))
    let packed = PackedParameters(
        [Tensor.normal([2, 5], key: RandomKey(seed: 3)), .normal([2, 5], key: RandomKey(seed: 4))], isMatrix: true)

    func collect(into state: inout StateCollector) {
        state.add("embedding", embedding)
        state.add("layers.0", first)
        for (index, part) in packed.parts.enumerated() { state.add("heads.\(index).weight", part) }
        state.add("output.weight", embedding.weight)
    }

    func callAsFunction() -> Tensor {
        let x = gelu(first(embedding(TokenTensor([3, 1, 5]))))
        return linear(linear(x, weight: packed.matrix), weight: embedding.weight.matrix)
    }

    var loss: Tensor { crossEntropy(self(), TokenTensor([0, 4, 2])) }

    /// Gives the adapters values as if they had been trained.
    func trainAdapters() {
        for (index, entry) in trainable.enumerated() {
            entry.parameter.assign(
                .normal(entry.parameter.shape, standardDeviation: 0.3, key: RandomKey(seed: 9).child(index)))
        }
    }
}

@Suite struct AdapterTests {
    @Test("New adapters change nothing, and are all that is trained") func fresh() throws {
        let model = Small()
        let before = model().values
        let keys = try model.addAdapters(matching: ["layers.0", "heads.1.weight"], rank: 2, key: RandomKey(seed: 5))
        #expect(keys == ["layers.0.weight", "heads.1.weight"])
        #expect(model().values == before)
        let expected = [
            "layers.0.lora_A.weight", "layers.0.lora_B.weight", "heads.1.lora_A.weight", "heads.1.lora_B.weight",
        ]
        #expect(model.trainable.map(\.key) == expected)
        #expect(model.trainable.map(\.parameter.shape) == [[2, 4], [5, 2], [2, 5], [2, 2]])
        let gradients = gradients(of: model.loss)
        #expect(model.state.filter { gradients[$0.parameter] != nil }.map(\.key) == expected)
        // Within 1 / √inputs, as PEFT draws A.
        #expect(model.trainable[0].parameter.value.values.allSatisfy { abs($0) <= 0.5 && $0 != 0 })
    }

    @Test("The matrix is W + α / r B A, and gradients go to A and B") func formula() throws {
        let model = Small()
        try model.addAdapters(matching: "*", rank: 3, alpha: 6, key: RandomKey(seed: 5))
        #expect(model.trainable.count == 6)
        model.trainAdapters()
        let adapter = try #require(model.first.weight.adapter)
        let (a, b) = (adapter.down.value, adapter.up.value)
        let whole = model.first.weight.value + 2 * matrixProduct(b, a)
        #expect(model.first.weight.matrix.tensor.isClose(to: whole, absolute: 1e-6))

        let gradients = gradients(of: model.loss)
        // The same model with whole matrices.
        let plain = Small()
        for (one, other) in zip(plain.packed.parts, model.packed.parts) { one.assign(other.matrix.tensor) }
        plain.first.weight.assign(whole)
        let dW = try #require(Tensors.gradients(of: plain.loss)[plain.first.weight])
        let expected = [2 * matrixProduct(b, dW, transposeA: true), 2 * matrixProduct(dW, a, transposeB: true)]
        #expect(try #require(gradients[adapter.down]).isClose(to: expected[0], absolute: 1e-6))
        #expect(try #require(gradients[adapter.up]).isClose(to: expected[1], absolute: 1e-6))
    }

    @Test("A merged model computes the same without adapters") func merging() throws {
        let model = Small()
        let keys = model.state.map(\.key)
        try model.addAdapters(matching: ["layers.0", "heads.*"], rank: 2, key: RandomKey(seed: 5))
        model.trainAdapters()
        let before = model()
        model.mergeAdapters()
        #expect(model().isClose(to: before, absolute: 1e-6))
        #expect(model.state.map(\.key) == keys)
        #expect(model.trainable.isEmpty)
        model.unfreeze()
        #expect(model.trainable.count == 5)
    }

    @Test("Adapters are saved alone under PEFT's names, and loaded into a model of the same weights") func files()
        throws
    {
        let folder = try TemporaryFolder()
        let model = Small()
        try model.addAdapters(matching: ["layers.0", "heads.1"], rank: 2, alpha: 8, key: RandomKey(seed: 5))
        model.trainAdapters()
        try model.saveAdapters(to: folder.path + "/new")
        let file = try SafetensorsFile(path: folder.path + "/new/adapter_model.safetensors")
        let names = ["heads.1", "layers.0"].flatMap { layer in
            ["A", "B"].map { "base_model.model.\(layer).lora_\($0).weight" }
        }
        #expect(file.names.sorted() == names)
        let text = try folder.read("new/adapter_config.json")
        for part in [
            #""peft_type":"LORA""#, #""r":2"#, #""lora_alpha":8"#, #""target_modules":["layers.0","heads.1"]"#,
        ] {
            #expect(text.replacing(" ", with: "").contains(part), "\(text)")
        }
        let other = Small()
        try other.loadAdapters(from: folder.path + "/new")
        #expect(other().values == model().values)
        #expect(other.trainable.map(\.key) == model.trainable.map(\.key))
    }

    @Test("What does not fit is named, and nothing is changed") func misfits() throws {
        let folder = try TemporaryFolder()
        let model = Small()
        func message(_ body: () throws -> Void) -> String {
            #expect(throws: InputError.self) { try body() }?.message ?? ""
        }
        #expect(
            message { try model.addAdapters(matching: ["layers.0", "layer.1"], key: RandomKey(seed: 1)) }.contains(
                "\"layer.1\""))
        #expect(
            message { try model.addAdapters(matching: "embedding", key: RandomKey(seed: 1)) }.contains("\"embedding\""))
        #expect(message { try model.saveAdapters(to: folder.path) }.contains("adapters"))
        #expect(model.frozenKeys.isEmpty)

        let path = try folder.write(#"{"r": 2, "lora_alpha": 4}"#, "a/adapter_config.json")
        func write(_ shape: [Int], _ layer: String) throws {
            var writer = SafetensorsWriter()
            try writer.add("base_model.model.\(layer).lora_A.weight", .zeros([2, 4]))
            try writer.add("base_model.model.\(layer).lora_B.weight", .zeros(shape))
            try writer.write(to: folder.path + "/a/adapter_model.safetensors")
        }
        try write([4, 2], "layers.0")
        #expect(message { try model.loadAdapters(from: folder.path + "/a") }.contains("expected [5, 2], found [4, 2]"))
        try write([5, 2], "layers.1")
        #expect(message { try model.loadAdapters(from: folder.path + "/a") }.contains("layers.1.lora_A"))
        try folder.write(#"{"r": 2}"#, "a/adapter_config.json")
        #expect(message { try model.loadAdapters(from: folder.path + "/a") }.contains("\(path): lora_alpha"))
        #expect(model.state.count == Small().state.count && model.frozenKeys.isEmpty)
        try folder.write(#"{"r": 2, "lora_alpha": 4}"#, "a/adapter_config.json")
        try write([5, 2], "layers.0")
        try model.loadAdapters(from: folder.path + "/a")
        #expect(model.trainable.count == 2)
    }
}
