import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

extension Fixture {
    /// The model of the file's configuration, with its weights.
    func blockRecurrentModel() throws -> BlockRecurrentTransformer {
        let configuration = try BlockRecurrentConfiguration(configuration, file: name)
        let model = BlockRecurrentTransformer(configuration, key: RandomKey(seed: 1))
        try load(model)
        return model
    }

    /// The tokens of each segment.
    func segments() throws -> [Range<Int>] {
        guard case .array(let lengths) = try JSONValue(parsing: file.metadata["segments"]!.utf8, file: name) else {
            throw InputError("\(name): segments is no list")
        }
        var end = 0
        return lengths.map {
            guard case .integer(let length) = $0 else { return end..<end }
            end += length
            return end - length..<end
        }
    }

    /// name.0, name.1 … as far as there are some.
    func numbered(_ name: String) throws -> [Tensor] {
        var tensors: [Tensor] = []
        while let tensor = try optional("\(name).\(tensors.count)") { tensors.append(tensor) }
        return tensors
    }

    /// Compares the gradient of every trainable parameter, and of the inputs by their names. What has none in the peer
    /// (what only makes states or memories that nothing reads) has none here, or zeros.
    func expectBlockRecurrentGradients(_ all: Gradients, _ module: any Module, inputs: [String: Tensor] = [:]) throws {
        func expect(_ gradient: Tensor?, _ key: String) throws {
            guard let expected = try optional("gradients/" + key) else {
                #expect(gradient?.values.allSatisfy { $0 == 0 } ?? true, "\(name): a gradient for \(key)")
                return
            }
            let gradient = try #require(gradient, "\(name): no gradient for \(key)")
            expectGradient(gradient, expected, key)
        }
        for (key, parameter) in module.trainable { try expect(all[parameter], key) }
        for (key, leaf) in inputs { try expect(all[leaf], key) }
        // Every gradient of the file has been compared.
        let keys = Set(module.trainable.map(\.key) + inputs.keys)
        let other = file.names.filter { $0.hasPrefix("gradients/") && !keys.contains(String($0.dropFirst(10))) }
        #expect(other == [], "\(name): gradients of nothing")
    }
}
