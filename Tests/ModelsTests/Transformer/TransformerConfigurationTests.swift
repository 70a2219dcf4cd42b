import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Transformers

/// The JSON form: what is read is what is written, and every mistake has its message.
@Suite struct TransformerConfigurationTests {
    private static let least: [String: JSONValue] = [
        "num_tokens": .integer(9), "dim": .integer(8), "depth": .integer(2),
    ]

    private func read(_ changes: [String: JSONValue?]) throws -> TransformerConfiguration {
        var members = Self.least
        for (key, value) in changes { members[key] = value }
        return try TransformerConfiguration(.object(members), file: "config.json")
    }

    @Test("Absent keys have their defaults")
    func defaults() throws {
        let expected: [String: JSONValue] = [
            "heads": .integer(8), "dim_head": .integer(64), "ff_mult": .number(4), "attn_dropout": .number(0),
            "ff_dropout": .number(0), "attention": .string("fused"),
        ]
        #expect(try read([:]).json == .object(expected.merging(Self.least) { $1 }))
        #expect(try read([:]).hiddenDimension == 32)
    }

    @Test("Every option is read back from its JSON")
    func everyOptionSurvivesItsJSON() throws {
        let changes: [String: JSONValue] = [
            "num_tokens": .integer(7), "dim": .integer(10), "depth": .integer(0), "heads": .integer(3),
            "dim_head": .integer(6), "ff_mult": .number(1.5), "attn_dropout": .number(0.25),
            "ff_dropout": .number(0.5), "attention": .string("naive"),
        ]
        let json = try read(changes.mapValues { $0 }).json
        #expect(json == .object(changes))
        #expect(try TransformerConfiguration(json, file: "again").json == json)
    }

    @Test(
        "Mistakes name the key",
        arguments: [
            ("num_tokens", nil, "is missing; expected a whole number of at least 1"),
            ("num_tokens", .integer(0), "expected a whole number of at least 1, found 0"),
            ("dim", .number(2.5), "expected a whole number of at least 1, found 2.5"),
            ("dim", .integer(1 << 62), "expected at most 16777216, found 4611686018427387904"),
            ("depth", .integer(-1), "expected a whole number of at least 0, found -1"),
            ("heads", .integer(0), "expected a whole number of at least 1, found 0"),
            ("dim_head", .integer(7), "7 is odd; rotary positions need an even number of columns"),
            ("ff_mult", .number(0.1), "0.1 times dim 8 leaves no hidden feature"),
            ("attn_dropout", .integer(1), "expected a number of at least 0.0 and below 1.0, found 1"),
            ("ff_dropout", .number(-0.1), "expected a number of at least 0.0 and below 1.0, found -0.1"),
            (
                "attention", .string("naiv"),
                "expected one of \"fused\", \"naive\", found \"naiv\"; did you mean \"naive\"?"
            ),
        ] as [(String, JSONValue?, String)])
    func mistakesNameTheKey(_ key: String, _ value: JSONValue?, _ problem: String) throws {
        let error = #expect(throws: InputError.self) { try read([key: value]) }
        #expect(error?.message == "config.json: \"\(key)\": \(problem)")
    }

    @Test("An unknown key is named")
    func unknownKeys() throws {
        let error = #expect(throws: InputError.self) { try read(["max_seq_len": .integer(4)]) }
        #expect(error?.message.hasPrefix("config.json: unknown key \"max_seq_len\"") == true)
    }
}
