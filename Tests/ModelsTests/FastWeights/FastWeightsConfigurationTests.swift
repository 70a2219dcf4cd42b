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
        "update_rule": .string("delta"), "decay": .string("none"), "short_convolution": .integer(0),
        "qk_activation": .string("identity"), "qk_norm": .string("sum"), "attention_normalization": .bool(false),
        "beta": .string("input"), "beta_range": .integer(1), "output_norm": .string("none"),
        "output_gate": .bool(false),
        "positions": .bool(false), "pre_norm": .bool(false), "norm": .string("layer"), "norm_eps": .number(1e-5),
        "gated_feed_forward": .bool(false), "feed_forward_activation": .string("relu"), "recompute_states": .bool(true),
        "identical_layers": .bool(false),
    ]

    @Test("Defaults are labml-nn's")
    func defaultsArePeers() throws {
        #expect(try read([:]).json == .object(Self.defaults))
        #expect(FastWeightsConfiguration(tokens: 65).json == .object(Self.defaults))
    }

    @Test("Every option survives its JSON")
    func everyOptionSurvivesItsJSON() throws {
        let all: [String: JSONValue] = [
            "n_vocab": .integer(5), "d_model": .integer(12), "nu": .integer(2), "heads": .integer(3),
            "dropout": .number(0.25), "d_ff": .integer(7), "n_layers": .integer(4), "eps": .number(0.001),
            "feature_map": .string("favor"), "favor_features": .integer(9), "favor_redraw": .bool(false),
            "update_rule": .string("sum"), "decay": .string("none"), "short_convolution": .integer(3),
            "qk_activation": .string("relu"), "qk_norm": .string("none"), "attention_normalization": .bool(true),
            "beta": .number(0.5), "beta_range": .integer(1), "output_norm": .string("rms"), "output_gate": .bool(true),
            "positions": .bool(true), "pre_norm": .bool(true), "norm": .string("rms"), "norm_eps": .number(0.01),
            "gated_feed_forward": .bool(true), "feed_forward_activation": .string("silu"),
            "recompute_states": .bool(false), "identical_layers": .bool(true),
        ]
        #expect(all.keys.sorted() == Self.defaults.keys.sorted())
        let rest: [String: JSONValue] = [
            "attention_normalization": .bool(false), "decay": .string("scalar"), "beta": .string("input"),
            "beta_range": .integer(2), "qk_norm": .string("l2"), "qk_activation": .string("elu"),
            "feature_map": .string("identity"), "d_ff": .integer(0),
        ]
        for options in [all, all.merging(rest) { $1 }] {
            let json = try read(options.mapValues { $0 }).json
            #expect(json == .object(options))
            #expect(try FastWeightsConfiguration(json, file: "again").json == json)
        }
    }

    @Test("The key sum_normalization is read as qk_norm")
    func theOldKeyOfSumsIsRead() throws {
        #expect(try read(["sum_normalization": .bool(true)]).keyNorm == .sum)
        #expect(try read(["sum_normalization": .bool(false)]).keyNorm == .none)
        #expect(try read(["sum_normalization": .bool(false), "qk_norm": .string("l2")]).keyNorm == .l2)
    }

    @Test("A convolution has 4 tokens and silu unless told otherwise")
    func convolutionsByDefault() throws {
        func kernel(_ value: JSONValue) throws -> FastWeightsConfiguration { try read(["short_convolution": value]) }
        #expect(try kernel(.bool(true)).shortConvolution == 4 && kernel(.bool(false)).shortConvolution == 0)
        #expect(try kernel(.integer(7)).shortConvolution == 7 && kernel(.integer(0)).shortConvolution == 0)
        #expect(try kernel(.bool(true)).keyActivation == .silu && kernel(.integer(0)).keyActivation == .identity)
    }

    @Test("The sum rule writes values as they are by default")
    func theSharesOfTheSumRuleAreOne() throws {
        #expect(try read(["update_rule": .string("sum")]).beta == 1)
        #expect(try read(["update_rule": .string("sum"), "beta": .string("input")]).beta == nil)
        #expect(try read(["beta": .integer(1)]).beta == 1)
    }

    @Test("Features are counted by map")
    func featuresByMap() throws {
        let sizes: [String: JSONValue?] = ["d_model": .integer(12), "heads": .integer(3), "nu": .integer(2)]
        for (map, features) in [("dpfp", 16), ("elu", 4), ("favor", 256), ("identity", 4), ("softmax", 0)] {
            let changes: [String: JSONValue?] = ["feature_map": .string(map), "qk_norm": .string("none")]
            #expect(try read(sizes.merging(changes) { $1 }).features == features)
        }
    }

    @Test(
        "Impossible values are named",
        arguments: [
            (["n_vocab": nil], "\"n_vocab\": is missing; expected a whole number of at least 1"),
            (["d_model": .integer(0)], "\"d_model\": expected a whole number of at least 1, found 0"),
            (["d_model": .integer(12)], "\"heads\": expected a divisor of d_model 12, found 8"),
            (["nu": .integer(0)], "\"nu\": expected a whole number of at least 1, found 0"),
            (["nu": .integer(128)], "\"nu\": expected less than twice the 64 columns of a head, found 128"),
            (["heads": .integer(0)], "\"heads\": expected a whole number of at least 1, found 0"),
            (["dropout": .integer(1)], "\"dropout\": expected a number of at least 0.0 and below 1.0, found 1"),
            (["d_ff": .integer(-1)], "\"d_ff\": expected a whole number of at least 0, found -1"),
            (["n_layers": .integer(0)], "\"n_layers\": expected a whole number of at least 1, found 0"),
            (["eps": .integer(0)], "\"eps\": expected a number from 1e-30 to 1.0, found 0"),
            (
                ["feature_map": .string("relu")],
                "\"feature_map\": expected one of \"dpfp\", \"elu\", \"favor\", \"identity\", \"softmax\", found"
                    + " \"relu\"; did you mean \"elu\"?"
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
            (["decay": .string("vector")], "\"decay\": expected one of \"none\", \"scalar\", found \"vector\""),
            (
                ["short_convolution": .integer(-1)],
                "\"short_convolution\": expected true, false or a whole number from 0 to 256, found -1"
            ),
            (
                ["short_convolution": .integer(257)],
                "\"short_convolution\": expected true, false or a whole number from 0 to 256, found 257"
            ),
            (
                ["qk_activation": .string("gelu")],
                "\"qk_activation\": expected one of \"silu\", \"relu\", \"elu\", \"identity\", found \"gelu\"; did you"
                    + " mean \"relu\"?"
            ),
            (
                ["qk_norm": .string("l3")],
                "\"qk_norm\": expected one of \"sum\", \"l2\", \"none\", found \"l3\"; did you"
                    + " mean \"l2\"?"
            ),
            (["beta_range": .integer(3)], "\"beta_range\": expected a whole number from 1 to 2, found 3"),
            (["output_norm": .string("l2")], "\"output_norm\": expected one of \"none\", \"rms\", found \"l2\""),
            (["output_gate": .integer(1)], "\"output_gate\": expected true or false, found 1"),
            (["norm": .string("scale")], "\"norm\": expected one of \"layer\", \"rms\", found \"scale\""),
            (["norm_eps": .integer(0)], "\"norm_eps\": expected a number from 1e-30 to 1.0, found 0"),
            (
                ["feed_forward_activation": .string("gelu")],
                "\"feed_forward_activation\": expected one of \"relu\", \"silu\", found \"gelu\"; did you mean \"relu\"?"
            ),
        ] as [([String: JSONValue?], String)])
    func mistakesAreNamed(_ changes: [String: JSONValue?], message: String) {
        let error = #expect(throws: InputError.self) { try read(changes) }
        #expect(error?.description == "config.json: " + message)
    }

    @Test(
        "Options that cannot be together are named",
        arguments: [
            (
                ["sum_normalization": .bool(true), "qk_norm": .string("l2")],
                "\"sum_normalization\": is true, but \"qk_norm\" is \"l2\""
            ),
            (
                ["feature_map": .string("identity")],
                "\"qk_norm\": expected \"l2\" or \"none\", as the features may be negative (feature_map \"identity\","
                    + " qk_activation \"identity\"), found \"sum\""
            ),
            (
                ["qk_activation": .string("elu")],
                "\"qk_activation\": expected \"silu\", \"relu\" or \"identity\" with feature_map \"dpfp\", found \"elu\""
            ),
            (
                ["beta": .number(0.5), "beta_range": .integer(2)],
                "\"beta_range\": expected 1 with a fixed beta, found 2"
            ),
            (
                ["feature_map": .string("softmax"), "short_convolution": .integer(4)],
                "\"short_convolution\": expected 0 with feature_map \"softmax\", found 4"
            ),
            (
                ["feature_map": .string("softmax"), "qk_activation": .string("silu")],
                "\"qk_activation\": expected \"identity\" with feature_map \"softmax\", found \"silu\""
            ),
            (
                ["feature_map": .string("softmax"), "qk_norm": .string("l2")],
                "\"qk_norm\": expected \"none\" or \"sum\", which has no effect, with feature_map \"softmax\", found \"l2\""
            ),
            (
                ["feature_map": .string("softmax"), "decay": .string("scalar")],
                "\"decay\": expected \"none\" with feature_map \"softmax\", found \"scalar\""
            ),
            (
                ["feature_map": .string("softmax"), "beta_range": .integer(2)],
                "\"beta_range\": expected 1 with feature_map \"softmax\", found 2"
            ),
            (
                ["attention_normalization": .bool(true), "decay": .string("scalar")],
                "\"attention_normalization\": expected false with decay \"scalar\", found true"
            ),
            (
                ["attention_normalization": .bool(true), "qk_norm": .string("l2")],
                "\"attention_normalization\": expected false with qk_norm \"l2\", found true"
            ),
            (
                [
                    "attention_normalization": .bool(true), "feature_map": .string("identity"),
                    "qk_norm": .string("none"),
                ],
                "\"attention_normalization\": expected false as the features may be negative (feature_map \"identity\","
                    + " qk_activation \"identity\"), found true"
            ),
        ] as [([String: JSONValue?], String)])
    func contradictionsAreNamed(_ changes: [String: JSONValue?], message: String) {
        let error = #expect(throws: InputError.self) { try read(changes) }
        #expect(error?.description == "config.json: " + message)
    }

    @Test("Unknown keys are named")
    func unknownKeysAreNamed() {
        let error = #expect(throws: InputError.self) { try read(["d_modl": .integer(8)]) }
        #expect(error?.description.hasPrefix("config.json: unknown key \"d_modl\" (did you mean \"d_model\"?)") == true)
    }
}
