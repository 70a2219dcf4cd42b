import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

@Suite("What a training decides of a configuration") struct RoleTests {
    private func configuration(_ id: String) throws -> (any Architecture, JSONValue) {
        let architecture = try Zoo.architecture(id)
        return (architecture, try architecture.configuration(ModelSize(width: 16, sequenceLength: 32)).json)
    }

    /// The keys whose values differ.
    private func changes(_ old: JSONValue, _ new: JSONValue) -> [String] {
        let (old, new) = (old.objectValue ?? [:], new.objectValue ?? [:])
        return Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }.sorted()
    }

    @Test("The vocabulary is one key, and no other changes with it", arguments: Zoo.identifiers)
    func vocabulary(_ id: String) throws {
        let (architecture, json) = try configuration(id)
        let fitted = architecture.configuration(json, vocabularySize: 99)
        #expect(changes(json, fitted) == [id == "fast-weights" ? "n_vocab" : "num_tokens"])
        #expect(try architecture.makeModel(fitted, file: id, key: RandomKey(seed: 1)).vocabularySize == 99)
    }

    @Test(
        "Rows and dropout have the keys of their places",
        arguments: [
            ("flash", [], ["attn_dropout"]), ("local", ["max_seq_len"], ["attn_dropout", "ff_dropout"]),
            ("linformer", ["input_size"], ["dropout", "dropout_ff", "dropout_tokens"]),
            ("fast-weights", [], ["dropout"]), ("transformer", [], ["attn_dropout", "ff_dropout"]),
        ])
    func rowsAndDropout(_ id: String, _ rows: [String], _ dropouts: [String]) throws {
        let (architecture, json) = try configuration(id)
        let longer = try architecture.configuration(json, sequenceLength: 77, dropout: nil)
        #expect(changes(json, longer) == rows)
        #expect(architecture.rowLength(of: longer) == (rows.isEmpty ? nil : 77))
        #expect(changes(json, try architecture.configuration(json, sequenceLength: nil, dropout: 0.3)) == dropouts)
    }

    @Test("A model without such dropout says which it has")
    func noDropout() throws {
        let (architecture, json) = try configuration("block-recurrent")
        expectError(naming: "dropout", "block-recurrent", "xl_memories_dropout", "state_dropout") {
            try architecture.configuration(json, sequenceLength: nil, dropout: 0.1)
        }
    }

    @Test("An encoder-decoder reads a row in halves, and its last token begins the answer")
    func halves() throws {
        let (architecture, json) = try (
            Zoo.architecture("linformer"),
            LinformerArchitecture().preset("tiny", objective: .reverse).configuration.json
        )
        let longer = try architecture.configuration(json, sequenceLength: 51, dropout: nil)
        #expect(changes(json, longer) == ["dec_input_size", "enc_input_size"])
        #expect(architecture.rowLength(of: longer) == 52)
        let fitted = architecture.configuration(json, vocabularySize: 257).objectValue
        #expect(["enc_num_tokens", "dec_num_tokens"].allSatisfy { fitted?[$0] == .integer(257) })
        #expect(fitted?["start_token"] == .integer(256))
    }

    @Test("The keys decide which of Linformer's configurations is read, and it is written as it was")
    func linformersKinds() throws {
        for objective in [ObjectiveKind.nextToken, .reverse] {
            let made = try LinformerArchitecture().preset("tiny", objective: objective).configuration
            let read = try JSONDecoder().decode(
                LinformerModelConfiguration.self, from: JSONEncoder().encode(made))
            #expect(read == made)
            #expect((read.encoderDecoder == nil) == (objective == .nextToken))
            #expect((read.languageModel == nil) == (objective == .reverse))
        }
    }

    @Test("A run's origin gives the configuration as its type, and no other's")
    func origins() throws {
        let made = try FLASHArchitecture().preset("tiny").configuration
        let origin = RunOrigin(model: "flash", configuration: made)
        #expect(try origin.configuration(as: FLASHConfiguration.self) == made)
        expectError(naming: "the configuration of flash", "\"") {
            try origin.configuration(as: TransformerConfiguration.self)
        }
    }
}
