import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// A drawn configuration, with the tokens it reads.
struct FormCase: CustomTestStringConvertible, Sendable {
    let number: Int
    var configuration: FastWeightsConfiguration
    let batch: Int, length: Int, segments: Int

    init(_ number: Int) {
        self.number = number
        var draw = FastWeightsDraw(RandomKey(seed: UInt64(number)))
        let heads = draw.one(of: [1, 2, 3])
        // A norm of two columns leaves only their order, which no rounding may change.
        let d = draw.one(of: heads == 1 ? [4, 5, 7] : [2, 3, 4])
        var c = FastWeightsConfiguration(tokens: vocabulary, width: heads * d)
        (c.heads, c.layers) = (heads, draw.one(of: [1, 2]))
        c.feedForwardDimension = draw.one(of: [5, 8, 13])
        c.featureMap = draw.one(of: [.dpfp, .dpfp, .elu, .favor, .softmax])
        (c.nu, c.favorFeatures) = (draw.one(of: [1, 2, 3]), draw.one(of: [3, 8]))
        c.rule = draw.one(of: [.delta, .delta, .sum])
        (c.keyNorm, c.normalizesAttention) = (draw.one(of: [.sum, .sum, .none]), draw.one(of: [true, false]))
        // DPFP's sums may be nearly 0, and what is divided by them, most of all a whole memory, is known badly. The fixtures
        // have the usual ε.
        c.epsilon = draw.one(
            of: c.featureMap != .dpfp ? [1e-6, 0.1] : c.normalizesAttention ? [0.3, 1] : [0.03, 0.1])
        c.beta = draw.one(of: [nil, nil, 0.6, 1])
        if c.rule == .delta && c.keyNorm == .none && !c.normalizesAttention {
            // Nothing divides keys longer than 1: a larger share would erase more than there is, over and over.
            c.beta = 0.2 / Double(d)
        }
        (c.usesPositions, c.normsAttention) = (draw.one(of: [true, false]), draw.one(of: [true, false]))
        (c.gatesFeedForward, c.recomputesStates) = (draw.one(of: [true, false]), draw.one(of: [true, false]))
        (c.redrawsFavor, c.startsIdentical) = (draw.one(of: [true, false]), draw.one(of: [true, false]))
        c.dropout = draw.one(of: [0, 0, 0.2])
        if number >= Self.labml { Self.drawRecipe(&c, &draw) }
        configuration = c
        (batch, length) = (draw.one(of: [1, 2, 3]), draw.one(of: [1, 2, 7, 31, 33, 70]))
        segments = draw.one(of: [1, 1, 2, 3])
    }

    /// The cases with the options of labml-nn's form alone; the others draw all.
    private static let labml = 80
    static let all = (0..<180).map(FormCase.init)
    static let remembering = all.filter { $0.configuration.featureMap != .softmax }

    var testDescription: String { "\(number): \(batch) × \(length) in \(segments) segments, \(configuration.json)" }

    /// Draws the options of today's recipe.
    private static func drawRecipe(_ c: inout FastWeightsConfiguration, _ draw: inout FastWeightsDraw) {
        (c.usesRMSNorm, c.normEpsilon) = (draw.one(of: [true, false]), draw.one(of: [1e-5, 0.1]))
        c.feedForwardActivation = draw.one(of: [.relu, .silu])
        c.feedForwardDimension = draw.one(of: [c.feedForwardDimension, c.feedForwardDimension, 0])
        (c.normsOutput, c.gatesOutput) = (draw.one(of: [true, false]), draw.one(of: [true, false]))
        guard c.featureMap != .softmax else { return }
        c.shortConvolution = draw.one(of: [0, 1, 2, 4, 4])
        c.featureMap = draw.one(of: [c.featureMap, .identity, .identity])
        c.keyNorm = draw.one(of: [.l2, .l2, .sum, .none])
        c.keyActivation = draw.one(of: KeyActivation.allCases.filter { $0 != .elu || c.featureMap == .identity })
        let isSigned = c.featureMap == .identity && [.silu, .identity].contains(c.keyActivation)
        if isSigned && c.keyNorm == .sum { c.keyNorm = .l2 }
        // Relu leaves nearly nothing of some short rows, whose direction is known badly.
        if c.keyActivation == .relu && c.keyNorm == .l2 { c.keyActivation = .silu }
        c.decays = draw.one(of: [true, false])
        if c.decays || isSigned || c.keyNorm == .l2 { c.normalizesAttention = false }
        if c.rule == .delta && c.keyNorm == .none && !c.normalizesAttention { c.beta = 0.2 / Double(c.headWidth) }
        c.betaRange = c.beta == nil ? draw.one(of: [1, 2]) : 1
    }

    /// Moves all parameters off their initial values, zeros and ones among them.
    static func move(_ module: any Module) {
        for (index, parameter) in module.trainable.map(\.parameter).enumerated() {
            let noise = Tensor.normal(parameter.shape, standardDeviation: 0.2, key: RandomKey(seed: 4).child(index))
            parameter.assign(parameter.value.detached() + noise)
        }
    }
}

/// Draws values, one after another.
struct FastWeightsDraw {
    private let key: RandomKey
    private var count = 0

    init(_ key: RandomKey) { self.key = key }

    mutating func one<Value>(of values: [Value]) -> Value {
        count += 1
        return values[Int(key.child(count).integers(1)[0] % UInt64(values.count))]
    }
}

/// The plain form is the reference of the fused one.
@Suite struct FastWeightsFormsTests {
    @Test("Plain and fused models agree in all they compute", arguments: FormCase.all)
    func modelsAgree(_ test: FormCase) {
        let model = FastWeightsLM(test.configuration, key: RandomKey(seed: 3))
        FormCase.move(model)
        let shape = [test.batch, test.length]
        expectFormsAgree(
            of: model, randomTokens(shape, seed: 5), randomTokens(shape, seed: 6),
            segments: min(test.segments, test.length), dropout: RandomKey(seed: 7), "case \(test.number)")
    }

    @Test("Plain and fused attention agree where gradients flow through the memory", arguments: FormCase.remembering)
    func attentionLayersAgree(_ test: FormCase) throws {
        let c = test.configuration
        let attention = FastWeightsAttention(c, key: RandomKey(seed: 3))
        FormCase.move(attention)
        func leaf(_ shape: [Int], _ seed: UInt64) -> Tensor {
            // Memories and sums of keys of fed models are positive where keys are, and not small.
            (Tensor.uniform(shape, key: RandomKey(seed: seed)) + 0.5).requiringGradient()
        }
        let shape = [test.batch, test.length, c.width]
        let x = Tensor.normal(shape, key: RandomKey(seed: 5)).requiringGradient()
        let memory = leaf([test.batch, c.heads, c.features, c.headWidth], 6)
        let keySum = c.normalizesAttention ? leaf([test.batch, c.heads, c.features, 1], 7) : nil
        let history = c.history > 0 ? leaf([test.batch, c.history, 3 * c.width], 10) : nil
        func run(_ implementation: Implementation) throws -> (values: [Tensor], gradients: [(String, Tensor)]) {
            let (y, state) = attention(
                x, state: FastWeights(memory: memory, keySum: keySum, history: history),
                mode: .training(RandomKey(seed: 8)).using(implementation))
            let after = try #require(state)
            let values = [y, after.memory] + [after.keySum, after.history].compactMap { $0 }
            let terms = values.enumerated().map { ($1 * .normal($1.shape, key: RandomKey(seed: 9).child($0))).sum() }
            let all = gradients(of: terms.reduce(.zeros([]), +))
            let leaves =
                [("x", x), ("memory", memory)]
                + [("keySum", keySum), ("history", history)].compactMap { name, leaf in leaf.map { (name, $0) } }
            let named = leaves.map { ($0, all[$1]) } + attention.trainable.map { ($0.key, all[$0.parameter]) }
            return (values.map { $0.detached() }, try named.map { ($0, try #require($1)) })
        }
        let (plain, fused) = (try run(.plain), try run(.fused))
        // Keys are divided by the sum of their features, which may be small.
        let responses = try roundingResponse(of: attention) {
            Dictionary(uniqueKeysWithValues: try run(.plain).gradients)
        }
        let lengths = SumLengths(
            shapes: attention.state.map(\.parameter.shape) + [memory.shape, shape], rows: test.batch * test.length)
        for (got, expected) in zip(fused.values, plain.values) {
            expectClose(got, expected, roundings: 2 * lengths.path, "case \(test.number): \(expected.shape)")
        }
        let overall = plain.gradients.map { largest($0.1.values) }.max() ?? 0
        for ((name, got), (_, expected)) in zip(fused.gradients, plain.gradients) {
            let tolerance = lengths.gradientTolerance(
                count: expected.count, largest: largest(expected.values), overall: overall,
                response: responses[name] ?? 0)
            expectClose(
                got.values, expected.values.map(Double.init), within: tolerance, "case \(test.number): \(name)")
        }
    }

    @Test("Every drawn configuration can be read", arguments: FormCase.all)
    func drawnConfigurationsCanBeRead(_ test: FormCase) throws {
        let json = test.configuration.json
        #expect(try FastWeightsConfiguration(json, file: "drawn").json == json)
    }

    @Test("The card lists the plain form")
    func theCardListsThePlainForm() throws {
        try expectListing(
            inCard: "Models/FastWeights/README.md", of: "Models/FastWeights/FastWeights.swift",
            "Models/FastWeights/Features.swift", lines: 60)
    }
}
