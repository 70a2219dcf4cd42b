import NN
import Tensors
import Testing

@testable import Linformers

/// The JSON forms: what is read is what is written, and every mistake has its message.
@Suite struct LinformerConfigurationTests {
    private static let least: [String: JSONValue] = [
        "num_tokens": .integer(9), "input_size": .integer(20), "channels": .integer(8),
    ]
    private static let leastOfBoth: [String: JSONValue] = [
        "enc_num_tokens": .integer(9), "enc_input_size": .integer(20), "enc_channels": .integer(8),
        "dec_num_tokens": .integer(7), "dec_input_size": .integer(10), "dec_channels": .integer(12),
    ]

    private func read(_ changes: [String: JSONValue?]) throws -> LinformerLMConfiguration {
        var members = Self.least
        for (key, value) in changes { members[key] = value }
        return try LinformerLMConfiguration(.object(members), file: "config.json")
    }

    private func readBoth(_ changes: [String: JSONValue?]) throws -> LinformerEncDecConfiguration {
        var members = Self.leastOfBoth
        for (key, value) in changes { members[key] = value }
        return try LinformerEncDecConfiguration(.object(members), file: "config.json")
    }

    private static let defaults: [String: JSONValue] = [
        "dim_k": .integer(64), "dim_ff": .integer(1024), "dim_d": .null, "dropout_ff": .number(0.1),
        "dropout_tokens": .number(0.1), "nhead": .integer(4), "depth": .integer(2), "ff_intermediate": .null,
        "dropout": .number(0.05), "parameter_sharing": .string("layerwise"), "k_reduce_by_layer": .integer(0),
        "full_attention": .bool(false), "include_ff": .bool(true), "w_o_intermediate_dim": .null, "emb_dim": .null,
        "method": .string("learnable"), "use_pos_emb": .bool(true),
    ]
    private static let shared: [String: JSONValue] = [
        "activation": .string("gelu"), "checkpoint_level": .string("C0"), "hide_masked_keys": .bool(false),
        "projection_start": .string("xavier"),
    ]

    @Test("Defaults of the language model are the peer's") func defaultsArePeers() throws {
        let others: [String: JSONValue] = [
            "return_emb": .bool(false), "decoder_mode": .bool(false), "causal": .bool(false), "context_size": .null,
            "context_channels": .null, "pre_norm": .bool(false), "ff_gated": .bool(false),
        ]
        let expected = Self.defaults.merging(Self.shared) { $1 }.merging(others) { $1 }.merging(Self.least) { $1 }
        #expect(try read([:]).json == .object(expected))
    }

    @Test("Defaults of the encoder–decoder are the peer's") func defaultsOfBothArePeers() throws {
        var expected = Self.shared.merging(Self.leastOfBoth) { $1 }
        for prefix in ["enc_", "dec_"] { for (key, value) in Self.defaults { expected[prefix + key] = value } }
        expected["dec_causal"] = .bool(true)
        expected["start_token"] = .null
        #expect(try readBoth([:]).json == .object(expected))
    }

    /// Those of `Linformer` alone are others.
    @Test("Defaults of the layers alone are the peer's") func defaultsOfTheStackArePeers() throws {
        let least: [String: JSONValue] = ["input_size": .integer(20), "channels": .integer(8), "dim_k": .integer(3)]
        let json = try LinformerConfiguration(.object(least), file: "config.json").json.objectValue
        #expect(json?["dim_ff"] == .integer(256) && json?["depth"] == .integer(1))
        #expect(json?["dropout_ff"] == .number(0.15) && json?["dropout"] == .number(0.1))
        let error = #expect(throws: InputError.self) {
            try LinformerConfiguration(.object(least.filter { $0.key != "dim_k" }), file: "config.json")
        }
        #expect(error?.description == "config.json: \"dim_k\": is missing; expected a whole number of at least 1")
    }

    private static let changes: [String: JSONValue] = [
        "num_tokens": .integer(5), "input_size": .integer(7), "channels": .integer(10), "dim_k": .integer(9),
        "dim_ff": .integer(11), "dim_d": .integer(3), "dropout_ff": .number(0.25), "dropout_tokens": .number(0.5),
        "nhead": .integer(5), "depth": .integer(3), "ff_intermediate": .integer(6), "dropout": .number(0.125),
        "parameter_sharing": .string("headwise"), "k_reduce_by_layer": .integer(2), "full_attention": .bool(true),
        "include_ff": .bool(true), "w_o_intermediate_dim": .integer(4), "emb_dim": .integer(12),
        "method": .string("no_params"), "use_pos_emb": .bool(false),
    ]

    @Test("Every option survives its JSON") func everyOptionSurvivesItsJSON() throws {
        let others: [String: JSONValue] = [
            "activation": .string("relu"), "checkpoint_level": .string("C2"), "hide_masked_keys": .bool(true),
            "projection_start": .string("turns"),
            "return_emb": .bool(true), "decoder_mode": .bool(true), "causal": .string("compatible"),
            "pre_norm": .bool(true), "ff_gated": .bool(true),
            "context_size": .integer(13), "context_channels": .integer(14), "ff_intermediate": .null,
        ]
        let all = Self.changes.merging(others) { $1 }
        let json = try read(all.mapValues { $0 }).json
        #expect(json == .object(all))
        #expect(try LinformerLMConfiguration(json, file: "again").json == json)
    }

    @Test("Every option of the encoder–decoder survives its JSON") func everyOptionOfBothSurvivesItsJSON() throws {
        var all: [String: JSONValue] = [
            "activation": .string("relu"), "checkpoint_level": .string("C1"), "hide_masked_keys": .bool(true),
            "projection_start": .string("turns"),
            "dec_causal": .string("compatible"), "start_token": .integer(4),
        ]
        for prefix in ["enc_", "dec_"] { for (key, value) in Self.changes { all[prefix + key] = value } }
        all["dec_ff_intermediate"] = .null
        all["dec_method"] = .string("convolution")
        all["dec_dim_k"] = .integer(2)
        let json = try readBoth(all.mapValues { $0 }).json
        #expect(json == .object(all))
        #expect(try LinformerEncDecConfiguration(json, file: "again").json == json)
    }

    /// The decoder attends to as many tokens, of as many columns, as the encoder's output has.
    @Test("The decoder takes the encoder's length and width") func theDecoderKnowsTheEncoder() throws {
        let configuration = try readBoth(["enc_emb_dim": .integer(5)])
        #expect(configuration.decoder.stack.contextSize == 20 && configuration.decoder.stack.contextChannels == 5)
        #expect(configuration.encoder.returnsEmbeddings && configuration.decoder.stack.isDecoder)
    }

    @Test(
        "Mistakes are named with their key",
        arguments: [
            (["input_size": nil], "\"input_size\": is missing; expected a whole number of at least 1"),
            (["num_tokens": nil], "\"num_tokens\": is missing; expected a whole number of at least 1"),
            (["channels": nil], "\"channels\": is missing; expected a whole number of at least 1"),
            (["input_size": .integer(0)], "\"input_size\": expected a whole number of at least 1, found 0"),
            (["channels": .integer(10)], "\"channels\": 10 is no multiple of nhead 4; expected one, or dim_d"),
            (["dim_k": .integer(0)], "\"dim_k\": expected a whole number of at least 1, found 0"),
            (["dim_k": .integer(1 << 25)], "\"dim_k\": expected at most 16777216, found 33554432"),
            (["dim_ff": .integer(0)], "\"dim_ff\": expected a whole number of at least 1, found 0"),
            (["dim_d": .integer(0)], "\"dim_d\": expected a whole number of at least 1, found 0"),
            (["nhead": .integer(0)], "\"nhead\": expected a whole number of at least 1, found 0"),
            (["depth": .integer(0)], "\"depth\": expected a whole number of at least 1, found 0"),
            (["dropout": .integer(1)], "\"dropout\": expected a number of at least 0.0 and below 1.0, found 1"),
            (["dropout_ff": .integer(-1)], "\"dropout_ff\": expected a number of at least 0.0 and below 1.0, found -1"),
            (
                ["dropout_tokens": .integer(1)],
                "\"dropout_tokens\": expected a number of at least 0.0 and below 1.0, found 1"
            ),
            (
                ["activation": .string("silu")],
                "\"activation\": expected one of \"gelu\", \"relu\", found \"silu\""
            ),
            (
                ["checkpoint_level": .string("C3")],
                "\"checkpoint_level\": expected one of \"C0\", \"C1\", \"C2\", found \"C3\"; did you mean \"C0\"?"
            ),
            (
                ["parameter_sharing": .string("layer")],
                "\"parameter_sharing\": expected one of \"none\", \"headwise\", \"kv\", \"layerwise\", found \"layer\""
            ),
            (
                ["method": .string("random")],
                "\"method\": expected one of \"learnable\", \"convolution\", \"no_params\", found \"random\""
            ),
            (
                ["k_reduce_by_layer": .integer(-1)],
                "\"k_reduce_by_layer\": expected a whole number of at least 0, found -1"
            ),
            (["full_attention": .integer(1)], "\"full_attention\": expected true or false, found 1"),
            (["include_ff": .string("no")], "\"include_ff\": expected true or false, found the string \"no\""),
            (
                ["w_o_intermediate_dim": .integer(0)],
                "\"w_o_intermediate_dim\": expected a whole number of at least 1, found 0"
            ),
            (["emb_dim": .integer(0)], "\"emb_dim\": expected a whole number of at least 1, found 0"),
            (["return_emb": .integer(0)], "\"return_emb\": expected true or false, found 0"),
            (["use_pos_emb": .integer(0)], "\"use_pos_emb\": expected true or false, found 0"),
            (["hide_masked_keys": .integer(0)], "\"hide_masked_keys\": expected true or false, found 0"),
            (
                ["causal": .string("strict")],
                "\"causal\": expected false, true, \"bounded\", \"segments\", \"gated-slots\" or \"compatible\", "
                    + "found \"strict\""
            ),
            (
                ["causal": .integer(1)],
                "\"causal\": expected false, true, \"bounded\", \"segments\", \"gated-slots\" or \"compatible\", found 1"
            ),
            (
                ["method": .string("convolution")],
                "\"dim_k\": 64 is more than input_size 20, which a convolution cannot do"
            ),
            (
                ["method": .string("convolution"), "dim_k": .integer(4), "k_reduce_by_layer": .integer(1)],
                "\"k_reduce_by_layer\": layers of unequal dim_k cannot share a convolution; expected 0, or another "
                    + "parameter_sharing"
            ),
            (
                [
                    "method": .string("convolution"), "dim_k": .integer(9), "decoder_mode": .bool(true),
                    "context_size": .integer(8),
                ],
                "\"dim_k\": 9 is more than context_size 8, which a convolution cannot do"
            ),
            (
                ["ff_intermediate": .integer(6), "decoder_mode": .bool(true)],
                "\"ff_intermediate\": a decoder has one width; expected null"
            ),
            (
                ["ff_intermediate": .integer(6), "include_ff": .bool(false)],
                "\"ff_intermediate\": feed-forward layers change the width; expected null with include_ff false"
            ),
            (["context_size": .integer(6)], "\"context_size\": expected only with decoder_mode"),
            (["context_channels": .integer(6)], "\"context_channels\": expected only with decoder_mode"),
            (["dim_kk": .integer(6)], "unknown key \"dim_kk\" (did you mean \"dim_k\"?"),
            (["enc_dim_k": .integer(6)], "unknown key \"enc_dim_k\""),
        ] as [([String: JSONValue?], String)])
    func mistakesAreNamed(_ changes: [String: JSONValue?], message: String) {
        let error = #expect(throws: InputError.self) { try read(changes) }
        #expect(error?.description.hasPrefix("config.json: " + message) == true, "\(error?.description ?? "")")
    }

    @Test(
        "Mistakes of encoder–decoders are named with their key",
        arguments: [
            (["enc_input_size": nil], "\"enc_input_size\": is missing; expected a whole number of at least 1"),
            (["dec_channels": nil], "\"dec_channels\": is missing; expected a whole number of at least 1"),
            (
                ["dec_channels": .integer(10)],
                "\"dec_channels\": 10 is no multiple of dec_nhead 4; expected one, or dec_dim_d"
            ),
            (
                ["enc_ff_intermediate": .integer(6), "enc_include_ff": .bool(false)],
                "\"enc_ff_intermediate\": feed-forward layers change the width; expected null with enc_include_ff false"
            ),
            (["dec_ff_intermediate": .integer(6)], "\"dec_ff_intermediate\": a decoder has one width; expected null"),
            (
                ["dec_causal": .bool(false)],
                "\"dec_causal\": a decoder that sees what it is to write; expected true or \"compatible\""
            ),
            (
                ["enc_method": .string("convolution")],
                "\"enc_dim_k\": 64 is more than enc_input_size 20, which a convolution cannot do"
            ),
            (
                ["enc_input_size": .integer(6), "dec_method": .string("convolution"), "dec_dim_k": .integer(7)],
                "\"dec_dim_k\": 7 is more than enc_input_size 6, which a convolution cannot do"
            ),
            (
                ["dec_causal": .string("segments")],
                "\"dec_causal\": \"segments\" is no form of decoders; expected true or \"compatible\""
            ),
            (["start_token": .integer(7)], "\"start_token\": expected one of the 7 of dec_num_tokens, found 7"),
            (["start_token": .integer(-1)], "\"start_token\": expected a whole number of at least 0, found -1"),
            (["enc_causal": .bool(false)], "unknown key \"enc_causal\""),
            (["channels": .integer(8)], "unknown key \"channels\""),
            (["enc_decoder_mode": .bool(true)], "unknown key \"enc_decoder_mode\""),
            (["activation": .string("tanh")], "\"activation\": expected one of \"gelu\", \"relu\", found \"tanh\""),
        ] as [([String: JSONValue?], String)])
    func mistakesOfBothAreNamed(_ changes: [String: JSONValue?], message: String) {
        let error = #expect(throws: InputError.self) { try readBoth(changes) }
        #expect(error?.description.hasPrefix("config.json: " + message) == true, "\(error?.description ?? "")")
    }
}
