import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

/// Blocks without a peer: against their definition, and in pieces.
@Suite("Shared blocks") struct BlockTests {
    /// A tensor of normal numbers.
    private func normal(_ shape: [Int], seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }

    // MARK: Short convolution

    /// The grouped convolution of all channels: another operation, which pads both ends.
    private func reference(_ convolution: ShortConvolution, _ x: Tensor) -> Tensor {
        let y = convolution1D(
            x.transposed(1, 2), weight: convolution.weight.value, bias: convolution.bias?.value,
            padding: convolution.kernel - 1, groups: convolution.channels)
        return convolution.activation(y.sliced(2, to: x.shape[1]).transposed(1, 2))
    }

    @Test("A short convolution is the causal part of a grouped one", arguments: [1, 2, 4, 7], [false, true])
    func shortConvolution(_ kernel: Int, _ bias: Bool) throws {
        let layer = ShortConvolution(5, kernel: kernel, bias: bias, key: RandomKey(seed: 1))
        let probe = normal([3, 6, 5], seed: 3)
        func run(_ body: (Tensor) -> Tensor) -> [Tensor] {
            let x = normal([3, 6, 5], seed: 2).requiringGradient()
            let y = body(x)
            let all = gradients(of: (y * probe).sum())
            return [y.detached(), all[x]!] + layer.trainable.map { all[$0.parameter]! }
        }
        for (got, expected) in zip(run { layer($0).output }, run { reference(layer, $0) }) {
            #expect(got.shape == expected.shape)
            expectClose(got.values, expected.values, terms: 3 * 6 * kernel + 8, "kernel \(kernel)")
        }
    }

    @Test("A short convolution reads a text in pieces", arguments: [1, 3, 4])
    func shortConvolutionInPieces(_ kernel: Int) {
        let layer = ShortConvolution(5, kernel: kernel, key: RandomKey(seed: 1))
        let x = normal([2, 11, 5], seed: 2)
        let whole = layer(x).output
        for cut in 1..<11 {
            let (first, last) = layer(x.sliced(1, to: cut))
            #expect(last.shape == [2, kernel - 1, 5])
            let (second, end) = layer(x.sliced(1, from: cut), after: last)
            #expect(concatenate([first, second], axis: 1).values == whole.values)
            #expect(end.values == layer(x).last.values)
        }
    }

    @Test("Outputs of a short convolution do not see later tokens, and see the kernel's")
    func reach() {
        let layer = ShortConvolution(2, kernel: 3, activation: .identity, key: RandomKey(seed: 1))
        let before = layer(.zeros([1, 7, 2])).output
        var values = [Float](repeating: 0, count: 14)
        values[2 * 2] = 1  // token 2, channel 0
        let after = layer(Tensor(values, shape: [1, 7, 2])).output
        let changed = (0..<7).filter { after.at(0, 0).at(0, $0).values != before.at(0, 0).at(0, $0).values }
        #expect(changed == [2, 3, 4])
        #expect(after.values.enumerated().allSatisfy { $0.offset % 2 == 0 || $0.element == 0 }, "channels stay apart")
    }

    // MARK: Norm and positions

    @Test("RMSNorm divides by the root of the mean square, alone and before a projection")
    func rootMeanSquareNorm() {
        let norm = RMSNorm(6, epsilon: 1e-3)
        norm.weight.assign(normal([6], seed: 1))
        let x = normal([4, 6], seed: 2)
        let expected = (0..<4).flatMap { row -> [Double] in
            let values = x.at(0, row).values.map(Double.init)
            let root = (values.reduce(0) { $0 + $1 * $1 } / 6 + 1e-3).squareRoot()
            return zip(values, norm.weight.value.values).map { $0 / root * Double($1) }
        }
        let bound = Rounding.bound(16, of: expected.map(abs).max()!)
        expectClose(norm(x).values, expected, within: bound)
        let linear = Linear(6, 3, key: RandomKey(seed: 3))
        expectClose(linear(x, after: norm).values, linear(norm(x)).values, terms: 24)
    }

    @Test("Queries and keys are of length 1 times their scales, as tensors and on memory")
    func queryKeyNorm() {
        let norm = QueryKeyNorm(5)
        #expect(norm.queryScale.value.values == norm.keyScale.value.values, "both begin with ones")
        norm.queryScale.assign(normal([5], seed: 1))
        norm.keyScale.assign(normal([5], seed: 2))
        let x = normal([3, 5], seed: 3)
        func expected(_ scale: Parameter) -> [Double] {
            (0..<3).flatMap { row -> [Double] in
                let values = x.at(0, row).values.map(Double.init)
                let length = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
                return zip(values, scale.value.values).map { $0 / length * Double($1) }
            }
        }
        let (queries, keys) = (norm.queries(x), norm.keys(x))
        expectClose(queries.values, expected(norm.queryScale), within: Rounding.bound(16, of: 2), "queries")
        expectClose(keys.values, expected(norm.keyScale), within: Rounding.bound(16, of: 2), "keys")
        var (several, one) = ([Float](repeating: 0, count: 15), [Float](repeating: 0, count: 5))
        x.values.withUnsafeBufferPointer {
            norm.queries($0.baseAddress!, heads: 3, into: &several)
            norm.keys($0.baseAddress!, heads: 1, into: &one)
        }
        #expect(several == queries.values && one == Array(keys.values[..<5]))
    }

    @Test("A residual takes a branch with dropout, also as the end of a product", arguments: [0, 0.4], [true, false])
    func residual(_ probability: Double, _ isTraining: Bool) {
        let (x, y) = (normal([4, 6], seed: 1), normal([4, 3], seed: 2))
        let mode = isTraining ? ForwardMode.training(RandomKey(seed: 3)) : .inference
        func dropped(_ branch: Tensor) -> Tensor { dropout(branch, probability: Float(probability), key: mode.key) }
        let sum = y.addingBranch(y * 3, dropout: probability, mode: mode)
        #expect(sum.values == (y + dropped(y * 3)).values)
        let linear = Linear(6, 3, key: RandomKey(seed: 4))
        let ended = linear(x, residual: y, dropout: probability, mode: mode)
        expectClose(ended.values, (y + dropped(linear(x))).values, terms: 12)
        let alone = linear(x, residual: nil, dropout: probability, mode: mode)
        #expect(alone.values == dropped(linear(x)).values)
    }

    @Test("Sinusoids are sine and cosine of position times rate, in either order", arguments: [1, 2, 5, 8])
    func sinusoidTable(_ d: Int) {
        let rates = inverseFrequencies(d)
        #expect(rates.count == (d + 1) / 2 && rates[0] == 1)
        let positions: [Float] = [0, 1, 7, 300]
        func value(_ position: Float, _ rate: Int, _ isCosine: Bool) -> Double {
            let angle = Double(position * rates[rate])
            return isCosine ? Foundation.cos(angle) : Foundation.sin(angle)
        }
        for order in [SinusoidOrder.halves, .pairs] {
            let table = sinusoids(Tensor(positions), frequencies: Tensor(rates), dimension: d, order: order)
            #expect(table.shape == [4, d])
            let expected = positions.flatMap { position in
                (0..<d).map { column in
                    switch order {
                    case .halves: value(position, column % rates.count, column >= rates.count)
                    case .pairs: value(position, column / 2, column % 2 == 1)
                    }
                }
            }
            // Angles are the same floats; sine and cosine are off by a few roundings of 1.
            expectClose(table.values, expected, within: Rounding.bound(4, of: 1), "\(order)")
        }
    }
}
