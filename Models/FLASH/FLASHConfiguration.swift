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
public struct FLASHConfiguration: ModelConfiguration {
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

    public static let schema = ConfigurationSchema(
        FLASHConfiguration(tokens: 0, dimension: 0, depth: 0),
        [
            .size("num_tokens", \.tokens, isRequired: true).role(.vocabulary),
            .size("dim", \.dimension, isRequired: true),
            .depth("depth", \.depth, isRequired: true),
            .size("group_size", \.groupSize),
            .size("query_key_dim", \.queryKeyDimension),
            .number("expansion_factor", \.expansionFactor, in: 0...1024),
            .flag("causal", \.isCausal),
            .number("attn_dropout", \.attentionDropout, in: 0..<1).role(.dropout),
            .option("norm_type", \.normType),
            .flag("shift_tokens", \.shiftsTokens),
            .flag("laplace_attn_fn", \.usesLaplace),
            .flag("reduce_group_non_causal_attn", \.reducesGroups),
            .flag("mask_token_shift", \.masksTokenShift),
            .flag("divide_by_valid_count", \.dividesByValidCount),
            .number("gamma_std", \.gammaDeviation, in: 0...100),
        ])

    public func check() throws {
        if hiddenDimension < 1 {
            throw ConfigurationError(
                "expansion_factor",
                "\(expansionFactor) times dim \(dimension) leaves no hidden feature; expected at least one")
        }
        if isCausal && dividesByValidCount {
            throw ConfigurationError(
                "divide_by_valid_count", "only without causal; a causal group divides by group_size")
        }
    }

    /// e
    public var hiddenDimension: Int { Int(expansionFactor * Double(dimension)) }

    var attentionFunction: AttentionFunction { usesLaplace ? .laplace : .reluSquared }

    var contextGroups: ContextGroups { isCausal ? .earlier : reducesGroups ? .all : .own }
}
