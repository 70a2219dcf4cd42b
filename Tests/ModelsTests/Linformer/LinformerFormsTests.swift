import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// The plain form, Linformer.swift read as the papers, against the fused one, over random configurations of every option.
@Suite("Linformer's forms") struct LinformerFormsTests {
    @Test("Fused and plain language models agree in logits, loss and gradients", arguments: 0..<100)
    func models(seed: UInt64) {
        var draw = Draws(seed: seed)
        let model = LinformerLM(draw.model(), key: RandomKey(seed: seed))
        moveLinformerOffInitialValues(model)
        let shape = [draw.one(of: [1, 2, 3]), draw.length(model.configuration.stack.inputSize)]
        expectFormsAgree(
            of: model, randomLinformerTokens(shape, seed: seed), randomLinformerTokens(shape, seed: seed + 1000),
            dropout: RandomKey(seed: seed), "\(shape), \(model.configuration.json)")
    }

    @Test("Fused and plain encoder–decoders agree in logits, loss and gradients", arguments: 0..<40)
    func encoderDecoders(seed: UInt64) {
        var draw = Draws(seed: seed + 200)
        let model = LinformerEncDec(draw.encoderDecoder(), key: RandomKey(seed: seed))
        moveLinformerOffInitialValues(model)
        let (b, n) = (draw.one(of: [1, 2]), draw.number(in: 2...model.maximumLength! / 2))
        // Rows begin their targets at one place, or each at its own.
        let start = draw.number(in: 1...n - 1)
        let starts = draw.one(of: [true, false]) ? [start, start] : [start, draw.number(in: 1...n - 1)]
        var (inputs, targets) = (
            randomLinformerTokens([b, n], seed: seed), randomLinformerTokens([b, n], seed: seed + 1000)
        )
        for row in 0..<b {
            inputs.values[row * n + starts[row]] = Int32(vocabulary - 1)
            for t in 0..<starts[row] { targets.values[row * n + t] = ignoredTarget }
        }
        expectFormsAgree(
            of: model, inputs, targets, dropout: RandomKey(seed: seed),
            "\(b) × \(n), targets at \(starts), \(model.configuration.json)")
    }

    @Test("Fused and plain layers agree with masks and embeddings, and show the same weights", arguments: 0..<100)
    func layers(seed: UInt64) throws {
        var draw = Draws(seed: seed + 400)
        let configuration = draw.stack(isDecoder: draw.one(of: [true, false]))
        let model = Linformer(configuration, key: RandomKey(seed: seed))
        moveLinformerOffInitialValues(model)
        let (b, n) = (draw.one(of: [1, 2, 3]), draw.length(configuration.inputSize))
        let x = Tensor.normal([b, n, configuration.channels], key: RandomKey(seed: seed)).requiringGradient()
        var leaves = [("x", x)]
        if configuration.isDecoder {
            let shape = [b, draw.length(configuration.longest(isDecoder: true)), configuration.contextChannels!]
            leaves.append(("embeddings", Tensor.normal(shape, key: RandomKey(seed: seed + 1)).requiringGradient()))
        }
        let embeddings = leaves.count > 1 ? leaves[1].1 : nil
        let (mask, embeddingsMask) = (draw.mask(b, n), embeddings.flatMap { draw.mask(b, $0.shape[1]) })
        try expectAgreement(
            of: model, leaves: leaves, "\(b) × \(n), masks \(mask?.values ?? []), \(configuration.json)"
        ) {
            model(x, embeddings: embeddings, inputMask: mask, embeddingsMask: embeddingsMask, mode: $0)
        }
    }

    @Test("The fused and the plain model of preset quick agree")
    func quick() {
        var configuration = LinformerLMConfiguration(tokens: 256, inputSize: 256, channels: 64)
        (configuration.stack.slots, configuration.stack.feedForwardDimension) = (128, 256)
        (configuration.stack.heads, configuration.stack.depth) = (2, 3)
        (configuration.stack.causality, configuration.stack.projectionStart) = (.causal, .turns)
        (configuration.stack.dropout, configuration.stack.feedForwardDropout, configuration.tokenDropout) = (0, 0, 0)
        let model = LinformerLM(configuration, key: RandomKey(seed: 1))
        func tokens(_ seed: UInt64) -> TokenTensor {
            TokenTensor(RandomKey(seed: seed).integers(256).map { Int32($0 % 256) }, shape: [1, 256])
        }
        expectFormsAgree(of: model, tokens(2), tokens(3), "quick")
    }

    @Test("Both forms take sequences without tokens", arguments: [[1, 0], [0, 5], [0, 0]], [true, false])
    func empty(shape: [Int], isCausal: Bool) {
        let model = makeLinformerModel(LinformerVariant(), isCausal ? .causal : .bidirectional)
        for form in Implementation.allCases {
            #expect(model(TokenTensor([], shape: shape), mode: .inference.using(form)).shape == shape + [vocabulary])
        }
    }

    @Test("The card lists the plain form")
    func theCardListsThePlainForm() throws {
        try expectListing(
            inCard: "Models/Linformer/README.md", of: "Models/Linformer/Linformer.swift",
            "Models/Linformer/LinformerLM.swift", "Models/Linformer/CausalAttention.swift",
            "Models/Linformer/SegmentHeads.swift",
            "Models/Linformer/PlainSegmentAttention.swift", lines: 120)
    }

    /// Expects both forms of a module to agree in the output, the weights that they show, and the gradients of parameters and
    /// leaves.
    private func expectAgreement(
        of module: any Module, leaves: [(name: String, tensor: Tensor)], _ what: String,
        _ forward: (ForwardMode) -> Tensor
    ) throws {
        func run(_ form: Implementation) -> (values: [Tensor], gradients: Gradients) {
            let recorder = AttentionRecorder()
            let output = forward(.training(RandomKey(seed: 8)).using(form))
            _ = forward(.recording(recorder).using(form))
            let probe = Tensor.normal(output.shape, key: RandomKey(seed: 9))
            return ([output.detached()] + recorder.layers.map(\.weights), gradients(of: (output * probe).sum()))
        }
        let (plain, fused) = (run(.plain), run(.fused))
        let shapes = module.state.map(\.parameter.shape) + leaves.map(\.tensor.shape)
        let lengths = SumLengths(shapes: shapes, rows: leaves[0].tensor.shape[0] * leaves[0].tensor.shape[1])
        #expect(plain.values.map(\.shape) == fused.values.map(\.shape), "\(what)")
        for (index, (got, expected)) in zip(fused.values, plain.values).enumerated() {
            expectClose(
                got.values, expected.values.map(Double.init),
                within: lengths.tolerance(largest: largest(expected.values)), "\(what): value \(index)")
        }
        func gradient(_ all: Gradients, _ tensor: Tensor) -> Tensor { all[tensor] ?? .zeros(tensor.shape) }
        func gradient(_ all: Gradients, _ parameter: Parameter) -> Tensor { all[parameter] ?? .zeros(parameter.shape) }
        expectGradients(
            leaves.map {
                ("\(what): \($0.name)", gradient(fused.gradients, $0.tensor), gradient(plain.gradients, $0.tensor))
            }
                + module.trainable.map {
                    (
                        "\(what): \($0.key)", gradient(fused.gradients, $0.parameter),
                        gradient(plain.gradients, $0.parameter)
                    )
                }, lengths)
    }
}

/// Random choices for a test.
private struct Draws {
    private let key: RandomKey
    private var count = 0

    init(seed: UInt64) { key = RandomKey(seed: seed) }

    mutating func number(in range: ClosedRange<Int>) -> Int {
        count += 1
        return range.lowerBound + Int(key.child(count).integers(1)[0] % UInt64(range.count))
    }

    mutating func one<Value>(of values: [Value]) -> Value { values[number(in: 0...values.count - 1)] }

    /// Draws from a stream of its own, which leaves the draws after it as they are.
    func apart<Value>(_ stream: Int, of values: [Value]) -> Value {
        values[Int(key.child(stream).integers(1)[0] % UInt64(values.count))]
    }

    /// A length that is often the longest or 1.
    mutating func length(_ longest: Int) -> Int { one(of: [1, longest, number(in: 1...longest)]) }

    mutating func stack(isDecoder: Bool = false) -> LinformerConfiguration {
        // A norm of two columns leaves only their order, which no rounding may change.
        let heads = number(in: 1...3)
        let width = heads * one(of: heads == 1 ? [4, 5, 7] : [2, 3, 4])
        var c = LinformerConfiguration(
            inputSize: one(of: [9, 17, 33, 70]), channels: width, slots: one(of: [1, 3, 5, 8]), depth: one(of: [1, 2]))
        (c.heads, c.headDimension) = (heads, one(of: [nil, nil, 1, 5]))
        (c.feedForwardDimension, c.includesFeedForward) = (one(of: [5, 8, 13]), one(of: [true, true, false]))
        c.activation = one(of: [.gelu, .relu])
        c.sharing = one(of: ParameterSharing.allCases)
        c.method = one(of: ProjectionMethod.allCases)
        c.usesFullAttention = one(of: [true, false, false, false])
        c.causality = one(of: [.bidirectional, .causal, .causal, .compatible])
        c.slotReduction = c.method == .convolution && c.sharing == .layerwise ? 0 : one(of: [0, 2])
        c.outputIntermediate = one(of: [nil, 6])
        (c.checkpointLevel, c.projectionStart) = (one(of: CheckpointLevel.allCases), one(of: [.xavier, .turns]))
        c.hidesMaskedKeys = one(of: [true, false])
        (c.dropout, c.feedForwardDropout) = (one(of: [0, 0.2]), one(of: [0, 0.3]))
        c.isDecoder = isDecoder
        if isDecoder { (c.contextSize, c.contextChannels) = (one(of: [8, 13]), one(of: [3, 6])) }
        if c.includesFeedForward && !isDecoder { c.intermediateChannels = one(of: [nil, nil, 6]) }
        c.normalizesFirst = one(of: [true, false])
        if !isDecoder && !c.usesFullAttention && one(of: [true, false]) { readInSegments(&c) }
        c.gatesFeedForward = apart(-1, of: [true, false])
        return c
    }

    mutating func readInSegments(_ c: inout LinformerConfiguration) {
        c.causality = .segments
        (c.segments.window, c.segments.slots) = (one(of: [1, 3, 8, 40]), number(in: 0...3))
        c.segments.projection = one(of: SegmentMethod.allCases)
        c.segments.length =
            c.segments.projection == .mean ? max(c.segments.slots, 1) * number(in: 1...3) : one(of: [1, 3, 4, 9])
        (c.segments.reach, c.segments.maximum) = (one(of: SlotReach.allCases), one(of: [nil, 1, 3]))
        // A norm of two columns leaves only their order here, too.
        c.segments.usesDualNorm = c.headWidth > 3 && one(of: [true, false])
        c.segments.positions = one(of: c.headWidth % 2 == 0 ? WindowPositions.allCases : [.relative, .none])
        c.segments.distances = one(of: [0, 1, 4])
        if c.sharing == .layerwise && c.segments.projection == .dynamic { c.intermediateChannels = nil }
        c.shortConvolution = apart(-2, of: [0, 1, 2, 4])
    }

    mutating func model() -> LinformerLMConfiguration {
        var c = LinformerLMConfiguration(tokens: vocabulary, inputSize: 1, channels: 1)
        c.stack = stack()
        c.embeddingDimension = one(of: [nil, nil, 5])
        (c.usesPositions, c.tokenDropout) = (one(of: [true, false]), one(of: [0, 0.1]))
        return c
    }

    mutating func encoderDecoder() -> LinformerEncDecConfiguration {
        let (encoder, decoder) = (model(), model())
        var both = LinformerEncDecConfiguration(encoder: encoder, decoder: decoder, startToken: vocabulary - 1)
        both.encoder.stack.causality = .bidirectional
        both.decoder.stack.intermediateChannels = nil
        if both.decoder.stack.isUnlimited { both.decoder.stack.causality = .causal }
        return both
    }

    /// No mask, or one of each row: padding on the right, or tokens left out anywhere.
    mutating func mask(_ b: Int, _ n: Int) -> Tensor? {
        switch number(in: 0...3) {
        case 0: return nil
        case 1:
            let kept = (0..<b).map { _ in number(in: 0...n) }
            return Tensor((0..<b * n).map { $0 % n < kept[$0 / n] ? 1 : 0 }, shape: [b, n])
        default: return Tensor((0..<b * n).map { _ in Float(number(in: 0...3) > 0 ? 1 : 0) }, shape: [b, n])
        }
    }
}
