import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// Queries, keys and values as sums over their last few tokens, before the heads of a causal form.
@Suite("Short convolutions of heads") struct LinformerConvolvedHeadsTests {
    private let q = Tensor.normal([2, 13, 2, 6], key: RandomKey(seed: 1))
    private let k = Tensor.normal([2, 13, 2, 6], key: RandomKey(seed: 2))
    private let v = Tensor.normal([2, 13, 2, 6], key: RandomKey(seed: 3))
    private let x = Tensor.normal([2, 13, 12], key: RandomKey(seed: 4))

    private func heads(kernel: Int) throws -> ConvolvedHeads<SegmentHeads> {
        let configuration = makeSegmentConfiguration { $0.shortConvolution = kernel }.stack
        let made = configuration.causalHeads(layer: 0, shared: nil, key: RandomKey(seed: 7))
        let heads = try #require(made as? ConvolvedHeads<SegmentHeads>)
        moveLinformerOffInitialValues(heads)
        return heads
    }

    /// y_t = Σ_j w_j x_{t − s + 1 + j}, by column.
    private func summed(_ x: Tensor, _ layer: ShortConvolution) -> Tensor {
        let (weights, s) = (layer.weight.value.values, layer.kernel)
        var y = [Float](repeating: 0, count: x.count)
        let values = x.values
        for row in 0..<2 {
            for t in 0..<13 {
                for c in 0..<12 {
                    for j in 0..<s where t - s + 1 + j >= 0 {
                        y[(row * 13 + t) * 12 + c] += weights[c * s + j] * values[(row * 13 + t - s + 1 + j) * 12 + c]
                    }
                }
            }
        }
        return Tensor(y, shape: x.shape)
    }

    @Test("The heads attend to sums over the last tokens", arguments: Implementation.allCases, [1, 2, 4])
    func theHeadsAttendToSums(_ form: Implementation, kernel: Int) throws {
        let heads = try heads(kernel: kernel)
        let mode = ForwardMode.inference.using(form)
        let expected = heads.heads(
            summed(q, heads.queries), summed(k, heads.keys), summed(v, heads.values), of: x, mask: nil, mode: mode)
        let lengths = SumLengths(shapes: [[13, 6], [kernel, 12]], rows: 26)
        expectClose(
            heads(q, k, v, of: x, mask: nil, mode: mode).values, expected.values.map(Double.init),
            within: lengths.tolerance(largest: largest(expected.values)), "kernel \(kernel)")
    }

    @Test("A masked token counts as zeros for those after it") func aMaskedTokenCountsAsZeros() throws {
        let heads = try heads(kernel: 3)
        let taking = (0..<26).map { Float([2, 3, 9, 20].contains($0) ? 0 : 1) }
        let mask = Tensor(taking, shape: [2, 13])
        let rows = mask.reshaped([2, 13, 1, 1])
        func changed(_ x: Tensor) -> Tensor { x * rows + (1 - rows) * 5 }
        let usual = heads(q, k, v, of: x, mask: mask, mode: .inference)
        let other = heads(changed(q), changed(k), changed(v), of: x, mask: mask, mode: .inference)
        #expect(usual.values == other.values)
        #expect(usual.values != heads(q, k, v, of: x, mask: nil, mode: .inference).values)
    }

    @Test("Without a kernel there is no convolution, and the other weights are the same")
    func withoutAKernelThereIsNone() throws {
        func model(_ kernel: Int) -> LinformerLM {
            LinformerLM(makeSegmentConfiguration { $0.shortConvolution = kernel }, key: RandomKey(seed: 7))
        }
        let (without, with) = (model(0).state, model(2).state)
        let own = with.filter { $0.key.contains(".conv_") }
        let expected = ["q", "k", "v"].flatMap { name in
            [0, 2].map { "linformer.seq.\($0).fn.conv_\(name).weight" }
        }
        #expect(Set(own.map(\.key)) == Set(expected) && own.allSatisfy { $0.parameter.shape == [12, 1, 2] })
        #expect(with.count == without.count + own.count)
        let values = Dictionary(uniqueKeysWithValues: with.map { ($0.key, $0.parameter.value.values) })
        for (key, parameter) in without { #expect(values[key] == parameter.value.values, "\(key)") }
    }

    @Test("A gate halves the feed-forward's columns", arguments: Implementation.allCases)
    func aGateHalvesTheColumns(_ form: Implementation) {
        let layer = FeedForward(12, 12, hidden: 5, isGated: true, key: RandomKey(seed: 1))
        moveLinformerOffInitialValues(layer)
        #expect(layer.up.weight.shape == [10, 12] && layer.down.weight.shape == [12, 5])
        let z = layer.up(x)
        let expected = layer.down(z.sliced(2, to: 5) * gelu(z.sliced(2, from: 5)))
        let lengths = SumLengths(shapes: [[10, 12]], rows: 26)
        expectClose(
            layer(x, mode: .inference.using(form)).values, expected.values.map(Double.init),
            within: lengths.tolerance(largest: largest(expected.values)), "\(form)")
    }
}
