import Foundation
import Testing

@testable import ModelZoo

/// A small model of the zoo that the contract is checked with.
struct ContractModel: Sendable, CustomTestStringConvertible {
    /// An architecture.
    let id: String
    /// Members of the configuration beside those that the architecture chooses for the size, as JSON without braces.
    let changes: String

    var testDescription: String { changes.isEmpty ? id : "\(id): \(changes)" }

    /// Widths and lengths that are no multiples of a vector or of each other; six windows of 4.
    static let size = ModelSize(vocabulary: 11, width: 12, depth: 2, heads: 2, sequenceLength: 24, window: 4)

    /// The configurations of each architecture beside its usual one. An architecture joins the contract by a line here.
    private static let changes: [String: [String]] = [
        "flash": [
            #""laplace_attn_fn": false, "norm_type": "layernorm", "group_size": 5"#, #""shift_tokens": false"#,
            #""query_key_dim": 7, "expansion_factor": 1.5, "depth": 1"#,
        ],
        "local": [
            #""use_dynamic_pos_bias": false, "num_residual_streams": 1"#,
            #""use_dynamic_pos_bias": false, "use_xpos": true, "look_backward": 2, "local_attn_window_size": 5"#,
            #""qk_rmsnorm": true, "gate_values_per_head": true, "exact_windowsize": true"#,
            #""shared_qk": true, "num_residual_streams": 2, "use_rotary_pos_emb": false"#,
        ],
        "linformer": [
            #""parameter_sharing": "none", "method": "learnable""#, #""parameter_sharing": "headwise", "dim_d": 5"#,
            #""parameter_sharing": "kv", "emb_dim": 8, "use_pos_emb": false"#, #""full_attention": true"#,
            #""activation": "relu", "k_reduce_by_layer": 1, "dim_k": 7"#,
        ],
        "fast-weights": [
            #""update_rule": "sum", "positions": true"#, #""feature_map": "elu", "gated_feed_forward": true"#,
            #""feature_map": "favor", "favor_features": 6"#, #""nu": 2, "beta": 0.5, "pre_norm": false"#,
        ],
        "block-recurrent": [
            #""gate": "lstm", "state_update": "dual""#, #""use_compressed_mem": true, "compressed_mem_factor": 2"#,
            #""recurrent_layers": [2], "read_recurrent_layers": [1], "feedback": true"#,
            #""all_layers_qk_rmsnorm": true, "recurrent_layers": []"#, #""attention_window": 3, "state_window": 3"#,
        ],
        "transformer": [#""attention": "naive", "heads": 3"#, #""ff_mult": 1.5, "dim_head": 4"#],
    ]

    static let all = ModelZoo.identifiers.flatMap { id in
        ([""] + (changes[id] ?? [])).map { ContractModel(id: id, changes: $0) }
    }

    /// The ids that have configurations here.
    static var covered: Set<String> { Set(changes.keys) }

    /// The usual configuration of each architecture.
    static let usual = ModelZoo.identifiers.map { ContractModel(id: $0, changes: "") }

    /// Whether `--dropout` is for it; block-recurrent transformers drop what they carry alone.
    var hasDropout: Bool { id != "block-recurrent" }

    /// Whether it is full attention, whose state has the keys and values of every token.
    var attendsToAll: Bool { id == "transformer" || changes.contains("full_attention") }

    /// - Parameter moved: off the initial values, so that every path carries weight.
    func make(seed: UInt64 = 1, dropout: Double? = nil, moved: Bool = true) throws -> any LanguageModel {
        let architecture = try ModelZoo.architecture(id)
        let changed = try JSONValue(parsing: Data("{\(changes)}".utf8), file: testDescription)
        var configuration = architecture.configuration(Self.size).setting((changed.objectValue ?? [:]).mapValues { $0 })
        configuration = try architecture.configuration(configuration, sequenceLength: nil, dropout: dropout)
        let model = try architecture.makeModel(configuration, file: testDescription, key: RandomKey(seed: seed))
        guard moved else { return model }
        for (index, (_, parameter)) in model.trainable.enumerated() {
            let noise = Tensor.normal(
                parameter.shape, standardDeviation: 0.2, key: RandomKey(seed: seed + 1000).child(index))
            parameter.assign(parameter.value.detached() + noise)
        }
        return model
    }

    /// [count]
    func tokens(_ count: Int, seed: UInt64 = 3) -> [Int32] {
        RandomKey(seed: seed).integers(count).map { Int32($0 % UInt64(Self.size.vocabulary)) }
    }

    /// [b, n]
    func tokens(_ b: Int, by n: Int, seed: UInt64 = 3) -> TokenTensor {
        TokenTensor(tokens(b * n, seed: seed), shape: [b, n])
    }

    /// Ends the process where a decoding state holds more after twice the text; where it is to, where it does not.
    func requireBoundedState() throws {
        let (half, whole) = try bytesHeld(by: make())
        if attendsToAll {
            require(whole > half, "the cache holds \(half) bytes, then \(whole)")
        } else {
            require(whole == half, "\(testDescription): \(half) bytes, then \(whole)")
        }
    }

    /// The bytes of tensors after half of the longest text that is decoded, and after all of it.
    private func bytesHeld<Model: LanguageModel>(by model: Model) -> (half: Int, whole: Int) {
        let most = model.maximumDecodingLength ?? 500
        var states = [model.startDecoding()]
        func read(_ count: Int) -> Int {
            _ = model.decode([tokens(count)], states: &states)
            return MemoryPool.shared.statistics.current
        }
        return (read(most / 2), read(most - most / 2))
    }
}
