import AttentionZooTestSupport
import NN
import Tensors
import Testing

// What the tests of several models share.

extension Fixture {
    init(_ name: String) throws { try self.init(name, in: .module) }

    /// The names of all fixtures that start so.
    static func names(_ prefix: String) -> [String] { names(prefix, in: .module) }

    /// Compares the gradient of every trainable parameter, and of the inputs by their names.
    func expectGradients(_ all: Gradients, _ module: any Module, inputs: [String: Tensor] = [:]) throws {
        func expect(_ gradient: Tensor?, _ key: String) throws {
            let gradient = try #require(gradient, "\(name): no gradient for \(key)")
            try expectGradient(gradient, tensor("gradients/" + key), key)
        }
        for (key, parameter) in module.trainable { try expect(all[parameter], key) }
        for (key, leaf) in inputs { try expect(all[leaf], key) }
    }
}

/// The tokens that the small models know.
let vocabulary = 11

/// Draws tokens of a vocabulary.
func randomTokens(_ shape: [Int], seed: UInt64 = 3, vocabulary: Int = vocabulary) -> TokenTensor {
    let values = RandomKey(seed: seed).integers(shape.reduce(1, *)).map { Int32($0 % UInt64(vocabulary)) }
    return TokenTensor(values, shape: shape)
}
