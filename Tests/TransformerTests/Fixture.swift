import FixtureSupport
import NN
import Tensors
import Testing

@testable import Transformers

extension Fixture {
    init(_ name: String) throws { try self.init(name, in: .module) }

    /// The names of all fixtures that start so.
    static func names(_ prefix: String) -> [String] { names(prefix, in: .module) }

    /// The model of the fixture, with its weights.
    func model() throws -> Transformer {
        let model = Transformer(try TransformerConfiguration(configuration, file: name), key: RandomKey(seed: 1))
        try load(model)
        return model
    }
}

let vocabulary = 11

/// A small model whose parameters are moved off their initial values, so that every path carries weight.
func makeModel(
    depth: Int = 2, _ change: (inout TransformerConfiguration) -> Void = { _ in }
) -> Transformer {
    var configuration = TransformerConfiguration(tokens: vocabulary, dimension: 12, depth: depth)
    (configuration.heads, configuration.headDimension, configuration.feedForwardMultiple) = (2, 6, 2)
    change(&configuration)
    let model = Transformer(configuration, key: RandomKey(seed: 7))
    for (index, (key, parameter)) in model.trainable.enumerated() {
        let noise = Tensor.normal(parameter.shape, standardDeviation: 0.1, key: RandomKey(seed: 8).child(index))
        // Scores of a few tenths make all weights alike.
        let scale: Float = key.hasSuffix("to_q.weight") || key.hasSuffix("to_k.weight") ? 2 : 1
        parameter.assign(parameter.value.detached() * scale + noise)
    }
    return model
}

func randomTokens(_ shape: [Int], seed: UInt64 = 3) -> TokenTensor {
    let values = RandomKey(seed: seed).integers(shape.reduce(1, *)).map { Int32($0 % UInt64(vocabulary)) }
    return TokenTensor(values, shape: shape)
}
