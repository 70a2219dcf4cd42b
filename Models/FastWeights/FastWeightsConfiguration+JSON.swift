import NN
import Tensors

extension FastWeightsConfiguration {
    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        self.init(tokens: try reader.size("n_vocab"), width: try reader.size("d_model", default: 512))
        try readSizes(&reader)
        try readMemory(&reader)
        try readKeys(&reader)
        try readLayers(&reader)
        try check(reader)
        try reader.finish()
    }

    private mutating func readSizes(_ reader: inout ConfigurationReader) throws {
        nu = try reader.size("nu", default: nu)
        heads = try reader.heads("heads", default: heads)
        dropout = try reader.double("dropout", default: dropout, in: 0..<1)
        feedForwardDimension = try reader.size("d_ff", default: feedForwardDimension, atLeast: 0)
        layers = try reader.depth("n_layers", default: layers)
        epsilon = Float(try reader.double("eps", default: 1e-6, in: 1e-30...1))
    }

    private mutating func readMemory(_ reader: inout ConfigurationReader) throws {
        featureMap = try reader.option("feature_map", default: featureMap)
        favorFeatures = try reader.size("favor_features", default: favorFeatures, atMost: 1 << 16)
        redrawsFavor = try reader.bool("favor_redraw", default: redrawsFavor)
        rule = try reader.option("update_rule", default: rule)
        decays = try reader.choice("decay", of: "scalar")
        normalizesAttention = try reader.bool("attention_normalization", default: normalizesAttention)
        beta = try Self.beta(&reader, rule)
        betaRange = try reader.int("beta_range", default: betaRange, in: 1...2)
        normsOutput = try reader.choice("output_norm", of: "rms")
        gatesOutput = try reader.bool("output_gate", default: gatesOutput)
        recomputesStates = try reader.bool("recompute_states", default: true)
    }

    private mutating func readKeys(_ reader: inout ConfigurationReader) throws {
        shortConvolution = try Self.kernel(&reader)
        keyActivation = try reader.option("qk_activation", default: shortConvolution > 0 ? .silu : .identity)
        // The key that was there before qk_norm.
        let sums = try reader.optionalBool("sum_normalization")
        keyNorm = try reader.option("qk_norm", default: sums == false ? KeyNorm.none : .sum)
        if let sums, sums != (keyNorm == .sum) {
            throw reader.error("sum_normalization", "is \(sums), but \"qk_norm\" is \"\(keyNorm.rawValue)\"")
        }
    }

    private mutating func readLayers(_ reader: inout ConfigurationReader) throws {
        usesPositions = try reader.bool("positions", default: false)
        normsAttention = try reader.bool("pre_norm", default: false)
        usesRMSNorm = try reader.string("norm", default: "layer", oneOf: ["layer", "rms"]) == "rms"
        normEpsilon = Float(try reader.double("norm_eps", default: 1e-5, in: 1e-30...1))
        gatesFeedForward = try reader.bool("gated_feed_forward", default: false)
        let activation = try reader.string("feed_forward_activation", default: "relu", oneOf: ["relu", "silu"])
        feedForwardActivation = activation == "silu" ? .silu : .relu
        startsIdentical = try reader.bool("identical_layers", default: false)
    }

    /// Reads "input" or a number; the default is "input" for the delta rule and 1 for the sum rule.
    private static func beta(_ reader: inout ConfigurationReader, _ rule: UpdateRule) throws -> Double? {
        guard let value = reader.value("beta") else { return rule == .delta ? nil : 1 }
        if value == .string("input") { return nil }
        guard let number = value.doubleValue, number > 0, number <= 1 else {
            throw reader.error("beta", "expected \"input\" or a number above 0, up to 1, found \(value)")
        }
        return number
    }

    private static let longestKernel = 256

    /// Reads a number of tokens, or true for the usual 4.
    private static func kernel(_ reader: inout ConfigurationReader) throws -> Int {
        guard let value = reader.value("short_convolution") else { return 0 }
        if let isWanted = value.boolValue { return isWanted ? 4 : 0 }
        guard let tokens = value.intValue, (0...longestKernel).contains(tokens) else {
            throw reader.error(
                "short_convolution",
                "expected true, false or a whole number from 0 to \(longestKernel), found \(value)")
        }
        return tokens
    }

    /// The JSON form, every option written out.
    public var json: JSONValue {
        .object([
            "n_vocab": .integer(tokens), "d_model": .integer(width), "nu": .integer(nu), "heads": .integer(heads),
            "dropout": .number(dropout), "d_ff": .integer(feedForwardDimension), "n_layers": .integer(layers),
            "eps": .number(epsilon.shortest), "feature_map": .string(featureMap.rawValue),
            "favor_features": .integer(favorFeatures), "favor_redraw": .bool(redrawsFavor),
            "update_rule": .string(rule.rawValue), "decay": .string(decays ? "scalar" : "none"),
            "short_convolution": .integer(shortConvolution), "qk_activation": .string(keyActivation.rawValue),
            "qk_norm": .string(keyNorm.rawValue), "attention_normalization": .bool(normalizesAttention),
            "beta": beta.map { .number($0) } ?? .string("input"), "beta_range": .integer(betaRange),
            "output_norm": .string(normsOutput ? "rms" : "none"), "output_gate": .bool(gatesOutput),
            "positions": .bool(usesPositions), "pre_norm": .bool(normsAttention),
            "norm": .string(usesRMSNorm ? "rms" : "layer"), "norm_eps": .number(normEpsilon.shortest),
            "gated_feed_forward": .bool(gatesFeedForward),
            "feed_forward_activation": .string(feedForwardActivation.rawValue),
            "recompute_states": .bool(recomputesStates), "identical_layers": .bool(startsIdentical),
        ])
    }
}

extension Float {
    /// The number with the fewest digits that is read as this one.
    fileprivate var shortest: Double { Double("\(self)") ?? Double(self) }
}

extension ConfigurationReader {
    /// Reads "none" or the one alternative to it.
    fileprivate mutating func choice(_ key: String, of alternative: String) throws -> Bool {
        try string(key, default: "none", oneOf: ["none", alternative]) == alternative
    }
}
