import AttentionZooTestSupport
import NN
import Tensors
import Testing

extension Fixture {
    /// Compares the gradient of every trainable parameter, and of the inputs by their names. What has none in the peer (the
    /// norm before the attention, where it is not used) has none here.
    ///
    /// Keys are divided by the sum of their features, which may be small, so the gradients of `run` after one more rounding
    /// of the weights say how well they are known.
    func expectFastWeightsGradients(
        _ module: any Module, inputs: [String: Tensor] = [:], _ run: () throws -> Gradients
    ) throws {
        let parameters = module.trainable.map { (peerKey($0.key), $0.parameter) }
        func named(_ all: Gradients) -> [String: Tensor] {
            let tensors = parameters.map { ($0, all[$1]) } + inputs.map { ($0, all[$1]) }
            return Dictionary(uniqueKeysWithValues: tensors.compactMap { key, tensor in tensor.map { (key, $0) } })
        }
        let all = named(try run())
        let responses = try roundingResponse(of: module) { named(try run()) }
        func expect(_ gradient: Tensor?, _ key: String) throws {
            guard let expected = try optional("gradients/" + key) else {
                #expect(gradient == nil && key.contains("norm_self_attn"), "\(name): a gradient for \(key)")
                return
            }
            let gradient = try #require(gradient, "\(name): no gradient for \(key)")
            expectGradient(gradient, expected, key, response: responses[key] ?? 0)
        }
        for key in parameters.map(\.0) + inputs.keys { try expect(all[key], key) }
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
}
