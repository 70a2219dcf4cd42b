import FixtureSupport
import Foundation
import Tensors
import Testing
import Trainer

@testable import LocalTransformers
@testable import NN

@Suite struct PropertyTests {
    /// The peer has the dynamic bias for windows that look back once and not forward; here it is the bias by place that
    /// the distances say, whatever the windows.
    @Test("the dynamic bias depends on the distance alone", arguments: [0, 1, 2, 3], [0, 1, 2])
    func theDynamicBiasGoesByDistance(back: Int, forward: Int) {
        for exact in [true, false] {
            let window = 3
            var options = LocalMHAOptions(dimension: 8, windowSize: window)
            (options.headDimension, options.heads) = (5, 2)
            options.attention.usesRotary = false
            options.attention.isExact = exact
            options.attention.isCausal = forward == 0
            (options.attention.lookBackward, options.attention.lookForward) = (back, forward)
            let layer = LocalMHA(options, key: RandomKey(seed: 1))
            let bias = DynamicPositionBias(4, heads: 2, key: RandomKey(seed: 2))
            let keys = window * (1 + back + forward)
            let values = bias.byDistance(2 * keys).values
            let table = (0..<2).flatMap { head in
                (0..<window * keys).map { place in
                    let distance = abs(back * window + place / keys - place % keys)
                    return values[head * 2 * keys + distance]
                }
            }
            let x = Tensor.normal([2, 14, 8], key: RandomKey(seed: 3))
            let byPlace = layer(x, bias: .byPlace(Tensor(table, shape: [2, window, keys])))
            let byDistance = layer(x, bias: bias(options.attention.pattern(window: window), tokens: 14))
            expectClose(byDistance, byPlace, through: layer, positions: keys, "exact \(exact)")
            // A query that sees only itself has nothing to choose.
            let choice = !(exact && back + forward == 0)
            #expect((layer(x).values != byPlace.values) == choice)
        }
    }

    /// Heads of two columns turn by one radian a token, so the scores can be written down: by default a query that looks
    /// forward stands in the last window it sees (as in the peer), with `true_positions` where it is.
    @Test("queries that look forward are rotated by the last window, or truly", arguments: [0, 1, 2], [true, false])
    func rotaryPositionsOfQueriesThatLookForward(forward: Int, truly: Bool) {
        let (window, n) = (3, 11)
        var options = LocalAttentionOptions(windowSize: window)
        (options.dimension, options.lookForward, options.autopads) = (2, forward, true)
        options.usesTruePositions = truly
        let parts = (0..<3).map { Tensor.normal([1, n, 2], key: RandomKey(seed: UInt64($0))) }
        let got = LocalAttention(options)(parts[0], parts[1], parts[2])
        let (q, k, v) = (parts[0].values, parts[1].values, parts[2].values)
        let pattern = options.pattern(window: window)
        let expected = (0..<n).flatMap { i -> [Float] in
            let keys = Array(pattern.keys(i, of: n))
            let weights = keys.map { j -> Double in
                let angle = Double(i - j + (truly ? 0 : forward * window))
                let (re, im) = (
                    q[2 * i] * k[2 * j] + q[2 * i + 1] * k[2 * j + 1], q[2 * i + 1] * k[2 * j] - q[2 * i] * k[2 * j + 1]
                )
                return exp((Double(re) * cos(angle) - Double(im) * sin(angle)) / 2.0.squareRoot())
            }
            let total = weights.reduce(0, +)
            return (0..<2).map { c in
                Float(zip(keys, weights).reduce(0) { $0 + $1.1 * Double(v[2 * $1.0 + c]) } / total)
            }
        }
        expectClose(got, Tensor(expected, shape: [1, n, 2]), roundings: n + 2, "output")
    }

    @Test("a model can be saved and loaded", arguments: Variant.some)
    func aModelSurvivesItsFile(_ variant: Variant) throws {
        let model = makeModel(variant)
        let path = NSTemporaryDirectory() + "local-\(UUID().uuidString).safetensors"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try model.save(to: path)
        let again = LocalTransformer(model.configuration, key: RandomKey(seed: 99))
        let tokens = randomTokens([2, 13])
        #expect(again(tokens).values != model(tokens).values)
        try again.load(from: path)
        #expect(again(tokens).values == model(tokens).values)
    }

    @Test("the same seed gives the same bits", arguments: Variant.some)
    func theSameSeedGivesTheSameBits(_ variant: Variant) throws {
        let configuration = makeModel(variant) { $0.feedForwardDropout = 0.2 }.configuration
        let (tokens, targets) = (randomTokens([3, 21]), randomTokens([3, 21], seed: 4))
        func run(_ seed: UInt64) throws -> [[Float]] {
            let model = LocalTransformer(configuration, key: RandomKey(seed: seed))
            let loss = model.loss(tokens, targets, mode: .training(RandomKey(seed: seed)))
            let all = gradients(of: loss)
            return try [loss.values] + model.trainable.map { try #require(all[$0.1], "\($0.0)").values }
        }
        #expect(try run(5) == run(5))
        #expect(try run(5)[0] != run(6)[0])
    }

    /// The peer's attn_dropout does nothing; here both do.
    @Test("dropout repeats with its key and is off in inference", arguments: [true, false])
    func dropoutRepeatsWithItsKeyAndIsOffInInference(attention: Bool) {
        let model = makeModel(Variant(streams: 2)) {
            if attention { $0.attention.attention.dropout = 0.5 } else { $0.feedForwardDropout = 0.5 }
        }
        let tokens = randomTokens([2, 12])
        let key = RandomKey(seed: 9)
        #expect(model(tokens, mode: .training(key)).values == model(tokens, mode: .training(key)).values)
        #expect(model(tokens, mode: .training(key)).values != model(tokens, mode: .training(key.child(1))).values)
        #expect(model(tokens).values == model(tokens, mode: .inference).values)
        #expect(model(tokens).values != model(tokens, mode: .training(key)).values)
    }

    /// Dropped weights are 0 and the others grow as much: of values that are 1, the mean over many queries stays 1.
    @Test("dropout of attention keeps the mean") func dropoutOfAttentionKeepsTheMean() {
        var options = LocalAttentionOptions(windowSize: 8)
        (options.dropout, options.isCausal) = (0.5, true)
        let q = Tensor.normal([1, 4, 512, 2], key: RandomKey(seed: 1))
        let dropped = LocalAttention(options)(
            q, q, .ones([1, 4, 512, 2]), mode: .training(RandomKey(seed: 2)))
        let values = dropped.values
        // 2048 outputs, each a sum over some 12 weights with a standard deviation of at most 1, so 0.02 for the mean.
        #expect(abs(values.reduce(0, +) / Float(values.count) - 1) < 0.08)
        #expect(Set(values).count > 100)
        // Both columns of a value see the same weights.
        #expect(stride(from: 0, to: values.count, by: 2).allSatisfy { abs(values[$0] - values[$0 + 1]) < 1e-5 })
    }

    @Test("gradients agree with central differences", arguments: 0..<4)
    func gradientsAgreeWithCentralDifferences(kind: Int) throws {
        // The fixtures hold no case with several threads on one sequence or with dropout; differences cover both.
        let variants = [
            Variant(back: 2, streams: 4), Variant(positions: .bias, back: 3, exact: false, norm: true),
            Variant(positions: .xpos, streams: 2, gates: true), Variant(positions: .none, streams: 3, shared: true),
        ]
        let model = makeModel(variants[kind], causal: kind != 3, window: 5) {
            $0.attention.attention.dropout = 0.3
            $0.feedForwardDropout = 0.2
        }
        let (tokens, targets) = (randomTokens([1, 17]), randomTokens([1, 17], seed: 4))
        let mode = ForwardMode.training(RandomKey(seed: 5))
        func loss() -> Tensor { model.loss(tokens, targets, mode: mode) }
        let all = gradients(of: loss())
        for (index, (key, parameter)) in model.trainable.enumerated() {
            let direction = Tensor.normal(parameter.shape, key: RandomKey(seed: 6).child(index))
            let length = direction.values.map { $0 * $0 }.reduce(0, +).squareRoot()
            let step: Float = 2e-3 / length
            let start = parameter.value.detached() * 1
            parameter.assign(start + direction * step)
            let above = withoutGradients { loss().item }
            parameter.assign(start - direction * step)
            let below = withoutGradients { loss().item }
            parameter.assign(start)
            let numeric = (above - below) / (2 * step)
            let analytic = (try #require(all[parameter], "\(key)") * direction).sum().item
            // The loss is known to 2e-7, so a quotient over a step of length 2e-3 to about 1e-4 of the unit direction.
            #expect(abs(numeric - analytic) <= 3e-4 * length + 0.01 * abs(analytic), "\(key): \(analytic), \(numeric)")
        }
    }

    @Test("ignored targets do not count") func ignoredTargetsDoNotCount() {
        let model = makeModel { $0.ignoreIndex = 4 }
        let tokens = randomTokens([1, 9])
        var targets = randomTokens([1, 9], seed: 4)
        targets.values = targets.values.map { $0 == 4 ? 5 : $0 }
        let some = TokenTensor(
            targets.values.enumerated().map { $0 < 3 ? 4 : $0 < 5 ? ignoredTarget : $1 }, shape: [1, 9])
        let rest = crossEntropy(
            model(tokens).sliced(1, from: 5), TokenTensor(Array(targets.values[5...]), shape: [1, 4]))
        // Sums in another order.
        expectClose(model.loss(tokens, some), rest, through: model, positions: 9, "loss")
        #expect(model.loss(tokens, targets).item != model.loss(tokens, some).item)
    }

    @Test("global layers are inserted before the chosen layers") func globalLayersStandWhereTheyAreWanted() {
        for (layers, wanted) in [(nil, [0, 1, 2]), ([2], [1]), ([1, 3], [0, 2]), ([], [])] as [([Int]?, [Int])] {
            let configuration = makeModel(Variant(streams: 2), depth: 3) { $0.globalLayers = layers }.configuration
            let model = LocalTransformer(configuration, key: RandomKey(seed: 1)) { _, key in
                TokenwiseLayer(Linear(12, 12, key: key)) { $0($1) }
            }
            let keys = Set(model.state.map(\.key).filter { $0.hasPrefix("global_layers.") })
            #expect(Set(keys.map { Int($0.split(separator: ".")[1])! }) == Set(wanted))
            for index in wanted { #expect(keys.contains("global_layers.\(index).branch.weight")) }
        }
    }

    @Test("several threads run one model", arguments: [true, false])
    func severalThreadsRunOneModel(causal: Bool) async {
        let model = makeModel(Variant(positions: .bias, streams: 4), causal: causal)
        let batches = (0..<8).map { randomTokens([2, 23], seed: UInt64($0)) }
        let alone = batches.map { model($0).values }
        let together = await withTaskGroup(of: (Int, [Float]).self) { group in
            for (index, batch) in batches.enumerated() {
                group.addTask { (index, withoutGradients { model(batch).values }) }
            }
            var results = [[Float]](repeating: [], count: batches.count)
            for await (index, values) in group { results[index] = values }
            return results
        }
        #expect(together == alone)
    }

    @Test("windows of another size keep weights and positions") func windowsOfAnotherSizeKeepWeightsAndPositions() {
        // With windows that reach over everything, attention is full whatever their size: the outputs are the same.
        var options = LocalAttentionOptions(windowSize: 8)
        (options.usesXpos, options.dimension, options.autopads, options.isCausal) = (true, 6, true, true)
        options.xposScaleBase = 16
        let parts = (0..<3).map { Tensor.normal([1, 2, 16, 6], key: RandomKey(seed: UInt64($0))) }
        let layer = LocalAttention(options)
        let (narrow, wide) = (layer(parts[0], parts[1], parts[2]), layer(parts[0], parts[1], parts[2], windowSize: 16))
        expectClose(narrow, wide, roundings: 16 + 6, "output")
    }
}
