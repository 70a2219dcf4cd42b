import AttentionZooTestSupport
import NN
import Tensors
import Testing

extension Fixture {
    /// The configuration, with some keys changed; nil takes one out.
    func configuration(_ changes: [String: JSONValue?]) throws -> JSONValue {
        var members = try #require(configuration.objectValue)
        for (key, value) in changes { members[key] = value }
        return .object(members)
    }

    /// Compares the gradient of every trainable parameter, and of the inputs by their names. What has none in the peer (the
    /// projections, where attention is full) has none here.
    func expectLinformerGradients(_ all: Gradients, _ module: any Module, inputs: [String: Tensor] = [:]) throws {
        func expect(_ gradient: Tensor?, _ key: String) throws {
            guard let expected = try optional("gradients/" + key) else {
                let isProjection = key.split(separator: ".").contains { $0 == "E" || $0 == "F" }
                #expect(gradient == nil && isProjection, "\(name): a gradient for \(key)")
                return
            }
            let gradient = try #require(gradient, "\(name): no gradient for \(key)")
            expectGradient(gradient, expected, key)
        }
        for (key, parameter) in module.trainable { try expect(all[parameter], key) }
        for (key, leaf) in inputs { try expect(all[leaf], key) }
        // Every gradient of the file has been compared.
        let keys = module.trainable.map(\.key) + inputs.keys
        let other = file.names.filter { $0.hasPrefix("gradients/") && !keys.contains(String($0.dropFirst(10))) }
        #expect(other == [], "\(name): gradients of nothing")
    }
}
