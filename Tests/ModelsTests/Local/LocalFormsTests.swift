import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

/// The fused form and the plain form, over every option.
@Suite struct LocalFormsTests {
    @Test("Random models have the same logits, losses and gradients in both forms", arguments: 0..<60)
    func modelsAgree(_ seed: Int) {
        var draw = Draw(seed)
        let (b, n) = (draw.count(1...3), draw.count(1...19))
        let model = draw.model(length: n)
        expectFormsAgree(
            of: model, randomTokens([b, n], seed: UInt64(seed)), randomTokens([b, n], seed: UInt64(seed + 1000)),
            dropout: draw.key(), "\(seed): \(model.configuration.json)")
    }

    @Test("Random models with masks have the same logits and gradients in both forms", arguments: 0..<40)
    func maskedModelsAgree(_ seed: Int) throws {
        var draw = Draw(seed + 100)
        let (b, n) = (draw.count(1...3), draw.count(1...19))
        let (model, key) = (draw.model(length: n), draw.key())
        let tokens = randomTokens([b, n], seed: UInt64(seed))
        let mask = draw.mask([b, n])
        let probe = Tensor.normal([b, n, vocabulary], key: RandomKey(seed: UInt64(seed)))
        try expectAgreement(model.trainable, rows: b * n, lengths: [[b, n]], probe, "\(seed)") { implementation in
            model(tokens, mask: mask, mode: mode(key, implementation))
        }
    }

    @Test("Random layers with a norm of their own, masks and biases agree", arguments: 0..<30)
    func layersAgree(_ seed: Int) throws {
        var draw = Draw(seed + 200)
        let (b, n) = (draw.count(1...3), draw.count(1...19))
        var options = draw.configuration(length: n).attention
        options.normalizesFirst = draw.flag()
        let (layer, key) = (LocalMHA(options, key: RandomKey(seed: 7)), draw.key())
        moveLocalOffInitialValues(layer)
        let inputs = ["x", "residual"].map { _ in draw.normal([b, n, options.dimension]).requiringGradient() }
        let pattern = options.attention.pattern(window: options.attention.windowSize)
        let table = draw.normal([options.heads, pattern.window, pattern.window * pattern.windows]).requiringGradient()
        let (mask, bias) = (draw.flag() ? draw.mask([b, n]) : nil, draw.flag() ? WindowBias.byPlace(table) : nil)
        let leaves = zip(["x", "residual"], inputs).map { ($0, $1) } + (bias == nil ? [] : [("bias", table)])
        let probe = draw.normal([b, n, options.dimension])
        try expectAgreement(
            layer.trainable, leaves, rows: b * n, lengths: [[b, n, options.dimension]], probe, "\(seed)"
        ) { implementation in
            layer(inputs[0], mask: mask, bias: bias, residual: inputs[1], mode: mode(key, implementation))
        }
    }

    @Test("Random attention over windows agrees, also with other windows than trained", arguments: 0..<40)
    func attentionAgrees(_ seed: Int) throws {
        var draw = Draw(seed + 300)
        let (n, d) = (draw.count(1...19), 2 * draw.count(2...4))
        var options = draw.configuration(length: n).attention.attention
        (options.autopads, options.dimension) = (true, d)
        let outer = draw.flag() ? [2, 3] : [4]
        let parts = ["q", "k", "v"].map { ($0, draw.normal(outer + [n, $0 == "v" ? 5 : d]).requiringGradient()) }
        let window = options.usesXpos && options.usesRotary && draw.flag() ? draw.count(1...8) : nil
        let mask = draw.flag() ? draw.mask([2, n]) : nil
        let (layer, key, probe) = (LocalAttention(options), draw.key(), draw.normal(outer + [n, 5]))
        try expectAgreement([], parts, rows: 6 * n, lengths: [outer + [n, d]], probe, "\(seed)") { implementation in
            layer(
                parts[0].1, parts[1].1, parts[2].1, mask: mask, windowSize: window, mode: mode(key, implementation))
        }
    }

    private func mode(_ key: RandomKey?, _ implementation: Implementation) -> ForwardMode {
        (key.map { .training($0) } ?? ForwardMode.inference).using(implementation)
    }

    /// Compares values and the gradients of parameters and inputs.
    private func expectAgreement(
        _ parameters: [(key: String, parameter: Parameter)], _ inputs: [(String, Tensor)] = [], rows: Int,
        lengths shapes: [[Int]], _ probe: Tensor, _ what: String, _ forward: (Implementation) -> Tensor
    ) throws {
        let lengths = SumLengths(
            shapes: parameters.map(\.parameter.shape) + inputs.map(\.1.shape) + shapes, rows: rows)
        let (fused, plain) = (forward(.fused), forward(.plain))
        expectClose(fused, plain, roundings: lengths.path, "\(what): output")
        let (ours, theirs) = (gradients(of: fused, seed: probe), gradients(of: plain, seed: probe))
        // Queries without rotation of a head that sees one key have no gradient in either form.
        func pair(_ name: String, _ leaf: Tensor) -> (String, Tensor, Tensor) {
            ("\(what): \(name)", ours[leaf] ?? .zeros(leaf.shape), theirs[leaf] ?? .zeros(leaf.shape))
        }
        expectGradients(parameters.map { pair($0.key, $0.parameter.value) } + inputs.map(pair), lengths)
    }

}

@Suite struct LocalListingTests {
    @Test("The card shows the source as it is") func card() throws {
        try expectListing(inCard: "Models/Local/README.md", of: "Models/Local/LocalTransformer.swift", lines: 60)
    }
}

/// Options and inputs drawn at random, the same for the same seed.
private struct Draw {
    private var values: [UInt64]

    init(_ seed: Int) { values = RandomKey(seed: UInt64(seed)).integers(200) }

    mutating func count(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(values.removeLast() % UInt64(range.count))
    }

    mutating func flag() -> Bool { count(0...1) == 1 }

    mutating func choice<Value>(_ some: Value...) -> Value { some[count(0...some.count - 1)] }

    mutating func normal(_ shape: [Int]) -> Tensor { .normal(shape, key: RandomKey(seed: values.removeLast())) }

    /// For dropout, in two of three cases.
    mutating func key() -> RandomKey? { choice(nil, RandomKey(seed: 5), RandomKey(seed: values.removeLast())) }

    /// Padding on the right, on the left, or holes; in some rows everything.
    mutating func mask(_ shape: [Int]) -> Tensor {
        var elements: [Float] = []
        for _ in 0..<shape[0] {
            let (kind, length, n) = (count(0...3), count(0...shape[1]), shape[1])
            elements += (0..<n).map { place in
                switch kind {
                case 0: place < length ? 1 : 0
                case 1: place < length ? 0 : 1
                case 2: Float(count(0...2) == 0 ? 0 : 1)
                default: 1
                }
            }
        }
        return Tensor(elements, shape: shape)
    }

    mutating func configuration(length n: Int) -> LocalConfiguration {
        var configuration = LocalConfiguration(
            tokens: vocabulary, maximumLength: n + count(0...2), dimension: count(9...15), depth: count(1...2),
            windowSize: count(1...6))
        configuration.residualStreams = count(1...4)
        configuration.usesDynamicBias = flag()
        configuration.feedForwardMultiple = choice(1, 2.5, 4)
        configuration.feedForwardDropout = choice(0, 0.3)
        configuration.ignoreIndex = choice(-1, 4)
        configuration.globalLayers = choice(nil, [1])
        configuration.attention.heads = count(1...3)
        configuration.attention.headDimension = 2 * count(2...3)
        configuration.attention.normalizesQueriesAndKeys = flag()
        configuration.attention.qkScale = choice(2, 4)
        configuration.attention.gatesHeads = flag()
        setAttention(&configuration.attention.attention)
        return configuration
    }

    private mutating func setAttention(_ options: inout LocalAttentionOptions) {
        options.isCausal = flag()
        options.lookBackward = count(0...3)
        options.lookForward = options.isCausal ? choice(nil, 0) : choice(nil, 0, 2)
        options.dropout = choice(0, 0.2)
        options.sharesQueriesAndKeys = count(0...2) == 0
        options.isExact = flag()
        options.scale = choice(nil, 0.7)
        options.usesRotary = count(0...3) > 0
        options.usesXpos = flag()
        options.usesTruePositions = flag()
        // Scores of keys ahead grow with the distance: with a short base to hundreds, which leaves few digits of a weight.
        options.xposScaleBase = options.usesTruePositions ? 12 : choice(nil, 3)
    }

    mutating func model(length n: Int) -> LocalTransformer {
        let configuration = configuration(length: n)
        let model: LocalTransformer
        if flag() {
            model = LocalTransformer(configuration, key: RandomKey(seed: 7)) { _, key in
                TokenwiseLayer(Linear(configuration.dimension, configuration.dimension, key: key)) { $0($1) }
            }
        } else {
            model = LocalTransformer(configuration, key: RandomKey(seed: 7))
        }
        moveLocalOffInitialValues(model)
        // The first layer's streams are alike, so it reads its input times one number: 1 and a dynamic part, which must stay
        // below 1 (of S streams together), or where it cancels the 1 the norm that follows divides by rounding errors.
        for (key, parameter) in model.trainable where key.hasSuffix("dynamic_alpha_scale") {
            parameter.assign(parameter.value.detached() * (1 / Float(configuration.residualStreams)))
        }
        return model
    }
}
