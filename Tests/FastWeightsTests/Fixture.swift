import FixtureSupport
import NN
import Tensors
import Testing

extension Fixture {
    init(_ name: String) throws { try self.init(name, in: .module) }

    /// The names of all fixtures that start so.
    static func names(_ prefix: String) -> [String] { names(prefix, in: .module) }

    /// Compares the gradient of every trainable parameter, and of the inputs by their names. What has none in the peer (the
    /// norm before the attention, where it is not used) has none here.
    func expectGradients(_ all: Gradients, _ module: any Module, inputs: [String: Tensor] = [:]) throws {
        let floor = try gradientNoise
        func expect(_ gradient: Tensor?, _ key: String) throws {
            guard let expected = try optional("gradients/" + key) else {
                #expect(gradient == nil && key.contains("norm_self_attn"), "\(name): a gradient for \(key)")
                return
            }
            let gradient = try #require(gradient, "\(name): no gradient for \(key)")
            expectClose(gradient, expected, 2e-5, floor: floor, "\(name): gradient of \(key)")
        }
        let parameters = module.trainable.map { (peerKey($0.key), $0.parameter) }
        for (key, parameter) in parameters { try expect(all[parameter], key) }
        for (key, leaf) in inputs { try expect(all[leaf], key) }
        // Every gradient of the file has been compared.
        let keys = parameters.map(\.0) + inputs.keys
        let other = file.names.filter { $0.hasPrefix("gradients/") && !keys.contains(String($0.dropFirst(10))) }
        #expect(other == [], "\(name): gradients of nothing")
    }

    /// The file's name for a parameter: the token-wise form calls β's weight `gate`.
    private func peerKey(_ key: String) -> String {
        let other = key.replacing("interpolation_weight.", with: "gate.")
        return file.entries["weights/" + other] == nil ? key : other
    }

    /// Of one token, features that are divided by what they give have no gradient but for ε: only the rounding of terms that
    /// cancel is left, 2e-8 of the file's largest gradient, on other processors somewhat more.
    private var gradientNoise: Float {
        get throws { try 1e-7 * largestGradient }
    }
}

/// Expects agreement relative to the largest element of what is expected, or within `floor` where that is more. The
/// peer's own float32 noise against float64 is up to 1e-6 for outputs and 8e-6 for gradients; ours adds as much.
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
