import NN
import Tensors
import Testing

@testable import LocalTransformers

/// The JSON forms: what is read is what is written, and every mistake has its message.
@Suite struct LocalConfigurationTests {
    private static let least: [String: JSONValue] = [
        "num_tokens": .integer(9), "max_seq_len": .integer(20), "dim": .integer(8), "depth": .integer(2),
    ]

    private func read(_ changes: [String: JSONValue?]) throws -> LocalConfiguration {
        var members = Self.least
        for (key, value) in changes { members[key] = value }
        return try LocalConfiguration(.object(members), file: "config.json")
    }

    @Test("Defaults are the peer's") func defaultsArePeers() throws {
        let json = try #require(read([:]).json.objectValue)
        let expected: [String: JSONValue] = [
            "causal": .bool(true), "local_attn_window_size": .integer(512), "dim_head": .integer(64),
            "heads": .integer(8), "ff_mult": .number(4), "attn_dropout": .number(0), "ff_dropout": .number(0),
            "ignore_index": .integer(-1), "use_xpos": .bool(false), "xpos_scale_base": .null,
            "use_dynamic_pos_bias": .bool(false), "layers_insert_global_attn": .null,
            "num_residual_streams": .integer(4), "qk_rmsnorm": .bool(false), "qk_scale": .number(8),
            "exact_windowsize": .bool(true), "gate_values_per_head": .bool(false), "look_backward": .integer(1),
            "look_forward": .null, "shared_qk": .bool(false), "true_positions": .bool(false),
            "use_rotary_pos_emb": .bool(true),
        ]
        #expect(json == expected.merging(Self.least) { $1 })
        #expect(try read([:]).hiddenDimension == 21)
    }

    @Test("Every option survives its JSON") func everyOptionSurvivesItsJSON() throws {
        let changes: [String: JSONValue] = [
            "num_tokens": .null, "max_seq_len": .integer(7), "dim": .integer(10), "depth": .integer(3),
            "causal": .bool(false), "local_attn_window_size": .integer(3), "dim_head": .integer(6),
            "heads": .integer(3), "ff_mult": .number(1.5), "attn_dropout": .number(0.25), "ff_dropout": .number(0.5),
            "ignore_index": .integer(-100), "use_xpos": .bool(true), "xpos_scale_base": .number(2.5),
            "use_dynamic_pos_bias": .bool(true), "layers_insert_global_attn": .array([.integer(1), .integer(3)]),
            "num_residual_streams": .integer(2), "qk_rmsnorm": .bool(true), "qk_scale": .number(3.5),
            "exact_windowsize": .bool(false), "gate_values_per_head": .bool(true), "look_backward": .integer(2),
            "look_forward": .integer(3), "shared_qk": .bool(true), "true_positions": .bool(true),
            "use_rotary_pos_emb": .bool(false),
        ]
        let json = try read(changes.mapValues { $0 }).json
        #expect(json == .object(changes))
        #expect(try LocalConfiguration(json, file: "again").json == json)
    }

    @Test(
        "Mistakes name the key",
        arguments: [
            ("num_tokens", nil, "is missing; expected a whole number of at least 1"),
            ("num_tokens", .integer(0), "expected a whole number of at least 1, found 0"),
            ("max_seq_len", nil, "is missing; expected a whole number of at least 1"),
            ("max_seq_len", .integer(0), "expected a whole number of at least 1, found 0"),
            ("dim", nil, "is missing; expected a whole number of at least 1"),
            ("dim", .number(2.5), "expected a whole number of at least 1, found 2.5"),
            ("depth", .integer(-1), "expected a whole number of at least 0, found -1"),
            ("local_attn_window_size", .integer(0), "expected a whole number of at least 1, found 0"),
            ("dim_head", .integer(7), "7 is odd; rotary positions need an even number of columns"),
            ("heads", .integer(0), "expected a whole number of at least 1, found 0"),
            ("ff_mult", .number(0.1), "2/3 of 0.1 times dim 8 leaves no hidden feature"),
            ("attn_dropout", .integer(1), "expected a number of at least 0.0 and below 1.0, found 1"),
            ("ff_dropout", .number(-0.1), "expected a number of at least 0.0 and below 1.0, found -0.1"),
            (
                "ignore_index", .string("none"),
                "expected a whole number from -2147483648 to 2147483647, found the string \"none\""
            ),
            ("xpos_scale_base", .integer(0), "expected a number of at least 0.001, found 0"),
            ("dim", .integer(1 << 62), "expected at most 16777216, found 4611686018427387904"),
            ("local_attn_window_size", .integer(1 << 25), "expected at most 16777216, found 33554432"),
            ("look_forward", .integer(1 << 25), "expected at most 16777216, found 33554432"),
            ("qk_scale", .number(1e300), "expected a number from -1000000.0 to 1000000.0, found 1e+300"),
            ("look_backward", .integer(-1), "expected a whole number of at least 0, found -1"),
            ("look_forward", .integer(1), "1 with causal, which sees nothing ahead; expected 0 or null"),
            ("num_residual_streams", .integer(0), "expected a whole number of at least 1, found 0"),
            ("layers_insert_global_attn", .array([.integer(3)]), "3 is no layer; expected 1 to 2"),
            ("layers_insert_global_attn", .array([.integer(0)]), "0 is no layer; expected 1 to 2"),
            ("layers_insert_global_attn", .integer(1), "expected a list of whole numbers, found 1"),
            ("causal", .integer(1), "expected true or false, found 1"),
            ("use_dynamic_pos_bias", .string("yes"), "expected true or false, found the string \"yes\""),
            ("exact_windowsize", .integer(0), "expected true or false, found 0"),
            ("rel_pos_emb_config", .array([.integer(8)]), "8 columns; expected dim_head, 64"),
        ] as [(String, JSONValue?, String)])
    func mistakesNameTheKey(_ key: String, _ value: JSONValue?, _ problem: String) throws {
        let error = #expect(throws: InputError.self) { try read([key: value]) }
        #expect(error?.message == "config.json: \"\(key)\": \(problem)")
    }

    @Test("Mistakes in several keys, unknown keys and no object are named") func otherMistakes() throws {
        let narrow = #expect(throws: InputError.self) {
            try read(["dim": .integer(1), "use_dynamic_pos_bias": .bool(true)])
        }
        #expect(
            narrow?.message == "config.json: \"dim\": 1 leaves the dynamic bias no features; expected at least 2")
        let noLayers = #expect(throws: InputError.self) {
            try read(["depth": .integer(0), "layers_insert_global_attn": .array([.integer(1)])])
        }
        #expect(noLayers?.message == "config.json: \"layers_insert_global_attn\": 1 is no layer; expected 1 to 0")
        let unknown = #expect(throws: InputError.self) { try read(["window_size": .integer(4)]) }
        #expect(unknown?.message.hasPrefix("config.json: unknown key \"window_size\"") == true)
        let noObject = #expect(throws: InputError.self) { try LocalConfiguration(.integer(3), file: "config.json") }
        #expect(noObject?.message.hasPrefix("config.json: expected a JSON object") == true)
    }

    @Test("Only rotary positions need heads of an even width") func onlyRotaryPositionsNeedHeadsOfAnEvenWidth() throws {
        #expect(try read(["dim_head": .integer(7), "use_dynamic_pos_bias": .bool(true)]).attention.headDimension == 7)
        #expect(try read(["dim_head": .integer(7), "use_rotary_pos_emb": .bool(false)]).attention.headDimension == 7)
    }

    @Test("A dynamic bias leaves other options as they are") func aDynamicBiasLeavesOtherOptionsAsTheyAre() throws {
        let json = try read(["use_dynamic_pos_bias": .bool(true)]).json
        #expect(json.objectValue?["use_rotary_pos_emb"] == .bool(true))
        #expect(try LocalConfiguration(json, file: "again").json == json)
    }

    @Test("Attention alone has its own options") func layersHaveTheirOwnOptions() throws {
        func attention(_ members: [String: JSONValue]) throws -> LocalAttentionOptions {
            try LocalAttentionOptions(.object(members), file: "a.json")
        }
        let old = try attention(["window_size": .integer(4), "rel_pos_emb_config": .array([.integer(6), .integer(2)])])
        #expect(old.dimension == 6)
        #expect(LocalAttention(old).rotary != nil)
        for (members, message) in [
            (["dim": .integer(4)], "a.json: \"window_size\": is missing; expected a whole number of at least 1"),
            (
                ["window_size": .integer(4), "dim": .integer(5)],
                "a.json: \"dim\": 5 is odd; rotary positions need an even number of columns"
            ),
            (
                ["window_size": .integer(4), "causal": .bool(true), "look_forward": .integer(2)],
                "a.json: \"look_forward\": 2 with causal, which sees nothing ahead; expected 0 or null"
            ),
            (
                ["window_size": .integer(4), "autopads": .bool(true)],
                "a.json: unknown key \"autopads\" (did you mean \"autopad\"?)"
            ),
        ] as [([String: JSONValue], String)] {
            let error = #expect(throws: InputError.self) { try attention(members) }
            #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
        }
        let layer = #expect(throws: InputError.self) {
            try LocalMHAOptions(
                .object(["dim": .integer(8), "window_size": .integer(4), "dim_head": .integer(3)]), file: "b.json")
        }
        #expect(
            layer?.message == "b.json: \"dim_head\": 3 is odd; rotary positions need an even number of columns")
    }
}
