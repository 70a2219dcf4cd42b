import NN
import Tensors
import Testing

@Suite struct MLPTests {
    @Test("The layers are applied one after another, with the activation between") func composition() {
        let mlp = MLP([3, 5, 4, 2], activation: .gelu, key: RandomKey(seed: 1))
        let x = Tensor.normal([2, 3], key: RandomKey(seed: 2))
        let expected = mlp.layers[2](gelu(mlp.layers[1](gelu(mlp.layers[0](x)))))
        #expect(mlp(x).isClose(to: expected, absolute: 1e-6))
        #expect(mlp(x).shape == [2, 2])
        #expect(mlp.state.map(\.key) == (0..<3).flatMap { ["layers.\($0).weight", "layers.\($0).bias"] })
        #expect(mlp.state.map(\.parameter.shape) == [[5, 3], [5], [4, 5], [4], [2, 4], [2]])
    }

    @Test("Initial weights are torch's: uniform within 1 / √inputs") func initialization() {
        let mlp = MLP([16, 400, 4], bias: false, key: RandomKey(seed: 1))
        #expect(mlp.state.count == 2)
        let largest = mlp.layers[0].weight.value.values.map(Swift.abs).max() ?? 0
        #expect(largest <= 0.25 && largest > 0.249)
    }

    @Test("Dropout is between the layers alone, and only in training") func dropout() {
        let mlp = MLP([4, 200, 3], dropout: 0.5, key: RandomKey(seed: 1))
        let x = Tensor.normal([1, 4], key: RandomKey(seed: 2))
        let (plain, one, two) = (
            mlp(x), mlp(x, mode: .training(RandomKey(seed: 3))), mlp(x, mode: .training(RandomKey(seed: 4)))
        )
        #expect(one.values != two.values && one.values != plain.values)
        #expect(one.values == mlp(x, mode: .training(RandomKey(seed: 3))).values)
        let single = MLP([4, 3], dropout: 0.5, key: RandomKey(seed: 1))
        #expect(single(x).values == single(x, mode: .training(RandomKey(seed: 3))).values)
    }
}
