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
        let floor = try gradientNoise
        func expect(_ gradient: Tensor?, _ key: String) throws {
            let gradient = try #require(gradient, "\(name): no gradient for \(key)")
            try expectClose(gradient, tensor("gradients/" + key), 2e-5, floor: floor, "\(name): gradient of \(key)")
        }
        for (key, parameter) in module.trainable { try expect(all[parameter], key) }
        for (key, leaf) in inputs { try expect(all[leaf], key) }
    }

    /// Where sums over all tokens cancel, rounding is left: the peer's own float32 is up to 1.4e-6 of the file's largest
    /// gradient off its float64 (the scales of dynamic weights; the last bias of a dynamic position bias, whose gradient
    /// is 0). Ours adds as much.
    private var gradientNoise: Float {
        get throws { try 3e-6 * largestGradient }
    }
}

/// Expects agreement relative to the largest element of what is expected, or within `floor` where that is more. The
/// peer's own float32 noise against float64 is up to 2e-6 for outputs and 1e-5 for gradients; ours adds as much.
func expectClose(
    _ got: Tensor, _ expected: Tensor, _ tolerance: Float, floor: Float = 0, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let (difference, largest) = Fixture.difference(got, expected)
    #expect(
        difference <= max(tolerance * largest, floor, 1e-30),
        "\(what): off by \(difference) of \(largest), shape \(got.shape), expected \(expected.shape)",
        sourceLocation: sourceLocation)
}
