import FixtureSupport
import NN
import Tensors
import Testing

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
