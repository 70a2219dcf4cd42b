import FixtureSupport
import NN
import Tensors
import Testing

extension Fixture {
    init(_ name: String) throws { try self.init(name, in: .module) }

    /// The names of all fixtures that start so.
    static func names(_ prefix: String) -> [String] { names(prefix, in: .module) }

    /// The configuration, with some keys changed; nil takes one out.
    func configuration(_ changes: [String: JSONValue?]) throws -> JSONValue {
        var members = try #require(configuration.objectValue)
        for (key, value) in changes { members[key] = value }
        return .object(members)
    }

    /// Compares the gradient of every trainable parameter, and of the inputs by their names. What has none in the peer (the
    /// projections, where attention is full) has none here.
    func expectGradients(_ all: Gradients, _ module: any Module, inputs: [String: Tensor] = [:]) throws {
        let floor = try gradientNoise
        func expect(_ gradient: Tensor?, _ key: String) throws {
            guard let expected = try optional("gradients/" + key) else {
                let isProjection = key.split(separator: ".").contains { $0 == "E" || $0 == "F" }
                #expect(gradient == nil && isProjection, "\(name): a gradient for \(key)")
                return
            }
            let gradient = try #require(gradient, "\(name): no gradient for \(key)")
            expectClose(gradient, expected, 2e-5, floor: floor, "\(name): gradient of \(key)")
        }
        for (key, parameter) in module.trainable { try expect(all[parameter], key) }
        for (key, leaf) in inputs { try expect(all[leaf], key) }
        // Every gradient of the file has been compared.
        let keys = module.trainable.map(\.key) + inputs.keys
        let other = file.names.filter { $0.hasPrefix("gradients/") && !keys.contains(String($0.dropFirst(10))) }
        #expect(other == [], "\(name): gradients of nothing")
    }

    /// The bias of a convolution adds the same to all scores, which changes no weight: of its gradient, 0, only rounding is
    /// left, some 1e-7 of the file's largest gradient.
    private var gradientNoise: Float {
        get throws { try 5e-7 * largestGradient }
    }
}

/// Expects agreement relative to the largest element of what is expected, or within `floor` where that is more. The
/// peer's own float32 noise against float64 is up to 3e-6 for outputs and 3e-6 for gradients; ours adds as much, gradients
/// of long sums somewhat more.
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
