import NN
import Tensors

/// The sharing of the projections E and F, by linformer-pytorch's names (the paper, section 4, means the same by them, but
/// for `none`).
public enum ParameterSharing: String, CaseIterable, Sendable {
    /// Each head of each layer has an E and an F.
    case none
    /// Each layer has an E and an F for all of its heads.
    case headwise
    /// Each layer has one matrix, E = F.
    case kv
    /// One matrix for keys and values of all heads and layers.
    case layerwise
}

/// The methods that make k keys and values of n.
public enum ProjectionMethod: String, CaseIterable, Sendable {
    /// A linear map over the tokens, with bias.
    case learnable
    /// A convolution over the tokens, each head's columns mixed, with ⌊n / k⌋ for kernel and stride.
    case convolution
    /// A random matrix that is not trained.
    case noParameters = "no_params"
}

/// The initial values of learnable projections.
public enum ProjectionStart: String, CaseIterable, Sendable {
    /// Xavier's normal numbers, as in linformer-pytorch.
    case xavier
    /// Tokens are written to slots in turn: E[j, t] = 1 where t mod k = j, and a tenth of Xavier's numbers. Sums over all
    /// tokens do not tell which token is the nearest, and as long as they say nothing, E learns nothing: long windows of
    /// text stay at what single bytes say for thousands of steps.
    case turns
}

/// The tokens that a position sees, and through what.
public enum LinformerCausality: Sendable, Hashable {
    /// All.
    case bidirectional
    /// Those up to its own: the projections grow token by token (2110.02488). With full attention the usual mask.
    case causal
    /// Those up to its own: a window of tokens, and slots of the finished segments before it (2107.02192).
    case segments
    /// Those up to its own: slots that forget as they are written (2409.07146).
    case gatedSlots
    /// The mask of linformer-pytorch's causal=True: slot j of the projected keys is hidden from the positions before j.
    /// Slots are sums over all tokens, so the future leaks. For its checkpoints only.
    case compatible
}

/// The parts that are computed again in backward instead of kept.
public enum CheckpointLevel: String, CaseIterable, Sendable {
    /// Nothing.
    case none = "C0"
    /// Each attention and each feed-forward.
    case layers = "C1"
    /// The same. linformer-pytorch's C2 computes each head again too, so as not to keep its weights; ours keep none.
    case heads = "C2"
}

/// The activations of the feed-forward.
public enum LinformerActivation: String, CaseIterable, Sendable {
    case gelu, relu

    var activation: Activation { self == .gelu ? .gelu : .relu }
}

/// The options of `Linformer`. In JSON they have linformer-pytorch's names.
public struct LinformerConfiguration: ModelConfiguration {
    /// input_size: the longest sequence, n.
    public var inputSize: Int
    /// channels: the width of the model, m.
    public var channels: Int
    /// dim_k: the slots that n keys and values are projected to, k.
    public var slots: Int
    /// dim_ff: the feed-forward's hidden width.
    public var feedForwardDimension: Int
    /// dim_d: columns of a head, d; nil for channels / nhead.
    public var headDimension: Int?
    /// dropout_ff: after the feed-forward's activation and after its output.
    public var feedForwardDropout: Double
    /// nhead: h.
    public var heads = 4
    /// depth: the number of layers.
    public var depth: Int
    /// dropout: of the attention's weights and of its output.
    public var dropout: Double
    /// activation: gelu or relu.
    public var activation = LinformerActivation.gelu
    /// checkpoint_level: C0, C1 or C2.
    public var checkpointLevel = CheckpointLevel.none
    /// parameter_sharing: none, headwise, kv or layerwise.
    public var sharing = ParameterSharing.layerwise
    /// k_reduce_by_layer: how many slots fewer each layer has than the one before, down to 1.
    public var slotReduction = 0
    /// full_attention: no projection.
    public var usesFullAttention = false
    /// include_ff: feed-forward layers.
    public var includesFeedForward = true
    /// w_o_intermediate_dim: nil, or the width between two output projections.
    public var outputIntermediate: Int?
    /// decoder_mode: each layer also attends to `embeddings`.
    public var isDecoder = false
    /// causal: false, true (or "bounded", which is the same), "segments", "gated-slots" or "compatible".
    public var causality = LinformerCausality.bidirectional
    /// method: learnable, convolution or no_params.
    public var method = ProjectionMethod.learnable
    /// projection_start (ours): the initial values of the learnable projections of a layer's own input.
    public var projectionStart = ProjectionStart.xavier
    /// ff_intermediate: the width between layers, where it is not that of the model.
    public var intermediateChannels: Int?
    /// hide_masked_keys (ours): with full attention, hides masked keys; else they keep the score 0, as in
    /// linformer-pytorch. Projected keys are sums, of which masked ones are left out either way.
    public var hidesMaskedKeys = false
    /// The options of the form by segments, which change nothing of others.
    public var segments = LinformerSegments()
    /// pre_norm (ours): x + f(norm(x)) and a norm after the last layer in place of norm(x + f(x)); by default of the causal
    /// forms by segments and of gated slots.
    public var normalizesFirst = false
    /// short_convolution (ours): the tokens up to its own that each query, key and value is a sum over, by column, in the
    /// causal forms by segments and of gated slots; 0 for none.
    public var shortConvolution = 0
    /// ff_gated (ours): half of the feed-forward's columns gate the others, W₂ (a ⊙ f(g)) of a, g = W₁ x (2002.05202).
    public var gatesFeedForward = false
    /// context_size (ours): the longest sequence of embeddings that a decoder attends to; nil for `inputSize`.
    public var contextSize: Int?
    /// context_channels (ours): the width of these embeddings; nil for `channels`.
    public var contextChannels: Int?

    /// With the defaults of linformer-pytorch's `Linformer`.
    public init(inputSize: Int, channels: Int, slots: Int, depth: Int = 1) {
        (self.inputSize, self.channels, self.slots, self.depth) = (inputSize, channels, slots, depth)
        (feedForwardDimension, feedForwardDropout, dropout) = (256, 0.15, 0.1)
    }

    /// Columns of a head, d.
    public var headWidth: Int { headDimension ?? channels / heads }

    /// The longest sequence that an attention layer attends to: its input, or in a decoder's cross-attention the embeddings.
    func longest(isDecoder: Bool) -> Int { isDecoder ? contextSize ?? inputSize : inputSize }

    /// Returns the causality of a layer's attention. linformer-pytorch masks a decoder's cross-attention, and not its
    /// self-attention.
    func causality(inCrossAttention isCross: Bool) -> LinformerCausality {
        switch causality {
        case .bidirectional: .bidirectional
        case .causal, .segments, .gatedSlots: isCross ? .bidirectional : causality
        case .compatible: isCross || !isDecoder ? .compatible : .bidirectional
        }
    }

    /// Slots of a layer (from 0): k, less with k_reduce_by_layer.
    func slots(layer: Int) -> Int { max(1, slots - layer * slotReduction) }

    /// The widths before and after a layer (from 0).
    func widths(layer: Int) -> (input: Int, output: Int) {
        let between = isDecoder ? channels : intermediateChannels ?? channels
        return (layer == 0 ? channels : between, layer == depth - 1 ? channels : between)
    }

    /// An explanation where causality is not what it seems, else nil.
    var causalityProblem: String? {
        guard causality == .compatible, !isCausal else { return nil }
        return isDecoder
            ? "\"compatible\" is linformer-pytorch's decoder, whose own attention is not masked; true is the leak-free form"
            : "\"compatible\" is linformer-pytorch's causal=True, whose projections leak the future into every position"
                + " (its issue 25); true is the leak-free form"
    }

    /// True where position t sees nothing after t.
    public var isCausal: Bool {
        switch causality {
        case .bidirectional: false
        case .causal, .segments, .gatedSlots: true
        case .compatible: usesFullAttention && !isDecoder
        }
    }

    /// True where nothing in the model is as long as `inputSize`, so that a text may be of any length.
    public var isUnlimited: Bool { causality == .segments || causality == .gatedSlots }
}
