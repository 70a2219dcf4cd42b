import NN

/// The options of `LinformerLM`. In JSON they have linformer-pytorch's names and defaults.
public struct LinformerLMConfiguration: Sendable {
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

    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        try self.init(&reader, LinformerKeys(prefix: ""))
        returnsEmbeddings = try reader.bool("return_emb", default: false)
        try reader.finish()
    }

    init(_ reader: inout ConfigurationReader, _ keys: LinformerKeys) throws {
        tokens = try reader.size(keys.own("num_tokens"))
        stack = try LinformerConfiguration(Self.defaults, &reader, keys)
        tokenDropout = try reader.double(keys.own("dropout_tokens"), default: tokenDropout, in: 0..<1)
        embeddingDimension = try reader.optionalSize(keys.own("emb_dim"))
        usesPositions = try reader.bool(keys.own("use_pos_emb"), default: true)
    }

    /// The JSON form, every option written out.
    public var json: JSONValue {
        guard case .object(let layers) = stack.json else { fatalError("LinformerConfiguration.json is no object") }
        return .object(
            layers.merging(members(LinformerKeys(prefix: ""))) { $1 }.merging(["return_emb": .bool(returnsEmbeddings)])
            { $1 })
    }

    /// The options beside those of the layers, by keys.
    func members(_ keys: LinformerKeys) -> [String: JSONValue] {
        [
            keys.own("num_tokens"): .integer(tokens), keys.own("dropout_tokens"): .number(tokenDropout),
            keys.own("emb_dim"): embeddingDimension.map { .integer($0) } ?? .null,
            keys.own("use_pos_emb"): .bool(usesPositions),
        ]
    }
}
