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
            try expectClose(gradient, tensor("gradients/" + key), 2e-5, "\(name): gradient of \(key)")
        }
    }
}

/// Expects agreement relative to the largest element of what is expected. The peer's own float32 noise against float64 is
/// up to 3e-6 for outputs and 1e-5 for gradients; ours adds as much.
func expectClose(
    _ got: Tensor, _ expected: Tensor, _ tolerance: Float, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let (difference, largest) = Fixture.difference(got, expected)
    #expect(
        difference <= tolerance * max(largest, 1e-30),
        "\(what): off by \(difference) of \(largest), shape \(got.shape), expected \(expected.shape)",
        sourceLocation: sourceLocation)
}
