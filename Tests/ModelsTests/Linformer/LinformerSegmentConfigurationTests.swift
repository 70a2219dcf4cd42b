import NN
import Tensors
import Testing

@testable import Linformers

/// The JSON form of the causal forms for texts of any length.
@Suite struct LinformerSegmentConfigurationTests {
    private static let least: [String: JSONValue] = [
        "num_tokens": .integer(9), "input_size": .integer(20), "channels": .integer(8),
    ]

    private func read(_ changes: [String: JSONValue]) throws -> LinformerLMConfiguration {
        try LinformerLMConfiguration(.object(Self.least.merging(changes) { $1 }), file: "config.json")
    }

    @Test("Bounded is another name of true, and is written so") func boundedIsTrue() throws {
        let named = try read(["causal": .string("bounded")])
        #expect(named.stack.causality == .causal && named.json.objectValue?["causal"] == .bool(true))
        #expect(try named.json == read(["causal": .bool(true)]).json)
    }

    private static let defaults: [String: JSONValue] = [
        "causal": .string("segments"), "window": .integer(128), "segment_length": .integer(16),
        "segment_slots": .integer(1), "segment_projection": .string("dynamic"), "slot_reach": .string("window"),
        "max_segments": .null, "dual_norm": .bool(true), "window_positions": .string("rotary"),
        "slot_distances": .integer(0), "pre_norm": .bool(true), "short_convolution": .integer(0),
    ]

    @Test("Defaults are written out beside those of the layers") func defaultsAreWrittenOut() throws {
        let segments = try read(["causal": .string("segments")]).json.objectValue ?? [:]
        let usual = try read(["causal": .bool(true)]).json.objectValue ?? [:]
        #expect(segments == usual.merging(Self.defaults) { $1 })
        let gated = try read(["causal": .string("gated-slots")]).json.objectValue ?? [:]
        let own: [String: JSONValue] = [
            "causal": .string("gated-slots"), "pre_norm": .bool(true), "short_convolution": .integer(0),
        ]
        #expect(gated == usual.merging(own) { $1 })
    }

    @Test("Every option survives its JSON") func everyOptionSurvivesItsJSON() throws {
        let changes: [String: JSONValue] = [
            "causal": .string("segments"), "window": .integer(7), "segment_length": .integer(6),
            "segment_slots": .integer(3), "segment_projection": .string("mean"), "slot_reach": .string("all"),
            "max_segments": .integer(5), "dual_norm": .bool(false), "window_positions": .string("relative"),
            "slot_distances": .integer(4), "pre_norm": .bool(false), "short_convolution": .integer(3),
            "ff_gated": .bool(true),
        ]
        let configuration = try read(changes)
        let json = configuration.json.objectValue ?? [:]
        for (key, value) in changes { #expect(json[key] == value, "\(key)") }
        #expect(try LinformerLMConfiguration(.object(json), file: "again").json == configuration.json)
        let segments = configuration.stack.segments
        #expect(segments.window == 7 && segments.length == 6 && segments.slots == 3 && segments.maximum == 5)
        #expect(segments.projection == .mean && segments.reach == .all && segments.positions == .relative)
        #expect(!segments.usesDualNorm && segments.distances == 4 && !configuration.stack.normalizesFirst)
        #expect(configuration.stack.shortConvolution == 3 && configuration.stack.gatesFeedForward)
    }

    private static let segments: [String: JSONValue] = ["causal": .string("segments")]

    @Test(
        "Mistakes are named with their key",
        arguments: [
            (["window": .integer(0)], "\"window\": expected a whole number of at least 1, found 0"),
            (["segment_length": .integer(0)], "\"segment_length\": expected a whole number of at least 1, found 0"),
            (["segment_slots": .integer(-1)], "\"segment_slots\": expected a whole number of at least 0, found -1"),
            (
                ["segment_slots": .integer(3), "segment_projection": .string("mean")],
                "\"segment_slots\": 3 means do not divide segment_length 16; expected a divisor"
            ),
            (["max_segments": .integer(0)], "\"max_segments\": expected a whole number of at least 1, found 0"),
            (
                ["slot_reach": .string("far")],
                "\"slot_reach\": expected one of \"window\", \"all\", found \"far\""
            ),
            (
                ["window_positions": .string("sines")],
                "\"window_positions\": expected one of \"rotary\", \"relative\", \"none\", found \"sines\""
            ),
            (
                ["dim_d": .integer(5)],
                "\"window_positions\": rotary with 5 columns a head; rotary positions need an even number"
            ),
            (
                ["parameter_sharing": .string("layerwise"), "ff_intermediate": .integer(6)],
                "\"ff_intermediate\": layers of unequal widths cannot share a dynamic projection; expected null, or "
                    + "another parameter_sharing"
            ),
            (
                ["short_convolution": .integer(-1)],
                "\"short_convolution\": expected a whole number of at least 0, found -1"
            ),
            (["ff_gated": .integer(1)], "\"ff_gated\": expected true or false, found 1"),
            (["full_attention": .bool(true)], "\"full_attention\": true with causal \"segments\"; expected false"),
            (["decoder_mode": .bool(true)], "\"decoder_mode\": true with causal \"segments\"; expected false"),
        ] as [([String: JSONValue], String)])
    func mistakesAreNamed(_ changes: [String: JSONValue], message: String) {
        let error = #expect(throws: InputError.self) { try read(Self.segments.merging(changes) { $1 }) }
        #expect(error?.description.hasPrefix("config.json: " + message) == true, "\(error?.description ?? "")")
    }

    @Test("Options of segments are read with other forms, but change nothing")
    func optionsChangeNothingElsewhere() throws {
        for causality in [JSONValue.bool(true), .bool(false), .string("compatible"), .string("gated-slots")] {
            let usual = try read(["causal": causality]).json
            var changes = Self.defaults
            (changes["causal"], changes["pre_norm"], changes["window"]) = (causality, nil, .integer(5))
            #expect(try read(changes).json == usual)
            #expect(throws: InputError.self) { try read(["causal": causality, "window": .integer(0)]) }
        }
    }

    @Test("Slots grow fewer by layer, but none of none") func slotsGrowFewer() {
        var segments = LinformerSegments()
        segments.slots = 4
        #expect((0..<4).map { segments.slots(layer: $0, reduction: 2) } == [4, 2, 1, 1])
        segments.slots = 0
        #expect(segments.slots(layer: 3, reduction: 2) == 0)
    }
}
