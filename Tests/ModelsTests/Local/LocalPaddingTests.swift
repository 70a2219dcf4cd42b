import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

/// Sequences that do not fill their windows.
@Suite struct LocalPaddingTests {
    /// Padding that fills the last window has no weight: local-attention attends it where it is not causal and there is no mask.
    @Test("Padding that fills the last window has no weight", arguments: [1, 2, 3, 4, 5, 7, 10], [true, false])
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
