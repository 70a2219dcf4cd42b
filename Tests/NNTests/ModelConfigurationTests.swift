import Foundation
import Tensors
import Testing

@testable import NN

private enum Kind: String, CaseIterable, Sendable { case plain, other }

private struct Part: Equatable, Sendable {
    var kind = Kind.plain
    var layers: [Int]?

    static let keys: [ConfigurationField<Self>] = [.option("kind", \.kind), .integers("layers", \.layers)]
}

private struct Example: ModelConfiguration {
    var tokens: Int
    var depth = 2
    var width: Int?
    var scale = 0.5
    var bias: Double?
    var epsilon: Float = 1e-6
    var ignored: Int32 = -100
    var isCausal = false
    var norm = false
    var part = Part()

    static let schema = ConfigurationSchema(
        Example(tokens: 0),
        [
            .size("num_tokens", \.tokens, isRequired: true),
            .depth("depth", \.depth),
            .size("width", \.width),
            .number("scale", \.scale, in: 0..<1),
            .number("bias", \.bias, in: -1...1),
            .number("eps", \.epsilon, in: 1e-30...1),
            .token("ignore_index", \.ignored),
            .flag("causal", \.isCausal),
            .flag("norm", \.norm, isTrueAs: "rms", isFalseAs: "none"),
        ] + Part.keys.map { $0.of(\.part, isWritten: \.isCausal) })

    func check() throws {
        if let width, width % 2 == 1 { throw ConfigurationError("width", "\(width) is odd") }
    }
}

/// Configurations that say each key once: both directions of JSON, whoever reads it, and what is refused.
@Suite struct ModelConfigurationTests {
    private static let text = """
        {"num_tokens": 7, "depth": 3, "width": 4, "scale": 0.25, "bias": -0.5, "eps": 1e-05, "ignore_index": 5,
         "causal": true, "norm": "rms", "kind": "other", "layers": [1, 2]}
        """
    private static var changed: Example {
        var example = Example(tokens: 7)
        (example.depth, example.width, example.scale, example.bias) = (3, 4, 0.25, -0.5)
        (example.epsilon, example.ignored, example.isCausal, example.norm) = (1e-5, 5, true, true)
        example.part = Part(kind: .other, layers: [1, 2])
        return example
    }

    private func parse(_ text: String) throws -> Example {
        try Example(JSONValue(parsing: text.utf8, file: "c.json"), file: "c.json")
    }

    @Test("Every kind of key is read and written")
    func keysAreReadAndWritten() throws {
        #expect(try parse(Self.text) == Self.changed)
        #expect(try Self.changed.json == JSONValue(parsing: Self.text.utf8, file: "text"))
    }

    @Test("Keys that are left out, or null, have their defaults")
    func defaults() throws {
        #expect(try parse(#"{"num_tokens": 7}"#) == Example(tokens: 7))
        #expect(try parse(#"{"num_tokens": 7, "scale": null, "eps": null, "norm": null}"#) == Example(tokens: 7))
    }

    @Test("A key is not written where it means nothing")
    func writtenKeys() {
        #expect(Example(tokens: 7).json.objectValue?["kind"] == nil)
        #expect(Example(tokens: 7).json.objectValue?["width"] == .null)
    }

    @Test("Foundation's coders read and write the same keys")
    func foundation() throws {
        let data = try JSONEncoder().encode(["model": Self.changed])
        #expect(try JSONValue(parsing: data, file: "encoded").objectValue?["model"] == Self.changed.json)
        #expect(try JSONDecoder().decode([String: Example].self, from: data) == ["model": Self.changed])
        #expect(try JSONDecoder().decode(Example.self, from: Data(Self.text.utf8)) == Self.changed)
    }

    @Test("Foundation's decoder gets the same errors, which name the type or the place")
    func foundationErrors() {
        func message(_ text: String) -> String? {
            let error = #expect(throws: InputError.self) {
                try JSONDecoder().decode([String: Example].self, from: Data(text.utf8))
            }
            return error?.message
        }
        #expect(
            message(#"{"model": {"num_tokens": true}}"#)?.hasPrefix("model: \"num_tokens\": expected a whole") == true)
        #expect(message(#"{"model": {"num_tokens": 1, "widht": 2}}"#)?.contains("did you mean \"width\"") == true)
    }

    @Test("A value that Swift code has set is checked as one that is read")
    func validation() throws {
        try Self.changed.validate()
        var example = Self.changed
        example.scale = 1
        #expect(throws: InputError("Example: \"scale\": expected a number of at least 0.0 and below 1.0, found 1.0")) {
            try example.validate()
        }
        example.scale = 0
        example.width = 3
        #expect(throws: ConfigurationError("width", "3 is odd")) { try example.check() }
        #expect(throws: InputError("Example: \"width\": 3 is odd")) { try example.validate() }
    }

    @Test("A file is read, and its mistakes name it")
    func files() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(Self.text.utf8).write(to: URL(fileURLWithPath: path))
        #expect(try Example(path: path) == Self.changed)
        try Data("{}".utf8).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: InputError.self) { try Example(path: path) }
        #expect(error?.message.hasPrefix("\(path): \"num_tokens\": is missing") == true)
    }

    @Test("Any document passes through Foundation's coders")
    func documents() throws {
        let text = #"{"a": [1, 2.5, "x", null, true, [], {}], "b": {"c": -3}, "d": "é\n"}"#
        let value = try JSONValue(parsing: text.utf8, file: "text")
        let encoded = try JSONEncoder().encode(value)
        #expect(try JSONDecoder().decode(JSONValue.self, from: encoded) == value)
        #expect(try JSONValue(parsing: encoded, file: "encoded") == value)
    }
}
