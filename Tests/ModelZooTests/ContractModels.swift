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

    /// Fast weights without what they are used with today, for what labml-nn has.
    private static let labml = #""short_convolution": 0, "qk_activation": "identity", "output_norm": "none", "#

    /// The configurations of each architecture beside its usual one. An architecture joins the contract by a line here.
    private static let changes: [String: [String]] = [
        "flash": [
            #""laplace_attn_fn": false, "norm_type": "layernorm", "group_size": 5"#, #""shift_tokens": false"#,
            #""query_key_dim": 7, "expansion_factor": 1.5, "depth": 1"#,
            #""laplace_attn_fn": false, "shift_tokens": false, "group_size": 8"#,
            #""dim": 15, "query_key_dim": 7, "group_size": 3, "norm_type": "layernorm", "mask_token_shift": true"#,
        ],
        "local": [
            #""use_dynamic_pos_bias": false, "num_residual_streams": 1"#,
            #""use_dynamic_pos_bias": false, "use_xpos": true, "look_backward": 2, "gate_values_per_head": true"#,
            #""qk_rmsnorm": true, "gate_values_per_head": true, "exact_windowsize": true"#,
            #""shared_qk": true, "num_residual_streams": 2, "use_rotary_pos_emb": false"#,
            #""use_dynamic_pos_bias": false, "look_backward": 2, "exact_windowsize": false"#,
            #""look_backward": 3, "exact_windowsize": false, "num_residual_streams": 1, "gate_values_per_head": true"#,
            #""use_dynamic_pos_bias": false, "use_xpos": true, "exact_windowsize": false, "qk_rmsnorm": true"#,
            #""use_dynamic_pos_bias": false, "use_rotary_pos_emb": false, "look_backward": 3, "shared_qk": true"#,
            #""use_dynamic_pos_bias": false, "shared_qk": true, "exact_windowsize": false, "qk_rmsnorm": true"#,
            #""use_dynamic_pos_bias": false, "use_rotary_pos_emb": false, "look_backward": 0, "num_residual_streams": 3"#,
            #""use_dynamic_pos_bias": false, "ignore_index": 4, "local_attn_window_size": 5"#,
        ],
        "linformer": [
            #""parameter_sharing": "none", "method": "learnable""#, #""parameter_sharing": "headwise", "dim_d": 5"#,
            #""parameter_sharing": "kv", "emb_dim": 8"#, #""full_attention": true, "use_pos_emb": true"#,
            #""activation": "relu", "k_reduce_by_layer": 1, "dim_k": 7, "parameter_sharing": "layerwise""#,
            #""method": "convolution", "parameter_sharing": "none", "dim_d": 3, "use_pos_emb": true"#,
            #""method": "no_params", "parameter_sharing": "layerwise", "k_reduce_by_layer": 1, "w_o_intermediate_dim": 7, "ff_intermediate": 8"#,
            #""full_attention": true, "hide_masked_keys": true, "nhead": 3, "checkpoint_level": "C1""#,
            #""parameter_sharing": "kv", "k_reduce_by_layer": 2, "w_o_intermediate_dim": 7, "ff_intermediate": 8"#,
            #""method": "convolution", "parameter_sharing": "layerwise", "nhead": 1, "use_pos_emb": false"#,
        ],
        "fast-weights": [
            labml + #""qk_norm": "sum", "feature_map": "dpfp", "update_rule": "sum", "positions": true"#,
            labml + #""qk_norm": "sum", "feature_map": "elu", "gated_feed_forward": true"#,
            labml + #""qk_norm": "sum", "feature_map": "favor", "favor_features": 6"#,
            labml + #""qk_norm": "sum", "feature_map": "dpfp", "nu": 2, "beta": 0.5, "pre_norm": false"#,
            labml + #""qk_norm": "sum", "feature_map": "dpfp", "nu": 3, "heads": 3, "gated_feed_forward": true"#,
            labml + #""qk_norm": "sum", "feature_map": "dpfp", "update_rule": "sum", "eps": 0.3, "#
                + #""attention_normalization": true"#,
            labml + #""qk_norm": "none", "feature_map": "dpfp", "attention_normalization": true, "heads": 1, "#
                + #""pre_norm": false, "eps": 0.3"#,
            labml + #""qk_norm": "none", "feature_map": "elu", "update_rule": "sum", "attention_normalization": true"#,
            labml + #""qk_norm": "sum", "feature_map": "favor", "update_rule": "sum", "positions": true, "#
                + #""attention_normalization": true"#,
            labml + #""qk_norm": "sum", "feature_map": "softmax", "positions": true, "pre_norm": false"#,
            // Sums and lengths of features may be nearly 0, and what is divided by them is known badly: the larger ε.
            #""feature_map": "dpfp", "qk_norm": "sum", "output_norm": "none", "eps": 0.1"#,
            #""short_convolution": 0, "output_norm": "none""#, #""decay": "scalar""#,
            #""decay": "scalar", "update_rule": "sum", "feature_map": "elu", "qk_norm": "sum", "output_norm": "none""#,
            #""beta_range": 2, "short_convolution": 2, "qk_activation": "identity""#,
            #""d_ff": 0, "short_convolution": 7, "qk_activation": "elu", "qk_norm": "sum", "output_gate": true"#,
            #""feature_map": "dpfp", "qk_activation": "silu", "qk_norm": "sum", "attention_normalization": true, "#
                + #""eps": 1"#,
            #""decay": "scalar", "output_gate": true, "beta_range": 2, "norm": "rms", "gated_feed_forward": true, "#
                + #""feed_forward_activation": "silu", "heads": 2, "eps": 0.1"#,
        ],
        "block-recurrent": [
            #""gate": "lstm", "state_update": "dual""#, #""use_compressed_mem": true, "compressed_mem_factor": 2"#,
            #""recurrent_layers": [2], "read_recurrent_layers": [1], "feedback": true"#,
            #""all_layers_qk_rmsnorm": true, "recurrent_layers": []"#, #""feedback": true"#,
            #""attention_window": 3, "state_window": 3"#,
            #""use_compressed_mem": true, "compressed_mem_factor": 4, "block_width": 6, "state_window": 10"#,
            #""depth": 3, "recurrent_layers": [3], "read_recurrent_layers": [1], "state_update": "single""#,
            #""depth": 3, "recurrent_layers": [3, 1, 2], "read_recurrent_layers": [2, 1, 2], "gate": "lstm""#,
            #""depth": 3, "recurrent_layers": [3, 1], "use_compressed_mem": true, "feedback": true"#,
            #""learned_temperatures": true, "all_layers_qk_rmsnorm": true, "kv_heads": 2, "direct_write": true"#,
            #""gate": "lstm", "forget_bias": 3, "direct_write": true, "kv_heads": 1, "learned_temperatures": true"#,
            #""block_width": 1, "qk_rmsnorm_scale": null, "all_layers_qk_rmsnorm": true"#,
            #""relative_position_bias": true, "use_compressed_mem": true, "init_state_scale": 1"#,
            #""relative_position_bias": true, "learned_temperatures": true, "kv_heads": 2, "attention_window": 3, "#
                + #""direct_write": true, "gate": "lstm", "forget_bias": 3, "state_ids_scale": 3"#,
        ],
        "transformer": [#""attention": "naive", "heads": 3"#, #""ff_mult": 1.5, "dim_head": 4"#],
    ]

    /// Architectures without weights of attention to show; those of fast weights, whose rule corrects, are none.
    private static let withoutAttention: Set = ["fast-weights"]

    /// Configurations of models that see both sides, beside the above without their causality.
    private static let bidirectional: [String: [String]] = [
        "flash": [
            #""reduce_group_non_causal_attn": false"#, #""mask_token_shift": true, "divide_by_valid_count": true"#,
            #""mask_token_shift": true, "divide_by_valid_count": true, "reduce_group_non_causal_attn": false"#,
        ],
        "local": [
            #""look_forward": 2, "use_dynamic_pos_bias": false"#, #""look_forward": 0, "exact_windowsize": false"#,
        ],
        "linformer": [],
    ]

    /// Members of all configurations above where the usual causality is not theirs.
    private static let causality = ["linformer": #""causal": true, "pre_norm": false"#]

    /// Configurations of a causality of their own, which have no bidirectional form.
    private static let causalAlone = [
        "linformer": [
            #""segment_length": 4, "segment_slots": 2, "max_segments": 2, "window": 5, "short_convolution": 4"#,
            #""segment_length": 3, "slot_reach": "all", "window_positions": "relative", "slot_distances": 2, "#
                + #""parameter_sharing": "headwise""#,
            #""segment_length": 5, "segment_projection": "learnable", "parameter_sharing": "layerwise", "nhead": 3, "#
                + #""dim_d": 4, "segment_slots": 2, "k_reduce_by_layer": 1, "checkpoint_level": "C1", "pre_norm": false"#,
            #""segment_length": 2, "segment_projection": "convolution", "max_segments": 3, "dual_norm": false, "#
                + #""emb_dim": 8, "use_pos_emb": true, "window_positions": "none", "ff_gated": true"#,
            #""segment_length": 4, "segment_projection": "mean", "segment_slots": 2, "window": 1, "slot_reach": "all", "#
                + #""max_segments": 1, "ff_intermediate": 8, "w_o_intermediate_dim": 7"#,
            #""segment_slots": 0, "window": 6, "include_ff": false, "activation": "relu", "short_convolution": 1"#,
            #""segment_slots": 0, "window": 4, "short_convolution": 3, "ff_gated": true, "ff_intermediate": 8"#,
            #""causal": "gated-slots", "dim_k": 7"#,
            #""causal": "gated-slots", "dim_k": 18, "k_reduce_by_layer": 5, "pre_norm": false, "nhead": 3, "dim_d": 5, "#
                + #""use_pos_emb": true, "w_o_intermediate_dim": 7, "short_convolution": 2"#,
            #""causal": "gated-slots", "dim_k": 4, "ff_gated": true, "checkpoint_level": "C1", "ff_intermediate": 8, "emb_dim": 8"#,
        ]
    ]

    /// Those that read from the left.
    static let causal = Zoo.identifiers.flatMap { id in
        ([""] + (changes[id] ?? []).map { joined(causality[id] ?? "", $0) } + (causalAlone[id] ?? [])).map {
            ContractModel(id: id, changes: $0)
        }
    }

    /// linformer-pytorch's causality, which leaks the future.
    private static let leaking = [#""causal": "compatible""#, #""causal": "compatible", "method": "convolution""#]

    static let all =
        causal + leaking.map { ContractModel(id: "linformer", changes: $0) }
        + Zoo.identifiers.flatMap { id in
            (bidirectional[id].map { [""] + (changes[id] ?? []) + $0 } ?? []).map {
                ContractModel(id: id, changes: joined(#""causal": false"#, $0))
            }
        }

    private static func joined(_ some: String, _ others: String) -> String {
        [some, others].filter { !$0.isEmpty }.joined(separator: ", ")
    }

    /// Those that pass something from one segment of a text to the next.
    static let carrying = causal.filter(\.carries)
    static let carryless = all.filter { !$0.carries }

    /// A model for each place that drops.
    private static let dropping = [
        "flash": ["attn_dropout"], "local": ["attn_dropout", "ff_dropout"],
        "linformer": ["dropout", "dropout_ff", "dropout_tokens"], "fast-weights": ["dropout"],
        "transformer": ["attn_dropout", "ff_dropout"],
    ].flatMap { id, keys in keys.map { ContractModel(id: id, changes: "\"\($0)\": 0.5") } }

    static let dropped = all.filter(\.hasDropout) + dropping

    /// The usual configuration of each architecture.
    static let usual = Zoo.identifiers.map { ContractModel(id: $0, changes: "") }

    /// The ids that have configurations here.
    static var covered: Set<String> { Set(changes.keys) }

    func has(_ key: String, _ value: String = "true") -> Bool { changes.contains("\"\(key)\": \(value)") }

    var isCausal: Bool { !has("causal", "false") && !has("causal", "\"compatible\"") }

    /// True if it takes `--dropout`.
    var hasDropout: Bool {
        guard let architecture = try? Zoo.architecture(id),
            let configuration = try? architecture.configuration(Self.size).json
        else { return false }
        return (try? architecture.configuration(configuration, sequenceLength: nil, dropout: 0.1)) != nil
    }

    /// True if it drops in one place alone, as its configuration says.
    var dropsInOnePlace: Bool { changes.contains("dropout") }

    /// True if a position sees no other.
    var seesItselfAlone: Bool { has("look_backward", "0") && isCausal }

    /// True if something passes from one segment of a text to the next.
    var carries: Bool { (try? make())?.carriesState == true }

    /// Shapes of no tokens that it takes: full attention refuses to attend to nothing, block-recurrent transformers refuse all.
    var emptyShapes: [[Int]] {
        id == "block-recurrent" ? [] : attendsToAll ? [[0, 5]] : [[1, 0], [0, 5], [0, 0]]
    }

    /// True if it is full attention, whose state has the keys and values of every token.
    var attendsToAll: Bool { id == "transformer" || has("full_attention") || has("feature_map", "\"softmax\"") }

    /// True if its layers have weights of attention to show.
    var showsAttention: Bool { !Self.withoutAttention.contains(id) || attendsToAll }
}

// MARK: Making models

extension ContractModel {
    /// - Parameter moved: off the initial values, so that every path carries weight.
    func make(
        vocabulary: Int = Self.size.vocabulary, seed: UInt64 = 1, dropout: Double? = nil, moved: Bool = true
    ) throws -> any LanguageModel {
        let architecture = try Zoo.architecture(id)
        let changed = try JSONValue(parsing: Data("{\(changes)}".utf8), file: testDescription)
        var size = Self.size
        size.vocabulary = vocabulary
        let usual = try architecture.configuration(size).json.objectValue ?? [:]
        var configuration = JSONValue.object(usual.merging(changed.objectValue ?? [:]) { $1 })
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
}

extension LanguageModel {
    /// Reads texts of any length, [b, n], in segments that end at `cuts` and where the model takes no more.
    func read(_ tokens: TokenTensor, cuts: [Int] = []) -> (logits: Tensor, carries: [Carry?]) {
        let n = tokens.shape[1]
        var (carries, parts) = ([Carry?](repeating: nil, count: tokens.shape[0]), [Tensor]())
        var start = 0
        while start < n {
            let end = min(cuts.first { $0 > start } ?? n, carriesState ? start + (maximumLength ?? n) : n)
            let (logits, next) = withoutGradients {
                self.logits(tokens.columns(start..<end), carries: carries, mode: .inference)
            }
            parts.append(logits)
            (start, carries) = (end, next)
        }
        return (concatenate(parts, axis: 1), carries)
    }
}
