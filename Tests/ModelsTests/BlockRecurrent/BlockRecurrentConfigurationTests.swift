import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers

@Suite("Configuration") struct BlockRecurrentConfigurationTests {
    private func read(_ changes: [String: JSONValue?]) throws -> BlockRecurrentConfiguration {
        var members: [String: JSONValue] = ["num_tokens": .integer(65), "dim": .integer(12), "depth": .integer(4)]
        for (key, value) in changes { members[key] = value }
        return try BlockRecurrentConfiguration(.object(members), file: "config.json")
    }

    private static let defaults: [String: JSONValue] = [
        "num_tokens": .integer(65), "dim": .integer(12), "depth": .integer(4), "dim_head": .integer(64),
        "heads": .integer(8), "all_layers_qk_rmsnorm": .bool(false), "ff_mult": .number(4),
        "max_seq_len": .integer(1024), "block_width": .integer(512), "recurrent_layers": .null,
        "read_recurrent_layers": .null, "num_state_vectors": .null, "ignore_index": .integer(-100),
        "use_compressed_mem": .bool(false), "compressed_mem_factor": .integer(4), "qk_rmsnorm_scale": .null,
        "gate": .string("fixed"), "state_update": .string("skip"), "feedback": .bool(false),
        "attention_window": .null, "state_window": .null, "xl_memories_dropout": .number(0),
        "state_dropout": .number(0), "init_state_scale": .number(0.1), "state_ids_scale": .number(1),
        "forget_bias": .null, "learned_temperatures": .bool(false), "kv_heads": .null, "direct_write": .bool(false),
        "relative_position_bias": .bool(false),
    ]

    @Test("The defaults are the peer's") func defaultsArePeers() throws {
        #expect(try read([:]).json == .object(Self.defaults))
        #expect(BlockRecurrentConfiguration(tokens: 65, dimension: 12, depth: 4).json == .object(Self.defaults))
        #expect(try read(["use_flash_attn": .bool(true)]).json == .object(Self.defaults))
    }

    @Test("Every option survives its JSON form") func everyOptionSurvivesItsJSON() throws {
        let all: [String: JSONValue] = [
            "num_tokens": .integer(5), "dim": .integer(10), "depth": .integer(3), "dim_head": .integer(6),
            "heads": .integer(2), "all_layers_qk_rmsnorm": .bool(true), "ff_mult": .number(2.5),
            "max_seq_len": .integer(32), "block_width": .integer(8),
            "recurrent_layers": .array([.integer(3), .integer(2)]),
            "read_recurrent_layers": .array([.integer(1), .integer(2)]), "num_state_vectors": .integer(7),
            "ignore_index": .integer(3), "use_compressed_mem": .bool(true), "compressed_mem_factor": .integer(3),
            "qk_rmsnorm_scale": .number(8), "gate": .string("lstm"), "state_update": .string("dual"),
            "feedback": .bool(true), "attention_window": .integer(5), "state_window": .integer(16),
            "xl_memories_dropout": .number(0.25), "state_dropout": .number(0.5), "init_state_scale": .number(0.5),
            "state_ids_scale": .number(3), "forget_bias": .number(3), "learned_temperatures": .bool(true),
            "kv_heads": .integer(2), "direct_write": .bool(true), "relative_position_bias": .bool(true),
        ]
        #expect(all.keys.sorted() == Self.defaults.keys.sorted())
        // Compressed memories exclude an exact window and heads of keys, feed-forward layers of states a direct write.
        for left in [
            ["attention_window", "kv_heads", "direct_write"], ["attention_window", "kv_heads", "state_update"],
            ["use_compressed_mem", "direct_write"], ["use_compressed_mem", "state_update"],
        ] {
            let some = all.merging(left.map { ($0, Self.defaults[$0]!) }) { $1 }
            let json = try read(some.mapValues { $0 }).json
            #expect(json == .object(some))
            #expect(try BlockRecurrentConfiguration(json, file: "again").json == json)
        }
    }

    /// Layers from 1 in JSON, pairs from 0 in the order of writing; the middle unless said, also of a single layer.
    @Test("Recurrent layers are pairs of writer and reader") func recurrencesArePairs() throws {
        typealias Pair = BlockRecurrentConfiguration.Recurrence
        #expect(try read([:]).recurrences == [Pair(write: 1, read: 1)])
        #expect(try read(["depth": .integer(1)]).recurrences == [Pair(write: 0, read: 0)])
        #expect(try read(["recurrent_layers": .array([])]).recurrences == [])
        let lists: [String: JSONValue?] = [
            "recurrent_layers": .array([.integer(4), .integer(2)]),
            "read_recurrent_layers": .array([.integer(3), .integer(1)]),
        ]
        #expect(try read(lists).recurrences == [Pair(write: 1, read: 0), Pair(write: 3, read: 2)])
    }

    private static func list(_ values: Int...) -> JSONValue { .array(values.map { .integer($0) }) }

    @Test(
        "Impossible options are named",
        arguments: [
            (["num_tokens": nil], "\"num_tokens\": is missing; expected a whole number of at least 1"),
            (["dim": nil], "\"dim\": is missing; expected a whole number of at least 1"),
            (["depth": .integer(0)], "\"depth\": expected a whole number of at least 1, found 0"),
            (["dim_head": .integer(7)], "\"dim_head\": expected an even number, found 7"),
            (["heads": .integer(0)], "\"heads\": expected a whole number of at least 1, found 0"),
            (
                ["ff_mult": .number(0.1)],
                "\"ff_mult\": expected at least 3/2 of 1 / dim 12, so that there is a hidden feature, found 0.1"
            ),
            (["max_seq_len": .integer(1000)], "\"max_seq_len\": expected a multiple of block_width 512, found 1000"),
            (["recurrent_layers": list(5)], "\"recurrent_layers\": 5 is no layer; expected 1 to 4"),
            (["recurrent_layers": list(2, 2)], "\"recurrent_layers\": expected each layer once, found [2, 2]"),
            (["read_recurrent_layers": list(0)], "\"read_recurrent_layers\": 0 is no layer; expected 1 to 4"),
            (
                ["read_recurrent_layers": list(3)],
                "\"read_recurrent_layers\": expected for each of recurrent_layers [2] a layer not above it, found [3]"
            ),
            (
                ["read_recurrent_layers": list(1, 2)],
                "\"read_recurrent_layers\": expected for each of recurrent_layers [2] a layer not above it, found [1, 2]"
            ),
            (
                ["num_state_vectors": .integer(0)],
                "\"num_state_vectors\": expected a whole number of at least 1, found 0"
            ),
            (
                ["use_compressed_mem": .bool(true), "block_width": .integer(1)],
                "\"block_width\": expected at least 2 with use_compressed_mem, found 1"
            ),
            (
                ["attention_window": .integer(514)],
                "\"attention_window\": expected 2 to 513 with block_width 512, found 514"
            ),
            (
                ["attention_window": .integer(1)],
                "\"attention_window\": expected a whole number of at least 2, found 1"
            ),
            (
                ["state_window": .integer(1025)],
                "\"state_window\": expected 1 to 1024 with block_width 512, found 1025"
            ),
            (
                ["use_compressed_mem": .bool(true), "attention_window": .integer(9)],
                "\"attention_window\": cannot be combined with use_compressed_mem, whose tokens it does not reach"
            ),
            (["kv_heads": .integer(3)], "\"kv_heads\": expected a divisor of heads 8, found 3"),
            (
                ["kv_heads": .integer(8), "use_compressed_mem": .bool(true)],
                "\"kv_heads\": cannot be combined with use_compressed_mem, which compresses one head"
            ),
            (
                ["forget_bias": .number(3)],
                "\"forget_bias\": cannot be combined with gate fixed, which forgets nothing by itself"
            ),
            (
                ["direct_write": .bool(true), "state_update": .string("dual")],
                "\"direct_write\": cannot be combined with state_update dual; expected skip"
            ),
            (
                ["state_ids_scale": .number(-1)],
                "\"state_ids_scale\": expected a number from 0.0 to 1000.0, found -1.0"
            ),
            (["gate": .string("gru")], "\"gate\": expected one of \"fixed\", \"lstm\", found \"gru\""),
            (["state_dropout": .number(1.5)], "\"state_dropout\": expected a number from 0.0 to 1.0, found 1.5"),
        ] as [([String: JSONValue?], String)])
    func mistakesAreNamed(_ changes: [String: JSONValue?], message: String) {
        let error = #expect(throws: InputError.self) { try read(changes) }
        #expect(error?.description == "config.json: " + message)
    }
}
