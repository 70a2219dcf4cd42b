import NN

/// The options of `Transformer`. In JSON they have the keyword names that local-attention and x-transformers use.
public struct TransformerConfiguration: Sendable {
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

    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        tokens = try reader.size("num_tokens")
        dimension = try reader.size("dim")
        depth = try reader.depth("depth", atLeast: 0)
        heads = try reader.heads("heads", default: heads)
        headDimension = try reader.size("dim_head", default: headDimension)
        feedForwardMultiple = try reader.double("ff_mult", default: feedForwardMultiple, in: 0...1024)
        attentionDropout = try reader.double("attn_dropout", default: 0, in: 0..<1)
        feedForwardDropout = try reader.double("ff_dropout", default: 0, in: 0..<1)
        attention = try reader.option("attention", default: attention)
        try reader.finish()
        if headDimension % 2 == 1 {
            throw reader.error(
                "dim_head", "\(headDimension) is odd; rotary positions need an even number of columns")
        }
        if hiddenDimension < 1 {
            throw reader.error("ff_mult", "\(feedForwardMultiple) times dim \(dimension) leaves no hidden feature")
        }
    }

    /// The JSON form, every option written out.
    public var json: JSONValue {
        .object([
            "num_tokens": .integer(tokens), "dim": .integer(dimension), "depth": .integer(depth),
            "heads": .integer(heads), "dim_head": .integer(headDimension), "ff_mult": .number(feedForwardMultiple),
            "attn_dropout": .number(attentionDropout), "ff_dropout": .number(feedForwardDropout),
            "attention": .string(attention.rawValue),
        ])
    }
}
