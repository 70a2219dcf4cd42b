import FixtureSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

/// Sequences that do not fill their windows or their batch.
@Suite struct PaddingTests {
    @Test("padding on the right equals truncation", arguments: Variant.some, [true, false])
    func paddingOnTheRightEqualsTruncation(_ variant: Variant, causal: Bool) {
        let model = makeModel(variant, causal: causal)
        let tokens = randomTokens([2, 14])
        let ones = (0..<14).map { Float($0 < 9 ? 1 : 0) }
        let padded = model(tokens, mask: Tensor(ones + ones, shape: [2, 14])).sliced(1, to: 9)
        let short = TokenTensor(Array(tokens.values[0..<9]) + Array(tokens.values[14..<23]), shape: [2, 9])
        // Other tiles add in another order.
        expectClose(padded, model(short), through: model, positions: 14, "logits")
    }

    @Test("rows of unequal length are as alone", arguments: Variant.some, [true, false])
    func rowsOfUnequalLengthAreAsAlone(_ variant: Variant, causal: Bool) {
        let model = makeModel(variant, causal: causal)
        let (lengths, n) = ([13, 1, 8, 4], 13)
        let tokens = randomTokens([4, n])
        let mask = Tensor(lengths.flatMap { length in (0..<n).map { Float($0 < length ? 1 : 0) } }, shape: [4, n])
        let together = model(tokens, mask: mask)
        for (row, length) in lengths.enumerated() {
            let alone = model(TokenTensor(Array(tokens.values[row * n..<row * n + length]), shape: [1, length]))
            let part = together.sliced(0, from: row, to: row + 1).sliced(1, to: length)
            expectClose(part, alone, through: model, positions: 13, "row \(row)")
        }
    }

    /// Padding that fills the last window has no weight: local-attention attends it where it is not causal and there is no mask.
    @Test("padding that fills the last window has no weight", arguments: [1, 2, 3, 4, 5, 7, 10], [true, false])
    func paddingOfTheLastWindowHasNoWeight(length: Int, exact: Bool) {
        let shape = [2, 3, length, 4]
        let (q, k, v) = (
            Tensor.normal(shape, key: RandomKey(seed: 1)), Tensor.normal(shape, key: RandomKey(seed: 2)),
            Tensor.normal(shape, key: RandomKey(seed: 3))
        )
        var options = LocalAttentionOptions(windowSize: 4)
        options.autopads = true
        options.isExact = exact
        options.dimension = 4
        let layer = LocalAttention(options)
        #expect(layer(q, k, v).values == layer(q, k, v, mask: .ones([2, length])).values)
        // Each output is a mean of values: with values of 1 it is 1, whatever the weights, unless zeros are among them.
        expectClose(layer(q, k, .ones(shape)), .ones(shape), roundings: 12, "mean of ones")
    }
}
