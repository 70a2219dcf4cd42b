import NN

extension LinformerConfiguration {
    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        try self.init(
            LinformerConfiguration(inputSize: 1, channels: 1, slots: 1), &reader, needsSlots: true,
            LinformerKeys(prefix: ""))
        try reader.finish()
    }

    /// Reads the keys of the layers; what is not there is as in `defaults`.
    init(
        _ defaults: LinformerConfiguration, _ reader: inout ConfigurationReader, needsSlots: Bool = false,
        _ keys: LinformerKeys
    ) throws {
        self = defaults
        inputSize = try reader.size(keys.own("input_size"))
        channels = try reader.size(keys.own("channels"))
        slots = try reader.size(keys.own("dim_k"), default: needsSlots ? nil : slots)
        feedForwardDimension = try reader.size(keys.own("dim_ff"), default: feedForwardDimension)
        headDimension = try reader.optionalSize(keys.own("dim_d"))
        feedForwardDropout = try reader.double(keys.own("dropout_ff"), default: feedForwardDropout, in: 0..<1)
        heads = try reader.heads(keys.own("nhead"), default: heads)
        depth = try reader.depth(keys.own("depth"), default: depth)
        dropout = try reader.double(keys.own("dropout"), default: dropout, in: 0..<1)
        sharing = try reader.option(keys.own("parameter_sharing"), default: sharing)
        slotReduction = try reader.size(keys.own("k_reduce_by_layer"), default: 0, atLeast: 0)
        usesFullAttention = try reader.bool(keys.own("full_attention"), default: false)
        includesFeedForward = try reader.bool(keys.own("include_ff"), default: true)
        outputIntermediate = try reader.optionalSize(keys.own("w_o_intermediate_dim"))
        method = try reader.option(keys.own("method"), default: method)
        activation = try reader.option("activation", default: activation)
        checkpointLevel = try reader.option("checkpoint_level", default: checkpointLevel)
        hidesMaskedKeys = try reader.bool("hide_masked_keys", default: false)
        projectionStart = try reader.option("projection_start", default: projectionStart)
        intermediateChannels = try reader.optionalSize(keys.own("ff_intermediate"))
        if keys.prefix.isEmpty {
            isDecoder = try reader.bool("decoder_mode", default: false)
            contextSize = try reader.optionalSize("context_size")
            contextChannels = try reader.optionalSize("context_channels")
            causality = try Self.causality("causal", default: causality, &reader)
            try readUnlimited(&reader)
        }
        try check(reader, keys)
    }

    /// Reads false, true or the name of a causal form.
    static func causality(
        _ key: String, default value: LinformerCausality, _ reader: inout ConfigurationReader
    ) throws -> LinformerCausality {
        switch reader.value(key) {
        case nil, .null?: return value
        case .bool(false)?: return .bidirectional
        case .bool(true)?, .string("bounded")?: return .causal
        case .string("segments")?: return .segments
        case .string("gated-slots")?: return .gatedSlots
        case .string("compatible")?: return .compatible
        case let found?:
            throw reader.error(
                key,
                "expected false, true, \"bounded\", \"segments\", \"gated-slots\" or \"compatible\", found \(found)")
        }
    }

    /// Reads the options of the causal forms for texts of any length, and refuses what those forms do not go with. Without
    /// them they have no effect.
    private mutating func readUnlimited(_ reader: inout ConfigurationReader) throws {
        segments = try LinformerSegments(&reader)
        normalizesFirst = try reader.bool("pre_norm", default: isUnlimited)
        gatesFeedForward = try reader.bool("ff_gated", default: false)
        shortConvolution = try reader.size("short_convolution", default: 0, atLeast: 0)
        for (key, isWrong) in [("full_attention", usesFullAttention), ("decoder_mode", isDecoder)]
        where isUnlimited && isWrong {
            throw reader.error(key, "true with causal \(causality.json); expected false")
        }
        if causality == .segments { try checkSegments(reader) }
        if causality == .gatedSlots { try checkGatedSlots(reader) }
    }

    private func checkSegments(_ reader: ConfigurationReader) throws {
        if segments.projection == .mean && segments.slots > 0 && segments.length % segments.slots != 0 {
            throw reader.error(
                "segment_slots",
                "\(segments.slots) means do not divide segment_length \(segments.length); expected a divisor")
        }
        if sharing == .layerwise && segments.projection == .dynamic && intermediateChannels != nil {
            throw reader.error(
                "ff_intermediate",
                "layers of unequal widths cannot share a dynamic projection; expected null, or another parameter_sharing"
            )
        }
        if segments.positions == .rotary && headWidth % 2 == 1 {
            throw reader.error(
                "window_positions",
                "rotary with \(headWidth) columns a head; rotary positions need an even number (dim_d or channels / nhead)"
            )
        }
    }

    private func check(_ reader: ConfigurationReader, _ keys: LinformerKeys) throws {
        if headDimension == nil && channels % heads != 0 {
            throw reader.error(
                keys.own("channels"),
                "\(channels) is no multiple of \(keys.own("nhead")) \(heads); expected one, or \(keys.own("dim_d"))")
        }
        try checkSlots(reader, keys, keys.own("input_size"), inputSize)
        if let contextSize { try checkSlots(reader, keys, "context_size", contextSize) }
        if method == .convolution && sharing == .layerwise && slotReduction > 0 {
            throw reader.error(
                keys.own("k_reduce_by_layer"),
                "layers of unequal dim_k cannot share a convolution; expected 0, or another parameter_sharing")
        }
        if intermediateChannels != nil && isDecoder {
            throw reader.error(keys.own("ff_intermediate"), "a decoder has one width; expected null")
        }
        if intermediateChannels != nil && !includesFeedForward {
            throw reader.error(
                keys.own("ff_intermediate"),
                "feed-forward layers change the width; expected null with \(keys.own("include_ff")) false")
        }
        if !isDecoder && (contextSize != nil || contextChannels != nil) {
            throw reader.error(
                contextSize == nil ? "context_channels" : "context_size", "expected only with decoder_mode")
        }
    }

    /// A slot of a convolution is made of at least one token. `size` is the length that `sizeKey` gives.
    func checkSlots(_ reader: ConfigurationReader, _ keys: LinformerKeys, _ sizeKey: String, _ size: Int) throws {
        if method == .convolution && slots > size {
            throw reader.error(
                keys.own("dim_k"), "\(slots) is more than \(sizeKey) \(size), which a convolution cannot do")
        }
    }

    /// The JSON form, every option written out that the causality takes.
    public var json: JSONValue {
        var members = members(LinformerKeys(prefix: "")).merging([
            "decoder_mode": .bool(isDecoder), "context_size": contextSize.map { .integer($0) } ?? .null,
            "context_channels": contextChannels.map { .integer($0) } ?? .null, "causal": causality.json,
        ]) { $1 }
        (members["pre_norm"], members["ff_gated"]) = (.bool(normalizesFirst), .bool(gatesFeedForward))
        if isUnlimited { members["short_convolution"] = .integer(shortConvolution) }
        if causality == .segments { members.merge(segments.members) { $1 } }
        return .object(members)
    }

    /// The options of the layers, by keys.
    func members(_ keys: LinformerKeys) -> [String: JSONValue] {
        func optional(_ value: Int?) -> JSONValue { value.map { .integer($0) } ?? .null }
        let own: [String: JSONValue] = [
            "input_size": .integer(inputSize), "channels": .integer(channels), "dim_k": .integer(slots),
            "dim_ff": .integer(feedForwardDimension), "dim_d": optional(headDimension),
            "dropout_ff": .number(feedForwardDropout), "nhead": .integer(heads), "depth": .integer(depth),
            "dropout": .number(dropout), "parameter_sharing": .string(sharing.rawValue),
            "k_reduce_by_layer": .integer(slotReduction), "full_attention": .bool(usesFullAttention),
            "include_ff": .bool(includesFeedForward), "w_o_intermediate_dim": optional(outputIntermediate),
            "method": .string(method.rawValue), "ff_intermediate": optional(intermediateChannels),
        ]
        let shared: [String: JSONValue] = [
            "activation": .string(activation.rawValue), "checkpoint_level": .string(checkpointLevel.rawValue),
            "hide_masked_keys": .bool(hidesMaskedKeys), "projection_start": .string(projectionStart.rawValue),
        ]
        return Dictionary(uniqueKeysWithValues: own.map { (keys.own($0), $1) }).merging(shared) { $1 }
    }
}

extension LinformerCausality {
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

    func own(_ key: String) -> String { prefix + key }
}
