import Foundation
import NN
import Tensors
import Testing

@testable import LocalTransformers

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
        get throws {
            let keys = file.names.filter { $0.hasPrefix("gradients/") }
            let largest = try keys.map { try tensor($0).values.reduce(0) { max($0, abs($1)) } }.max() ?? 0
            return 3e-6 * largest
        }
    }
}

/// Expects agreement relative to the largest element of what is expected, or within `floor` where that is more. The
/// peer's own float32 noise against float64 is up to 2e-6 for outputs and 1e-5 for gradients; ours adds as much.
func expectClose(
    _ got: Tensor, _ expected: Tensor, _ tolerance: Float, floor: Float = 0, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let (a, b) = (got.values, expected.values)
    #expect(
        got.count == expected.count, "\(what): shape \(got.shape), expected \(expected.shape)",
        sourceLocation: sourceLocation)
    guard a.count == b.count else { return }
    let largest = b.reduce(0) { max($0, abs($1)) }
    let difference = zip(a, b).reduce(Float(0)) { worst, pair in
        let off = abs(pair.0 - pair.1)
        return off.isNaN ? .infinity : max(worst, off)
    }
    #expect(
        difference <= max(tolerance * largest, floor, 1e-30), "\(what): off by \(difference) of \(largest)",
        sourceLocation: sourceLocation)
}
