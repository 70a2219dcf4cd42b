import FixtureSupport
import NN
import Tensors
import Testing

extension Fixture {
    init(_ name: String) throws { try self.init(name, in: .module) }

    /// The names of all fixtures that start so.
    static func names(_ prefix: String) -> [String] { names(prefix, in: .module) }

    /// Compares the gradient of every trainable parameter.
    func expectGradients(_ gradients: Gradients, _ module: any Module) throws {
        for (key, parameter) in module.trainable {
            let gradient = try #require(gradients[parameter], "\(name): no gradient for \(key)")
            try expectGradient(gradient, tensor("gradients/" + key), key)
        }
    }
}
