import NN
import Tensors

/// The options of `FastWeightsLM`. In JSON the first six have the names and defaults of labml-nn's configuration; the others
/// are ours, those of today's recipe as in the ablation of 2406.06484 and in 2412.06464.
public struct FastWeightsConfiguration: ModelConfiguration {
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
    /// d_ff: the feed-forward's hidden width; 0 for layers of attention alone.
    public var feedForwardDimension = 2048
    /// n_layers: the number of layers.
    public var layers = 6
    /// eps: ε, which keeps divisors from 0.
    public var epsilon: Float = 1e-6
    /// feature_map: dpfp, elu, favor, identity or softmax.
    public var featureMap = FeatureMap.dpfp
    /// favor_features: random directions of FAVOR+, m; features are twice as many.
    public var favorFeatures = 128
    /// favor_redraw: directions are drawn again for each training step; else those of the checkpoint stay.
    public var redrawsFavor = true
    /// update_rule: delta or sum.
    public var rule = UpdateRule.delta
    /// decay: the memory is multiplied by a share α of each head and token before it is written ("scalar" or "none").
    public var decays = false
    /// short_convolution: tokens that queries, keys and values are mixed from, the current one among them; 0 for none.
    public var shortConvolution = 0
    /// qk_activation: a function of queries and keys before the feature map.
    public var keyActivation = KeyActivation.identity
    /// qk_norm: what the features of queries and keys are divided by.
    public var keyNorm = KeyNorm.sum
    /// attention_normalization: reads are divided by what the sum of the keys gives.
    public var normalizesAttention = false
    /// beta: a fixed share in (0, 1]; nil for "input", σ(W_β x).
    public var beta: Double?
    /// beta_range: what σ(W_β x) is multiplied by, 1 or 2. With 2 the memory may turn what is under a key around
    /// (2411.12537).
    public var betaRange = 1
    /// output_norm: a root mean square norm of what each head reads ("rms" or "none").
    public var normsOutput = false
    /// output_gate: what the heads read times silu(W_g x).
    public var gatesOutput = false
    /// positions: sines and cosines of the positions added to the embeddings.
    public var usesPositions = false
    /// pre_norm: the attention reads norm_self_attn(x) instead of x.
    public var normsAttention = false
    /// norm: "layer" for layer norms, "rms" for root mean square norms.
    public var usesRMSNorm = false
    /// norm_eps: ε of all norms.
    public var normEpsilon: Float = 1e-5
    /// gated_feed_forward: f(W₁ x) ⊙ V x instead of f(W₁ x).
    public var gatesFeedForward = false
    /// feed_forward_activation: f, relu or silu.
    public var feedForwardActivation = Activation.relu
    /// recompute_states: backward keeps the memory once in 128 tokens and computes it again between; else at every chunk of 32.
    public var recomputesStates = true
    /// identical_layers: all layers begin equal, as in labml-nn, which copies one.
    public var startsIdentical = false

    /// Takes the defaults of labml-nn.
    public init(tokens: Int, width: Int = 512) { (self.tokens, self.width) = (tokens, width) }

    /// Sets what the delta rule is used with today (2406.06484): short convolutions, keys of length 1, a norm of what is
    /// read, and norms before both branches.
    public mutating func takeRecipe() {
        shortConvolution = 4
        (featureMap, keyActivation, keyNorm) = (.identity, .silu, .l2)
        (normsOutput, normsAttention) = (true, true)
    }

    /// Sets what the gated delta rule is used with (2412.06464): the recipe, a decay, a gate of what is read, root mean square
    /// norms and a gated feed-forward.
    public mutating func takeGatedRecipe() {
        takeRecipe()
        (decays, gatesOutput, usesRMSNorm) = (true, true, true)
        (gatesFeedForward, feedForwardActivation) = (true, .silu)
    }

    /// Columns of a head, d.
    public var headWidth: Int { width / heads }

    /// Features of keys and queries, dk; 0 with softmax.
    public var features: Int {
        featureMap == .softmax ? 0 : featureMap.width(headWidth, nu: nu, directions: favorFeatures)
    }

    /// The map of queries and keys; nil for rows as they are. ELU + 1 is a map.
    var map: FeatureMap? {
        guard featureMap == .identity else { return featureMap }
        return keyActivation == .elu ? .elu : nil
    }

    /// The activation that is part of the convolution of queries and keys.
    var mixActivation: Activation { keyActivation == .silu ? .silu : .identity }

    /// The activation that is left to the features.
    var featureActivation: Activation? {
        switch keyActivation {
        case .silu: shortConvolution > 0 ? nil : .silu
        case .relu: .relu
        case .elu, .identity: nil
        }
    }

    /// Tokens before a segment that the convolution reads.
    var history: Int { max(shortConvolution - 1, 0) }

    /// Chunks from one state that is kept for backward to the next.
    var segment: Int { recomputesStates ? 4 : 1 }

    /// True where β is computed from the input.
    var learnsBeta: Bool { featureMap != .softmax && beta == nil }
}
