import NN
import Tensors

extension LinformerConfiguration {
    public static let schema = ConfigurationSchema(
        LinformerConfiguration(inputSize: 0, channels: 0, slots: 0), layers(needsSlots: true) + shared + alone)

    /// The keys of the layers that an encoder–decoder has twice.
    /// - Parameter needsSlots: true where nothing says how many slots there are unless the configuration does.
    static func layers(_ names: LinformerKeys = .alone, needsSlots: Bool = false) -> [ConfigurationField<Self>] {
        [
            .size(names.own("input_size"), \.inputSize, isRequired: true)
                .role(names.prefix.isEmpty ? .rowLength : .halfRowLength),
            .size(names.own("channels"), \.channels, isRequired: true),
            .size(names.own("dim_k"), \.slots, isRequired: needsSlots),
            .size(names.own("dim_ff"), \.feedForwardDimension),
            .size(names.own("dim_d"), \.headDimension),
            .number(names.own("dropout_ff"), \.feedForwardDropout, in: 0..<1).role(.dropout),
            .heads(names.own("nhead"), \.heads),
            .depth(names.own("depth"), \.depth),
            .number(names.own("dropout"), \.dropout, in: 0..<1).role(.dropout),
            .option(names.own("parameter_sharing"), \.sharing),
            .size(names.own("k_reduce_by_layer"), \.slotReduction, atLeast: 0),
            .flag(names.own("full_attention"), \.usesFullAttention),
            .flag(names.own("include_ff"), \.includesFeedForward),
            .size(names.own("w_o_intermediate_dim"), \.outputIntermediate),
            .option(names.own("method"), \.method),
            .size(names.own("ff_intermediate"), \.intermediateChannels),
        ]
    }

    /// The keys that an encoder–decoder has once.
    static let shared: [ConfigurationField<Self>] = [
        .option("activation", \.activation),
        .option("checkpoint_level", \.checkpointLevel),
        .flag("hide_masked_keys", \.hidesMaskedKeys),
        .option("projection_start", \.projectionStart),
    ]

    /// The keys of layers that are no encoder–decoder.
    static let alone: [ConfigurationField<Self>] =
        [
            .flag("decoder_mode", \.isDecoder),
            .size("context_size", \.contextSize),
            .size("context_channels", \.contextChannels),
            causality("causal"),
        ] + LinformerSegments.keys.map { $0.of(\.segments) { $0.causality == .segments } } + [
            normalizesFirst,
            .flag("ff_gated", \.gatesFeedForward),
            shortConvolution,
        ]

    /// False, true or the name of a causal form.
    static func causality(_ key: String) -> ConfigurationField<Self> {
        ConfigurationField(
            key,
            read: { configuration, reader in
                guard let value = reader.value(key) else { return }
                guard let causality = LinformerCausality(value) else {
                    throw reader.error(
                        key,
                        "expected false, true, \"bounded\", \"segments\", \"gated-slots\" or \"compatible\", found \(value)"
                    )
                }
                configuration.causality = causality
            }, write: { $0.causality.json })
    }

    /// The norm's place; by default before the branches in the causal forms for texts of any length.
    private static let normalizesFirst = ConfigurationField<Self>(
        "pre_norm", read: { $0.normalizesFirst = try $1.bool("pre_norm", default: $0.isUnlimited) },
        write: { .bool($0.normalizesFirst) })

    private static let shortConvolution = ConfigurationField<Self>(
        "short_convolution",
        read: { $0.shortConvolution = try $1.size("short_convolution", default: 0, atLeast: 0) },
        write: { $0.isUnlimited ? .integer($0.shortConvolution) : nil })

    public func check() throws {
        for (key, isWrong) in [("full_attention", usesFullAttention), ("decoder_mode", isDecoder)]
        where isUnlimited && isWrong {
            throw ConfigurationError(key, "true with causal \(causality.json); expected false")
        }
        if causality == .segments { try checkSegments() }
        if causality == .gatedSlots { try checkGatedSlots() }
        try check(.alone)
    }

    private func checkSegments() throws {
        if segments.projection == .mean && segments.slots > 0 && segments.length % segments.slots != 0 {
            throw ConfigurationError(
                "segment_slots",
                "\(segments.slots) means do not divide segment_length \(segments.length); expected a divisor")
        }
        if sharing == .layerwise && segments.projection == .dynamic && intermediateChannels != nil {
            throw ConfigurationError(
                "ff_intermediate",
                "layers of unequal widths cannot share a dynamic projection; expected null, or another parameter_sharing"
            )
        }
        if segments.positions == .rotary && headWidth % 2 == 1 {
            throw ConfigurationError(
                "window_positions",
                "rotary with \(headWidth) columns a head; rotary positions need an even number (dim_d or channels / nhead)"
            )
        }
    }

    /// Checks what all layers have, also those of an encoder–decoder.
    func check(_ keys: LinformerKeys) throws {
        if headDimension == nil && channels % heads != 0 {
            throw ConfigurationError(
                keys.own("channels"),
                "\(channels) is no multiple of \(keys.own("nhead")) \(heads); expected one, or \(keys.own("dim_d"))")
        }
        try checkSlots(keys, inputSize, named: keys.own("input_size"))
        if let contextSize { try checkSlots(keys, contextSize, named: keys.contextSize) }
        if method == .convolution && sharing == .layerwise && slotReduction > 0 {
            throw ConfigurationError(
                keys.own("k_reduce_by_layer"),
                "layers of unequal dim_k cannot share a convolution; expected 0, or another parameter_sharing")
        }
        if intermediateChannels != nil && isDecoder {
            throw ConfigurationError(keys.own("ff_intermediate"), "a decoder has one width; expected null")
        }
        if intermediateChannels != nil && !includesFeedForward {
            throw ConfigurationError(
                keys.own("ff_intermediate"),
                "feed-forward layers change the width; expected null with \(keys.own("include_ff")) false")
        }
        if !isDecoder && (contextSize != nil || contextChannels != nil) {
            throw ConfigurationError(
                contextSize == nil ? "context_channels" : "context_size", "expected only with decoder_mode")
        }
    }

    /// A slot of a convolution is made of at least one token. `size` is the length that `sizeKey` gives.
    private func checkSlots(_ keys: LinformerKeys, _ size: Int, named sizeKey: String) throws {
        if method == .convolution && slots > size {
            throw ConfigurationError(
                keys.own("dim_k"), "\(slots) is more than \(sizeKey) \(size), which a convolution cannot do")
        }
    }
}

extension LinformerCausality {
    /// The meaning of a value of JSON; nil where it has none.
    init?(_ json: JSONValue) {
        switch json {
        case .bool(false): self = .bidirectional
        case .bool(true), .string("bounded"): self = .causal
        case .string("segments"): self = .segments
        case .string("gated-slots"): self = .gatedSlots
        case .string("compatible"): self = .compatible
        default: return nil
        }
    }

    var json: JSONValue {
        switch self {
        case .bidirectional: .bool(false)
        case .causal: .bool(true)
        case .segments: .string("segments")
        case .gatedSlots: .string("gated-slots")
        case .compatible: .string("compatible")
        }
    }
}

/// The names of options in JSON: those of an encoder–decoder are prefixed by the part they are of.
struct LinformerKeys {
    /// "", "enc_" or "dec_".
    let prefix: String
    /// The key that says how many vectors a decoder attends to.
    let contextSize: String

    /// The names of layers that are no part of an encoder–decoder.
    static let alone = LinformerKeys(prefix: "", contextSize: "context_size")
    static let encoder = LinformerKeys(prefix: "enc_", contextSize: "context_size")
    static let decoder = LinformerKeys(prefix: "dec_", contextSize: "enc_input_size")

    func own(_ key: String) -> String { prefix + key }
}
