import AttentionZooTestSupport
import NN
import Tensors
import Testing

/// An embedding whose table is the last matrix too, a layer between them, a norm, and a matrix that is no layer's.
private struct Small: Module {
    let table: Embedding
    let layer: Linear
    let norm: LayerNorm
    let other: Parameter

    init(seed: UInt64 = 1) {
        let key = RandomKey(seed: seed)
        table = Embedding(9, 66, key: key.child(0))
        layer = Linear(66, 66, key: key.child(1))
        norm = LayerNorm(66)
        other = Parameter(.normal([4, 4], key: key.child(2)))
    }

    /// tokens: [b] → [b, 9]
    func callAsFunction(_ tokens: TokenTensor) -> Tensor {
        withoutGradients { linear(norm(layer(table(tokens))), weight: table.weight.matrix) }
    }

    func collect(into state: inout StateCollector) {
        state.add("table", table)
        state.add("layer", layer)
        state.add("norm", norm)
        state.add("other", other)
        state.add("output.weight", table.weight)
    }
}

@Suite struct RoundedWeightsTests {
    let folder = try! TemporaryFolder()
    var path: String { folder.path + "/rounded.safetensors" }

    @Test("A rounded model saves what it computes with", arguments: RoundedMatrix.Format.allCases)
    func aRoundedModelIsWhatItSaves(_ format: RoundedMatrix.Format) throws {
        let (model, floats) = (Small(), Small(seed: 2))
        let before = Dictionary(uniqueKeysWithValues: model.state.map { ($0.key, $0.parameter.value.values) })
        try model.roundWeights(to: format)
        #expect(model.roundedFormat == format && floats.roundedFormat == nil)
        for (key, parameter) in model.state {
            let isMatrix = ["table.weight", "layer.weight", "output.weight"].contains(key)
            #expect(parameter.roundedFormat == (isMatrix ? format : nil), "\(key)")
            #expect((parameter.floats().values == before[key]) == !isMatrix, "\(key)")
        }
        #expect(model.parameterCount == floats.parameterCount)

        try model.save(to: path)
        try floats.load(from: path)
        #expect(floats.state.map { $0.parameter.value.values } == model.state.map { $0.parameter.floats().values })
        let tokens = TokenTensor([3, 0, 8])
        let (found, expected) = (model(tokens).values, floats(tokens).values)
        // Sums of 66 products of normed features and entries of up to 4, in another order.
        for (a, b) in zip(found, expected) { #expect(abs(a - b) <= 66 * 0x1p-24 * 32) }

        // Rounded once; again changes nothing.
        let saved = model.state.map { $0.parameter.floats().values }
        try model.roundWeights(to: format == .int8 ? .bfloat16 : .int8)
        #expect(model.state.map { $0.parameter.floats().values } == saved && model.roundedFormat == format)
    }

    @Test("Weights that cannot be rounded are named")
    func weightsWithoutAFiniteNumberAreNamed() throws {
        for (value, format) in [
            (Float.nan, RoundedMatrix.Format.int8), (.infinity, .bfloat16), (0x1.ffp127, .bfloat16),
        ] {
            let model = Small()
            model.layer.weight.value.mutablePointer[70] = value
            let error = #expect(throws: InputError.self) { try model.roundWeights(to: format) }
            #expect(
                error?.message == "layer.weight: has a weight \(value), which cannot be rounded to \(format.rawValue)")
            #expect(model.roundedFormat == nil)
        }
        let model = Small()
        model.norm.weight.value.mutablePointer[3] = .nan  // stays a float
        try model.roundWeights(to: .int8)
        #expect(model.roundedFormat == .int8)
    }

    @Test("A rounded model loads no weights")
    func aRoundedModelLoadsNothing() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            [path = path as String] in
            let model = Small()
            try model.save(to: path)
            try model.roundWeights(to: .int8)
            try model.load(from: path)
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("load: the model's weights are rounded; expected a model of floats"))
    }
}
