import NN
import Tensors
import Testing

@testable import FastWeightTransformers

@Suite struct FastWeightsConfigurationTests {
    private func read(_ changes: [String: JSONValue?]) throws -> FastWeightsConfiguration {
        var members: [String: JSONValue] = ["n_vocab": .integer(65)]
        for (key, value) in changes { members[key] = value }
        return try FastWeightsConfiguration(.object(members), file: "config.json")
    }

    private static let defaults: [String: JSONValue] = [
        "n_vocab": .integer(65), "d_model": .integer(512), "nu": .integer(1), "heads": .integer(8),
        "dropout": .number(0), "d_ff": .integer(2048), "n_layers": .integer(6), "eps": .number(1e-6),
        "feature_map": .string("dpfp"), "favor_features": .integer(128), "favor_redraw": .bool(true),
        "update_rule": .string("delta"), "sum_normalization": .bool(true), "attention_normalization": .bool(false),
        "beta": .string("input"), "positions": .bool(false), "pre_norm": .bool(false),
        "gated_feed_forward": .bool(false), "recompute_states": .bool(true), "identical_layers": .bool(false),
    ]

    @Test("defaults are labml-nn's")
    func defaultsArePeers() throws {
        #expect(try read([:]).json == .object(Self.defaults))
        #expect(FastWeightsConfiguration(tokens: 65).json == .object(Self.defaults))
    }

    @Test("every option survives its JSON")
    func everyOptionSurvivesItsJSON() throws {
        let all: [String: JSONValue] = [
            "n_vocab": .integer(5), "d_model": .integer(12), "nu": .integer(2), "heads": .integer(3),
            "dropout": .number(0.25), "d_ff": .integer(7), "n_layers": .integer(4), "eps": .number(0.001),
            "feature_map": .string("favor"), "favor_features": .integer(9), "favor_redraw": .bool(false),
            "update_rule": .string("sum"), "sum_normalization": .bool(false), "attention_normalization": .bool(true),
            "beta": .number(0.5), "positions": .bool(true), "pre_norm": .bool(true), "gated_feed_forward": .bool(true),
            "recompute_states": .bool(false), "identical_layers": .bool(true),
        ]
        #expect(all.keys.sorted() == Self.defaults.keys.sorted())
        let json = try read(all.mapValues { $0 }).json
        #expect(json == .object(all))
        #expect(try FastWeightsConfiguration(json, file: "again").json == json)
    }

    @Test("the sum rule writes values as they are by default")
    func theSharesOfTheSumRuleAreOne() throws {
        #expect(try read(["update_rule": .string("sum")]).beta == 1)
        #expect(try read(["update_rule": .string("sum"), "beta": .string("input")]).beta == nil)
        #expect(try read(["beta": .integer(1)]).beta == 1)
    }

    @Test("features are counted by map")
    func featuresByMap() throws {
        let sizes: [String: JSONValue?] = ["d_model": .integer(12), "heads": .integer(3), "nu": .integer(2)]
        for (map, features) in [("dpfp", 16), ("elu", 4), ("favor", 256), ("softmax", 0)] {
            #expect(try read(sizes.merging(["feature_map": .string(map)]) { $1 }).features == features)
        }
    }

    @Test(
        "impossible values are named",
        arguments: [
            (["n_vocab": nil], "\"n_vocab\": is missing; expected a whole number of at least 1"),
            (["d_model": .integer(0)], "\"d_model\": expected a whole number of at least 1, found 0"),
            (["d_model": .integer(12)], "\"heads\": expected a divisor of d_model 12, found 8"),
            (["nu": .integer(0)], "\"nu\": expected a whole number of at least 1, found 0"),
            (["nu": .integer(128)], "\"nu\": expected less than twice the 64 columns of a head, found 128"),
            (["heads": .integer(0)], "\"heads\": expected a whole number of at least 1, found 0"),
            (["dropout": .integer(1)], "\"dropout\": expected a number of at least 0.0 and below 1.0, found 1"),
            (["d_ff": .integer(0)], "\"d_ff\": expected a whole number of at least 1, found 0"),
            (["n_layers": .integer(0)], "\"n_layers\": expected a whole number of at least 1, found 0"),
            (["eps": .integer(0)], "\"eps\": expected a number from 1e-30 to 1.0, found 0"),
            (
                ["feature_map": .string("relu")],
                "\"feature_map\": expected one of \"dpfp\", \"elu\", \"favor\", \"softmax\", found \"relu\"; did you mean"
                    + " \"elu\"?"
            ),
            (["favor_features": .integer(0)], "\"favor_features\": expected a whole number of at least 1, found 0"),
            (["favor_redraw": .integer(1)], "\"favor_redraw\": expected true or false, found 1"),
            (
                ["update_rule": .string("deltas")],
                "\"update_rule\": expected one of \"delta\", \"sum\", found \"deltas\"; did you mean \"delta\"?"
            ),
            (["sum_normalization": .integer(1)], "\"sum_normalization\": expected true or false, found 1"),
            (["attention_normalization": .integer(1)], "\"attention_normalization\": expected true or false, found 1"),
            (["beta": .integer(0)], "\"beta\": expected \"input\" or a number above 0, up to 1, found 0"),
            (["beta": .string("x")], "\"beta\": expected \"input\" or a number above 0, up to 1, found \"x\""),
            (["positions": .integer(1)], "\"positions\": expected true or false, found 1"),
            (["pre_norm": .integer(1)], "\"pre_norm\": expected true or false, found 1"),
            (["gated_feed_forward": .integer(1)], "\"gated_feed_forward\": expected true or false, found 1"),
            (["recompute_states": .integer(1)], "\"recompute_states\": expected true or false, found 1"),
            (["identical_layers": .integer(1)], "\"identical_layers\": expected true or false, found 1"),
        ] as [([String: JSONValue?], String)])
    func mistakesAreNamed(_ changes: [String: JSONValue?], message: String) {
        let error = #expect(throws: InputError.self) { try read(changes) }
        #expect(error?.description == "config.json: " + message)
    }

    @Test("unknown keys are named")
    func unknownKeysAreNamed() {
        let error = #expect(throws: InputError.self) { try read(["d_modl": .integer(8)]) }
        #expect(error?.description.hasPrefix("config.json: unknown key \"d_modl\" (did you mean \"d_model\"?)") == true)
    }
}
