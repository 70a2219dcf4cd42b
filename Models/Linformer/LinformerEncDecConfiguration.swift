import NN

/// The options of `LinformerEncDec`. In JSON they have linformer-pytorch's names and defaults; `dec_causal`, the
/// `dropout_tokens` and `use_pos_emb` of both, `hide_masked_keys`, `projection_start` and `start_token` are ours.
public struct LinformerEncDecConfiguration: Sendable {
    /// enc_*: returns embeddings, and sees all of its tokens.
    public var encoder: LinformerLMConfiguration
    /// dec_*: attends to them. dec_causal: true, or "compatible" for checkpoints of linformer-pytorch, whose mask is on the
    /// attention to the embeddings and not on the decoder's own.
    public var decoder: LinformerLMConfiguration
    /// start_token: the decoder's first token, which ends the source where both are one sequence of tokens, as they are for the
    /// trainer; nil where the model is not used so.
    public var startToken: Int?

    /// - Parameters:
    ///   - encoder: its output has `embeddingWidth` columns.
    ///   - decoder: `isDecoder` and what depends on the encoder are set, and where it is bidirectional, that it is causal.
    public init(encoder: LinformerLMConfiguration, decoder: LinformerLMConfiguration, startToken: Int? = nil) {
        (self.encoder, self.decoder, self.startToken) = (encoder, decoder, startToken)
        self.encoder.returnsEmbeddings = true
        self.decoder.stack.isDecoder = true
        if decoder.stack.causality == .bidirectional { self.decoder.stack.causality = .causal }
        self.decoder.stack.contextSize = encoder.stack.inputSize
        self.decoder.stack.contextChannels = encoder.embeddingWidth
    }

    /// Reads the JSON form.
    /// - Throws: `InputError` for a missing, unknown, mistyped or impossible value, naming the key.
    public init(_ json: JSONValue, file: String) throws {
        var reader = try ConfigurationReader(json, file: file)
        let encoder = try LinformerLMConfiguration(&reader, LinformerKeys(prefix: "enc_"))
        var decoder = try LinformerLMConfiguration(&reader, LinformerKeys(prefix: "dec_"))
        decoder.stack.causality = try LinformerConfiguration.causality("dec_causal", default: .causal, &reader)
        if decoder.stack.causality == .bidirectional {
            throw reader.error("dec_causal", "a decoder that sees what it is to write; expected true or \"compatible\"")
        }
        if decoder.stack.isUnlimited {
            throw reader.error(
                "dec_causal", "\(decoder.stack.causality.json) is no form of decoders; expected true or \"compatible\"")
        }
        if decoder.stack.intermediateChannels != nil {
            throw reader.error("dec_ff_intermediate", "a decoder has one width; expected null")
        }
        try decoder.stack.checkSlots(
            reader, LinformerKeys(prefix: "dec_"), "enc_input_size", encoder.stack.inputSize)
        let start = try reader.optionalSize("start_token", atLeast: 0)
        if let start, start >= decoder.tokens {
            throw reader.error("start_token", "expected one of the \(decoder.tokens) of dec_num_tokens, found \(start)")
        }
        try reader.finish()
        self.init(encoder: encoder, decoder: decoder, startToken: start)
    }

    /// The JSON form, every option written out.
    public var json: JSONValue {
        var all: [String: JSONValue] = [:]
        for (prefix, part) in [("enc_", encoder), ("dec_", decoder)] {
            let keys = LinformerKeys(prefix: prefix)
            all.merge(part.stack.members(keys)) { $1 }
            all.merge(part.members(keys)) { $1 }
        }
        all["dec_causal"] = decoder.stack.causality.json
        all["start_token"] = startToken.map { .integer($0) } ?? .null
        return .object(all)
    }
}
