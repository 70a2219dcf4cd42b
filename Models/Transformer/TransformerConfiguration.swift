import NN

/// The options of `Transformer`. In JSON they have the keyword names that local-attention and x-transformers use.
public struct TransformerConfiguration: ModelConfiguration {
    /// The way attention is computed; the numbers are the same.
    public enum AttentionForm: String, Sendable, CaseIterable {
        /// In tiles that stay in the cache; nothing by query and key is stored.
        case fused
        /// Scores, mask, softmax and product one after another, each with all n² numbers of every head in memory, as
        /// textbooks write it: for comparisons.
        case naive
    }

    /// num_tokens: the vocabulary.
    public var tokens: Int
    /// dim: the width of the model, m.
    public var dimension: Int
    /// depth: the number of layers.
    public var depth: Int
    /// heads: h.
    public var heads = 8
    /// dim_head: columns of a head, d, even.
    public var headDimension = 64
    /// ff_mult: the feed-forward's hidden width is ⌊dim · mult⌋.
    public var feedForwardMultiple = 4.0
    /// attn_dropout: of the weights of attention.
    public var attentionDropout = 0.0
    /// ff_dropout: of the feed-forward's hidden features.
    public var feedForwardDropout = 0.0
    /// attention: fused or naive.
    public var attention = AttentionForm.fused

    /// Creates the options of a size, all else as absent keys of a configuration have it.
    public init(tokens: Int, dimension: Int, depth: Int) {
        (self.tokens, self.dimension, self.depth) = (tokens, dimension, depth)
    }

    /// Hidden features of a feed-forward layer.
    public var hiddenDimension: Int { Int(Double(dimension) * feedForwardMultiple) }

    public static let schema = ConfigurationSchema(
        TransformerConfiguration(tokens: 0, dimension: 0, depth: 0),
        [
            .size("num_tokens", \.tokens, isRequired: true).role(.vocabulary),
            .size("dim", \.dimension, isRequired: true),
            .depth("depth", \.depth, atLeast: 0, isRequired: true),
            .heads("heads", \.heads),
            .size("dim_head", \.headDimension),
            .number("ff_mult", \.feedForwardMultiple, in: 0...1024),
            .number("attn_dropout", \.attentionDropout, in: 0..<1).role(.dropout),
            .number("ff_dropout", \.feedForwardDropout, in: 0..<1).role(.dropout),
            .option("attention", \.attention),
        ])

    public func check() throws {
        if headDimension % 2 == 1 {
            throw ConfigurationError(
                "dim_head", "\(headDimension) is odd; rotary positions need an even number of columns")
        }
        if hiddenDimension < 1 {
            throw ConfigurationError(
                "ff_mult", "\(feedForwardMultiple) times dim \(dimension) leaves no hidden feature")
        }
    }
}
