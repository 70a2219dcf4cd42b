import NN
import Tensors

/// The norm that precedes the projections.
public enum NormType: String, CaseIterable, Sendable {
    case scaleNorm = "scalenorm"
    case layerNorm = "layernorm"

    func make(_ dimension: Int) -> any NormLayer {
        switch self {
        case .scaleNorm: ScaleNorm()
        case .layerNorm: LayerNorm(dimension)
        }
    }
}

/// The function of the quadratic scores.
public enum AttentionFunction: String, Sendable {
    /// relu(x)² (Primer, 2109.08668)
    case reluSquared
    /// (1 + erf((x − √½)/(√(1/4π) √2)))/2 (Mega, 2209.10655)
    case laplace

    /// The name in pictures.
    var label: String { self == .laplace ? "Laplace" : "relu²" }

    var activation: Activation { self == .laplace ? .laplace : .reluSquared }
}

/// The configuration of `FLASHTransformer` and its layers. In JSON its options have flash-pytorch's names and defaults; the
/// last three are ours.
public struct FLASHConfiguration: Sendable {
    /// num_tokens: the vocabulary.
    public var tokens: Int
    /// dim: the width of the model, d.
    public var dimension: Int
    /// depth: the number of layers.
    public var depth: Int
    /// group_size: tokens that attend each other quadratically, g.
    public var groupSize = 256
    /// query_key_dim: s.
    public var queryKeyDimension = 128
    /// expansion_factor: e = ⌊d · factor⌋.
    public var expansionFactor = 2.0
    /// causal: a position sees only positions up to itself.
    public var isCausal = false
    /// attn_dropout: the dropout of the quadratic attention weights.
    public var attentionDropout = 0.0
    /// norm_type: the norm of the layers.
    public var normType = NormType.scaleNorm
    /// shift_tokens: half of the features come from the token before.
    public var shiftsTokens = true
    /// laplace_attn_fn: the Laplace function in place of relu².
    public var usesLaplace = false
    /// reduce_group_non_causal_attn: without `causal`, linear attention sums over all groups, not each group alone.
    public var reducesGroups = true
    /// mask_token_shift: a masked token passes nothing to the next one (the peer ignores masks there).
    public var masksTokenShift = false
    /// divide_by_valid_count: without `causal`, linear attention divides by the number of unmasked tokens of a row (the
    /// peer divides by the padded length).
    public var dividesByValidCount = false
    /// gamma_std: the standard deviation of the initial γ, the scales that make q₁, q₂, k₁, k₂ of one projection. With 1
    /// they differ from each other from the start, and associative recall is learned early (the model card).
    public var gammaDeviation = 0.02

    /// Creates the configuration of a model, with the defaults for the rest.
    public init(tokens: Int, dimension: Int, depth: Int) {
        (self.tokens, self.dimension, self.depth) = (tokens, dimension, depth)
    }

    /// Creates the configuration of a `FLASH` layer that is used alone, without a vocabulary, and with the peer's defaults
    /// for it: layer norm and no token shift.
    public static func layer(dimension: Int) -> FLASHConfiguration {
        var configuration = FLASHConfiguration(tokens: 0, dimension: dimension, depth: 1)
        configuration.normType = .layerNorm
        configuration.shiftsTokens = false
        return configuration
    }

    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        tokens = try reader.size("num_tokens")
        dimension = try reader.size("dim")
        depth = try reader.depth("depth")
        groupSize = try reader.size("group_size", default: groupSize)
        queryKeyDimension = try reader.size("query_key_dim", default: queryKeyDimension)
        expansionFactor = try reader.double("expansion_factor", default: expansionFactor, in: 0...1024)
        isCausal = try reader.bool("causal", default: isCausal)
        attentionDropout = try reader.double("attn_dropout", default: attentionDropout, in: 0..<1)
        normType = try reader.option("norm_type", default: normType)
        shiftsTokens = try reader.bool("shift_tokens", default: shiftsTokens)
        usesLaplace = try reader.bool("laplace_attn_fn", default: usesLaplace)
        reducesGroups = try reader.bool("reduce_group_non_causal_attn", default: reducesGroups)
        masksTokenShift = try reader.bool("mask_token_shift", default: masksTokenShift)
        dividesByValidCount = try reader.bool("divide_by_valid_count", default: dividesByValidCount)
        gammaDeviation = try reader.double("gamma_std", default: gammaDeviation, in: 0...100)
        try reader.finish()
        if hiddenDimension < 1 {
            throw reader.error(
                "expansion_factor",
                "\(expansionFactor) times dim \(dimension) leaves no hidden feature; expected at least one")
        }
        if isCausal && dividesByValidCount {
            throw reader.error("divide_by_valid_count", "only without causal; a causal group divides by group_size")
        }
    }

    /// e
    public var hiddenDimension: Int { Int(expansionFactor * Double(dimension)) }

    /// The JSON form, every option written out.
    public var json: JSONValue {
        .object([
            "num_tokens": .integer(tokens), "dim": .integer(dimension), "depth": .integer(depth),
            "group_size": .integer(groupSize), "query_key_dim": .integer(queryKeyDimension),
            "expansion_factor": .number(expansionFactor), "causal": .bool(isCausal),
            "attn_dropout": .number(attentionDropout), "norm_type": .string(normType.rawValue),
            "shift_tokens": .bool(shiftsTokens), "laplace_attn_fn": .bool(usesLaplace),
            "reduce_group_non_causal_attn": .bool(reducesGroups), "mask_token_shift": .bool(masksTokenShift),
            "divide_by_valid_count": .bool(dividesByValidCount), "gamma_std": .number(gammaDeviation),
        ])
    }

    var attentionFunction: AttentionFunction { usesLaplace ? .laplace : .reluSquared }

    var contextGroups: ContextGroups { isCausal ? .earlier : reducesGroups ? .all : .own }
}
