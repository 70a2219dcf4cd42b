import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Transformers

extension Fixture {
    /// The model of the fixture, with its weights.
    func transformerModel() throws -> Transformer {
        let model = Transformer(try TransformerConfiguration(configuration, file: name), key: RandomKey(seed: 1))
        try load(model)
        return model
    }
}

/// A small model whose parameters are moved off their initial values, so that every path carries weight.
func makeTransformerModel(
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
