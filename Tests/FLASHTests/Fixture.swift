import Foundation
import NN
import Tensors
import Testing

@testable import FLASHTransformers

/// A file made by the peer's own code (Scripts/make_fixtures.py): weights, inputs, outputs, loss and every gradient.
struct Fixture: CustomTestStringConvertible {
    let name: String
    let file: SafetensorsFile

    var testDescription: String { name }

    init(_ name: String) throws {
        self.name = name
        let url = Bundle.module.url(forResource: name, withExtension: "safetensors", subdirectory: "Fixtures")
        file = try SafetensorsFile(path: try #require(url).path)
    }

    /// The names of all fixtures that start so.
    static func names(_ prefix: String) -> [String] {
        let folder = Bundle.module.resourceURL!.appendingPathComponent("Fixtures")
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasPrefix(prefix) }.map { String($0.dropLast(".safetensors".count)) }.sorted()
    }

    var configuration: JSONValue {
        get throws { try JSONValue(parsing: Data(file.metadata["config"]!.utf8), file: name) }
    }

    func tensor(_ key: String) throws -> Tensor { try file.tensor(key) }
    func optional(_ key: String) throws -> Tensor? { file.entries[key] == nil ? nil : try file.tensor(key) }

    /// Puts the weights under `prefix` into a module; the keys must be the module's, no more and no fewer.
    func load(_ module: any Module, prefix: String = "weights/") throws {
        let expected = file.names.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        #expect(Set(module.state.map(\.key)) == Set(expected))
        for (key, parameter) in module.state {
            let value = try tensor(prefix + key)
            if !parameter.isTrainable { expectClose(value, parameter.value, 1e-6, "\(name): buffer \(key)") }
            parameter.assign(value)
        }
    }

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
    let (a, b) = (got.values, expected.values)
    #expect(
        a.count == b.count, "\(what): shape \(got.shape), expected \(expected.shape)", sourceLocation: sourceLocation)
    guard a.count == b.count else { return }
    let largest = b.reduce(0) { max($0, abs($1)) }
    let difference = zip(a, b).reduce(Float(0)) { worst, pair in
        let off = abs(pair.0 - pair.1)
        return off.isNaN ? .infinity : max(worst, off)
    }
    #expect(
        difference <= tolerance * max(largest, 1e-30), "\(what): off by \(difference) of \(largest)",
        sourceLocation: sourceLocation)
}
