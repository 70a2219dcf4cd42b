import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

/// Agreement with torch.nn.functional (and flash-pytorch's ScaleNorm): outputs and the gradients of every input of
/// Σ output · probe.
@Suite struct LayerFixtureTests {
    static let file: SafetensorsFile? = Bundle.module.url(
        forResource: "layers", withExtension: "safetensors", subdirectory: "Fixtures"
    ).flatMap { try? SafetensorsFile(path: $0.path) }

    static var cases: [String] {
        guard let text = file?.metadata["config"],
            let json = try? JSONValue(parsing: text.utf8, file: "layers")
        else { return [] }
        return (json.objectValue ?? [:]).keys.sorted()
    }

    @Test("The fixtures of all layers are there")
    func thereAreFixtures() { #expect(Self.cases.count >= 27) }

    @Test("Every layer agrees with PyTorch, outputs and gradients", arguments: cases)
    func agreesWithTorch(_ name: String) throws {
        let file = try #require(Self.file)
        let json = try JSONValue(parsing: file.metadata["config"]!.utf8, file: "layers")
        let description = try #require(json.objectValue?[name]?.objectValue)
        let operation = try #require(description["operation"]?.stringValue)
        var arguments = try ConfigurationReader(try #require(description["arguments"]), file: name)
        var inputs: [String: Tensor] = [:]
        for key in ["input", "weight", "bias", "g"] where file.entries["\(name)/\(key)"] != nil {
            inputs[key] = try file.tensor("\(name)/\(key)").requiringGradient()
        }
        let output = try apply(operation, name, file, inputs, &arguments)
        let expected = try file.tensor("\(name)/output")
        let shapes = file.names.filter { $0.hasPrefix("\(name)/") && !$0.contains("/gradients/") }
            .map { file.entries[$0]!.shape }
        let lengths = SumLengths(shapes: shapes, rows: output.count / max(1, output.shape.last ?? 1))
        expectClose(
            output.values, expected.values.map(Double.init),
            within: lengths.tolerance(largest: largest(expected.values)), "\(name): output")
        let all = gradients(of: (output * (try file.tensor("\(name)/probe")).reshaped(output.shape)).sum())
        let pairs = try inputs.map { key, leaf in
            let gradient = try #require(all[leaf], "\(name): no gradient of \(key)")
            return ("\(name): \(key)", gradient.values, try file.tensor("\(name)/gradients/\(key)").values)
        }
        expectGradients(pairs, lengths)
    }

    private func apply(
        _ operation: String, _ name: String, _ file: SafetensorsFile, _ inputs: [String: Tensor],
        _ arguments: inout ConfigurationReader
    ) throws -> Tensor {
        let x = inputs["input"]
        switch operation {
        case "layer_norm":
            return layerNorm(
                x!, weight: inputs["weight"], bias: inputs["bias"], epsilon: Float(try arguments.double("eps")))
        case "rms_norm": return rmsNorm(x!, weight: inputs["weight"], epsilon: Float(try arguments.double("eps")))
        case "scale_norm": return scaleNorm(x!, gain: inputs["g"]!, epsilon: Float(try arguments.double("eps")))
        case "normalize":
            return x!.l2Normalized(axis: try arguments.int("dim"), epsilon: Float(try arguments.double("eps")))
        case "gelu": return gelu(x!)
        case "silu": return silu(x!)
        case "softmax": return softmax(x!, axis: try arguments.int("dim"))
        case "cross_entropy":
            return crossEntropy(
                x!, try file.tokens("\(name)/targets"), ignoreIndex: Int32(try arguments.int("ignore_index")))
        case "conv1d":
            return convolution1D(
                x!, weight: inputs["weight"]!, bias: inputs["bias"], stride: try arguments.int("stride"),
                padding: try arguments.int("padding"), groups: try arguments.int("groups"))
        case "embedding": return embedding(inputs["weight"]!, try file.tokens("\(name)/indices"))
        default: throw InputError("layers: unknown operation \(operation)")
        }
    }
}
