import AttentionZooTestSupport
import Foundation
import NN
import Tensors

/// A file made by a peer's own code (Scripts/make_fixtures.py): weights, inputs, outputs, loss and every gradient.
public struct Fixture: CustomStringConvertible, Sendable {
    public let name: String
    public let file: SafetensorsFile
    /// The largest element of all gradients in the file: what rounding in sums that cancel is measured by.
    public let largestGradient: Double

    public var description: String { name }

    /// - Parameter bundle: of the test target whose folder `Fixtures` holds the file.
    public init(_ name: String, in bundle: Bundle) throws {
        self.name = name
        guard let url = bundle.url(forResource: name, withExtension: "safetensors", subdirectory: "Fixtures") else {
            throw Mismatch("\(name): there is no such fixture")
        }
        let file = try SafetensorsFile(path: url.path)
        let keys = file.names.filter { $0.hasPrefix("gradients/") }
        largestGradient = try keys.map { largest(try file.tensor($0).values) }.max() ?? 0
        self.file = file
    }

    /// The names of all fixtures that start so.
    public static func names(_ prefix: String, in bundle: Bundle) -> [String] {
        let folder = bundle.resourceURL!.appendingPathComponent("Fixtures")
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasPrefix(prefix) }.map { String($0.dropLast(".safetensors".count)) }.sorted()
    }

    /// The keyword arguments of the peer's class.
    package var configuration: JSONValue {
        get throws { try JSONValue(parsing: Data(file.metadata["config"]!.utf8), file: name) }
    }

    public func tensor(_ key: String) throws -> Tensor { try file.tensor(key) }
    public func optional(_ key: String) throws -> Tensor? { file.entries[key] == nil ? nil : try file.tensor(key) }

    /// Puts the weights under `prefix` into a module.
    /// - Throws: where the keys are not the module's, no more and no fewer, or a buffer is not what the module computes (to
    ///   a few roundings of a power: 1e-6 of the largest element).
    public func load(_ module: any Module, prefix: String = "weights/") throws {
        let expected = Set(file.names.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) })
        let other = expected.symmetricDifference(module.state.map(\.key)).sorted()
        if !other.isEmpty { throw Mismatch("\(name): only one side has \(other.joined(separator: ", "))") }
        for (key, parameter) in module.state {
            let value = try tensor(prefix + key)
            let (difference, largest) = Self.difference(value, parameter.value)
            if parameter.kind == .computed && !(difference <= 1e-6 * largest) {
                throw Mismatch("\(name): buffer \(key) is off by \(difference)")
            }
            parameter.assign(value)
        }
    }

    /// The largest difference of two tensors' elements, infinite where one is not a number or their counts differ, and the
    /// largest element expected.
    public static func difference(_ got: Tensor, _ expected: Tensor) -> (difference: Float, largest: Float) {
        let (a, b) = (got.values, expected.values)
        let largest = b.reduce(0) { max($0, abs($1)) }
        guard a.count == b.count else { return (.infinity, largest) }
        let difference = zip(a, b).reduce(Float(0)) { worst, pair in
            let off = abs(pair.0 - pair.1)
            return off.isNaN ? .infinity : max(worst, off)
        }
        return (difference, largest)
    }

    /// A disagreement between a fixture and what it is compared with.
    public struct Mismatch: Error, CustomStringConvertible {
        public let description: String
        init(_ description: String) { self.description = description }
    }
}
