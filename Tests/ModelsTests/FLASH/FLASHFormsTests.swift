import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import FLASHTransformers

/// The plain form, FLASH.swift read as the paper, against the fused one, over random configurations of every option.
@Suite struct FLASHFormsTests {
    @Test("Fused and plain models agree in logits, loss and gradients", arguments: 0..<60)
    func models(seed: UInt64) {
        var draw = Draws(seed: seed)
        let configuration = draw.configuration(tokens: 11)
        let model = FLASHTransformer(configuration, key: RandomKey(seed: seed))
        moveParameters(of: model)
        let (b, n) = (draw.number(in: 1...3), draw.length(groupSize: configuration.groupSize))
        let (tokens, targets) = (randomTokens([b, n], seed: seed), randomTokens([b, n], seed: seed + 1000))
        expectFormsAgree(of: model, tokens, targets, dropout: RandomKey(seed: seed), draw.description)
    }

    @Test("Fused and plain layers agree, with masks and the weights that they show", arguments: 0..<80)
    func layers(seed: UInt64) throws {
        var draw = Draws(seed: seed + 100)
        let configuration = draw.configuration(tokens: 0)
        let rotary = draw.one(of: [nil, 1, 4, 32]).map { FLASH.rotary(min($0, configuration.queryKeyDimension)) }
        let layer = FLASH(configuration, rotary: rotary, key: RandomKey(seed: seed))
        moveParameters(of: layer)
        let (b, n) = (draw.number(in: 1...3), draw.length(groupSize: configuration.groupSize))
        let x = Tensor.normal([b, n, configuration.dimension], key: RandomKey(seed: seed)).requiringGradient()
        let probe = Tensor.normal(x.shape, key: RandomKey(seed: seed + 1))
        let mask = draw.mask(b, n)

        func run(_ form: Implementation) -> (output: Tensor, weights: Tensor, gradients: Gradients) {
            let (key, recorder) = (RandomKey(seed: seed), AttentionRecorder())
            let output = layer(x, mask: mask, mode: .training(key).using(form))
            _ = layer(x, mask: mask, mode: .recording(recorder).using(form))
            return (output, recorder.layers[0].weights, gradients(of: (output * probe).sum()))
        }
        let (plain, fused) = (run(.plain), run(.fused))
        let what = "\(draw), rotary \(rotary?.frequencies.count ?? 0), mask \(mask?.values ?? [])"
        let lengths = SumLengths(shapes: layer.state.map(\.parameter.shape) + [x.shape], rows: b * n)
        for (name, got, expected) in [
            ("output", fused.output, plain.output), ("weights", fused.weights, plain.weights),
        ] {
            #expect(got.shape == expected.shape, "\(what): \(name)")
            expectClose(
                got.values, expected.values.map(Double.init),
                within: lengths.tolerance(largest: largest(expected.values)),
                "\(what): \(name)")
        }
        let leaves =
            [("\(what): x", fused.gradients[x], plain.gradients[x])]
            + layer.trainable.map {
                ("\(what): \($0.key)", fused.gradients[$0.parameter], plain.gradients[$0.parameter])
            }
        expectGradients(
            try leaves.map { ($0.0, try #require($0.1, "\($0.0)"), try #require($0.2, "\($0.0)")) }, lengths)
    }
}

/// Random choices for a test, which can say what they were.
private struct Draws: CustomStringConvertible {
    private let key: RandomKey
    private var count = 0
    private(set) var description = ""

    init(seed: UInt64) { key = RandomKey(seed: seed) }

    mutating func number(in range: ClosedRange<Int>) -> Int {
        count += 1
        return range.lowerBound + Int(key.child(count).integers(1)[0] % UInt64(range.count))
    }

    mutating func one<Value>(of values: [Value]) -> Value { values[number(in: 0...values.count - 1)] }

    mutating func configuration(tokens: Int) -> FLASHConfiguration {
        var configuration = FLASHConfiguration(
            tokens: tokens, dimension: number(in: 2...17), depth: number(in: 1...2))
        configuration.groupSize = one(of: [1, 2, 3, 5, 8, 70])
        configuration.queryKeyDimension = one(of: [1, 2, 7, 12, 33])
        configuration.expansionFactor = one(of: [0.5, 1, 1.7, 2])
        configuration.isCausal = one(of: [true, false])
        configuration.attentionDropout = one(of: [0, 0.3])
        configuration.normType = one(of: [.layerNorm, .scaleNorm])
        configuration.shiftsTokens = one(of: [true, false])
        configuration.usesLaplace = one(of: [true, false])
        configuration.reducesGroups = one(of: [true, false])
        configuration.masksTokenShift = one(of: [true, false])
        configuration.dividesByValidCount = !configuration.isCausal && one(of: [true, false])
        description = "\(configuration)"
        return configuration
    }

    /// A length that often leaves the last group unfinished.
    mutating func length(groupSize: Int) -> Int {
        groupSize > 64 ? one(of: [3, 65, 70, 97, 140]) : one(of: [1, groupSize, number(in: 2...30)])
    }

    /// No mask, one for all rows, or one for each row; some mask whole groups or whole rows.
    mutating func mask(_ b: Int, _ n: Int) -> Tensor? {
        let shape = one(of: [nil, [n], [b, n], [b, n]])
        let kept = number(in: 0...n)
        let fromTheRight = one(of: [true, false])
        return shape.map { shape in
            let values = (0..<shape.reduce(1, *)).map { index in
                fromTheRight ? (index % n < kept ? 1 : 0) : Float(number(in: 0...3) > 0 ? 1 : 0)
            }
            return Tensor(values, shape: shape)
        }
    }
}
