import AttentionZooTestSupport
import Foundation
import Tensors
import Testing
import Trainer

@testable import LocalTransformers
@testable import NN

@Suite struct LocalPropertyTests {
    /// The peer has the dynamic bias for windows that look back once and not forward; here it is the bias by place that
    /// the distances say, whatever the windows.
    @Test("The dynamic bias depends on the distance alone", arguments: [0, 1, 2, 3], [0, 1, 2])
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
    @Test("Queries that look forward are rotated by the last window, or truly", arguments: [0, 1, 2], [true, false])
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

    /// Dropped weights are 0 and the others grow as much: of values that are 1, the mean over many queries stays 1.
    @Test("Dropout of attention keeps the mean") func dropoutOfAttentionKeepsTheMean() {
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

    @Test("Global layers are inserted before the chosen layers") func globalLayersStandWhereTheyAreWanted() {
        for (layers, wanted) in [(nil, [0, 1, 2]), ([2], [1]), ([1, 3], [0, 2]), ([], [])] as [([Int]?, [Int])] {
            let configuration = makeLocalModel(LocalVariant(streams: 2), depth: 3) { $0.globalLayers = layers }
                .configuration
            let model = LocalTransformer(configuration, key: RandomKey(seed: 1)) { _, key in
                TokenwiseLayer(Linear(12, 12, key: key)) { $0($1) }
            }
            let keys = Set(model.state.map(\.key).filter { $0.hasPrefix("global_layers.") })
            #expect(Set(keys.map { Int($0.split(separator: ".")[1])! }) == Set(wanted))
            for index in wanted { #expect(keys.contains("global_layers.\(index).branch.weight")) }
        }
    }

    @Test("Windows of another size keep weights and positions") func windowsOfAnotherSizeKeepWeightsAndPositions() {
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
