import NN

/// The options of `FastWeightsLM`. In JSON the first six have the names and defaults of labml-nn's configuration; the others
/// are ours.
public struct FastWeightsConfiguration: Sendable {
    /// n_vocab: the vocabulary.
    public var tokens: Int
    /// d_model: the width of the model, m.
    public var width: Int
    /// nu: ν of DPFP.
    public var nu = 1
    /// heads: h.
    public var heads = 8
    /// dropout: of the heads' outputs, of both branches' outputs, and inside the feed-forward.
    public var dropout = 0.0
    /// d_ff: the feed-forward's hidden width.
    public var feedForwardDimension = 2048
    /// n_layers: the number of layers.
    public var layers = 6
    /// eps: ε, which keeps divisors from 0.
    public var epsilon: Float = 1e-6
    /// feature_map: dpfp, elu, favor or softmax.
    public var featureMap = FeatureMap.dpfp
    /// favor_features: random directions of FAVOR+, m; features are twice as many.
    public var favorFeatures = 128
    /// favor_redraw: directions are drawn again for each training step; else those of the checkpoint stay.
    public var redrawsFavor = true
    /// update_rule: delta or sum.
    public var rule = UpdateRule.delta
    /// sum_normalization: keys and queries are divided by their sums.
    public var normalizesSums = true
    /// attention_normalization: reads are divided by what the sum of the keys gives.
    public var normalizesAttention = false
    /// beta: a fixed share in (0, 1]; nil for "input", σ(W_β x).
    public var beta: Double?
    /// positions: sines and cosines of the positions added to the embeddings.
    public var usesPositions = false
    /// pre_norm: the attention reads norm_self_attn(x) instead of x.
    public var normsAttention = false
    /// gated_feed_forward: relu(W₁ x) ⊙ V x instead of relu(W₁ x).
    public var gatesFeedForward = false
    /// recompute_states: backward keeps the memory once in 128 tokens and computes it again between; else at every chunk of 32.
    public var recomputesStates = true
    /// identical_layers: all layers begin equal, as in labml-nn, which copies one.
    public var startsIdentical = false

    /// Takes the defaults of labml-nn.
    public init(tokens: Int, width: Int = 512) { (self.tokens, self.width) = (tokens, width) }

    /// Columns of a head, d.
    public var headWidth: Int { width / heads }

    /// Features of keys and queries, dk; 0 with softmax.
    public var features: Int {
        featureMap == .softmax ? 0 : featureMap.width(headWidth, nu: nu, directions: favorFeatures)
    }

    /// Chunks from one state that is kept for backward to the next.
    var segment: Int { recomputesStates ? 4 : 1 }

    /// True where β is computed from the input.
    var learnsBeta: Bool { featureMap != .softmax && beta == nil }

    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        tokens = try reader.size("n_vocab")
        width = try reader.size("d_model", default: 512)
        nu = try reader.size("nu", default: nu)
        heads = try reader.heads("heads", default: heads)
        dropout = try reader.double("dropout", default: dropout, in: 0..<1)
        feedForwardDimension = try reader.size("d_ff", default: feedForwardDimension)
        layers = try reader.depth("n_layers", default: layers)
        epsilon = Float(try reader.double("eps", default: 1e-6, in: 1e-30...1))
        featureMap = try reader.option("feature_map", default: featureMap)
        favorFeatures = try reader.size("favor_features", default: favorFeatures, atMost: 1 << 16)
        redrawsFavor = try reader.bool("favor_redraw", default: redrawsFavor)
        rule = try reader.option("update_rule", default: rule)
        normalizesSums = try reader.bool("sum_normalization", default: normalizesSums)
        normalizesAttention = try reader.bool("attention_normalization", default: normalizesAttention)
        beta = try Self.beta(&reader, rule)
        usesPositions = try reader.bool("positions", default: false)
        normsAttention = try reader.bool("pre_norm", default: false)
        gatesFeedForward = try reader.bool("gated_feed_forward", default: false)
        recomputesStates = try reader.bool("recompute_states", default: true)
        startsIdentical = try reader.bool("identical_layers", default: false)
        try check(reader)
        try reader.finish()
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

    private func check(_ reader: ConfigurationReader) throws {
        guard width % heads == 0 else {
            throw reader.error("heads", "expected a divisor of d_model \(width), found \(heads)")
        }
        guard featureMap != .dpfp || nu < 2 * headWidth else {
            throw reader.error("nu", "expected less than twice the \(headWidth) columns of a head, found \(nu)")
        }
    }

    /// The JSON form, every option written out.
    public var json: JSONValue {
        .object([
            "n_vocab": .integer(tokens), "d_model": .integer(width), "nu": .integer(nu), "heads": .integer(heads),
            "dropout": .number(dropout), "d_ff": .integer(feedForwardDimension), "n_layers": .integer(layers),
            "eps": .number(Double("\(epsilon)") ?? Double(epsilon)), "feature_map": .string(featureMap.rawValue),
            "favor_features": .integer(favorFeatures), "favor_redraw": .bool(redrawsFavor),
            "update_rule": .string(rule.rawValue), "sum_normalization": .bool(normalizesSums),
            "attention_normalization": .bool(normalizesAttention),
            "beta": beta.map { .number($0) } ?? .string("input"), "positions": .bool(usesPositions),
            "pre_norm": .bool(normsAttention), "gated_feed_forward": .bool(gatesFeedForward),
            "recompute_states": .bool(recomputesStates), "identical_layers": .bool(startsIdentical),
        ])
    }
}

/// φ, the map from keys and queries to features that a memory of outer products can tell apart (2102.11174, section 5).
public enum FeatureMap: String, CaseIterable, Sendable {
    /// Deterministic parameter-free projection (section 5.3): 2 d ν features, few of which are not zero.
    case dpfp
    /// ELU(x) + 1 (Katharopoulos et al., 2006.16236): d features.
    case elu
    /// Positive random features of the softmax kernel, FAVOR+ (Choromanski et al., 2009.14794): 2 m features.
    case favor
    /// None: softmax attention to all keys, which a memory of fixed size approximates.
    case softmax

    /// Returns the number of features, dk.
    /// - Parameters:
    ///   - d: columns of a row.
    ///   - nu: ν of DPFP.
    ///   - directions: m of FAVOR+.
    public func width(_ d: Int, nu: Int, directions m: Int) -> Int {
        switch self {
        case .dpfp: 2 * d * nu
        case .elu, .softmax: d
        case .favor: 2 * m
        }
    }
}

/// The update that is written to the memory (2102.11174, section 4.2).
public enum UpdateRule: String, CaseIterable, Sendable {
    /// β (v − what is there already).
    case delta
    /// β v.
    case sum
}
