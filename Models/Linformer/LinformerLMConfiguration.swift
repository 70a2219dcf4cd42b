import NN

/// The options of `LinformerLM`. In JSON they have linformer-pytorch's names and defaults.
public struct LinformerLMConfiguration: ModelConfiguration {
    /// num_tokens: the vocabulary.
    public var tokens: Int
    /// The layers: input_size, channels, dim_k (64), dim_ff (1024), depth (2), dropout_ff (0.1), dropout (0.05) and the
    /// others.
    public var stack: LinformerConfiguration
    /// dropout_tokens: of the embeddings.
    public var tokenDropout = 0.1
    /// emb_dim: the width of the embeddings; nil for `channels`. Another one is projected in and out.
    public var embeddingDimension: Int?
    /// return_emb: the last layer's output instead of logits.
    public var returnsEmbeddings = false
    /// use_pos_emb (ours): sines and cosines of the positions added to the embeddings.
    public var usesPositions = true

    /// With the defaults of linformer-pytorch's `LinformerLM`.
    public init(tokens: Int, inputSize: Int, channels: Int) {
        self.tokens = tokens
        stack = Self.defaults
        (stack.inputSize, stack.channels) = (inputSize, channels)
    }

    /// Sizes that have no default are 1.
    static var defaults: LinformerConfiguration {
        var stack = LinformerConfiguration(inputSize: 1, channels: 1, slots: 64, depth: 2)
        (stack.feedForwardDimension, stack.feedForwardDropout, stack.dropout) = (1024, 0.1, 0.05)
        return stack
    }

    /// The width of embeddings, and of what the model returns before the logits.
    public var embeddingWidth: Int { embeddingDimension ?? stack.channels }

    public static let schema = ConfigurationSchema(
        LinformerLMConfiguration(tokens: 0, inputSize: 0, channels: 0),
        keys() + LinformerConfiguration.shared.map { $0.of(\.stack) }
            + LinformerConfiguration.alone.map { $0.of(\.stack) } + [.flag("return_emb", \.returnsEmbeddings)])

    /// The keys that an encoder–decoder has twice.
    static func keys(_ names: LinformerKeys = .alone) -> [ConfigurationField<Self>] {
        [.size(names.own("num_tokens"), \.tokens, isRequired: true).role(.vocabulary)]
            + LinformerConfiguration.layers(names).map { $0.of(\.stack) } + [
                .number(names.own("dropout_tokens"), \.tokenDropout, in: 0..<1).role(.dropout),
                .size(names.own("emb_dim"), \.embeddingDimension),
                .flag(names.own("use_pos_emb"), \.usesPositions),
            ]
    }

    public func check() throws { try stack.check() }
}
