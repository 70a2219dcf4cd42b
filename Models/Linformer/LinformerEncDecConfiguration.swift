import NN

/// The options of `LinformerEncDec`. In JSON they have linformer-pytorch's names and defaults; `dec_causal`, the
/// `dropout_tokens` and `use_pos_emb` of both, `hide_masked_keys`, `projection_start` and `start_token` are ours.
public struct LinformerEncDecConfiguration: ModelConfiguration {
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

    public static let schema = ConfigurationSchema(
        LinformerEncDecConfiguration(
            encoder: LinformerLMConfiguration(tokens: 0, inputSize: 0, channels: 0),
            decoder: LinformerLMConfiguration(tokens: 0, inputSize: 0, channels: 0)),
        LinformerLMConfiguration.keys(.encoder).map { $0.of(\.encoder) }
            + LinformerLMConfiguration.keys(.decoder).map { $0.of(\.decoder) }
            + LinformerConfiguration.shared.map(both)
            + [LinformerConfiguration.causality("dec_causal").of(\.decoder.stack), startToken])

    /// A key that sets the same property of encoder and decoder.
    private static func both(_ field: ConfigurationField<LinformerConfiguration>) -> ConfigurationField<Self> {
        ConfigurationField(
            field.key,
            read: {
                try field.read(&$0.encoder.stack, &$1)
                try field.read(&$0.decoder.stack, &$1)
            }, write: { field.write($0.decoder.stack) })
    }

    /// The last key, after which the decoder takes what depends on the encoder.
    private static let startToken = ConfigurationField<Self>(
        "start_token", role: .lastToken,
        read: {
            let token = try $1.optionalSize("start_token", atLeast: 0)
            let isBidirectional = $0.decoder.stack.causality == .bidirectional
            $0 = Self(encoder: $0.encoder, decoder: $0.decoder, startToken: token)
            // Left for `check` to refuse.
            if isBidirectional { $0.decoder.stack.causality = .bidirectional }
        }, write: { $0.startToken.map { .integer($0) } ?? .null })

    public func check() throws {
        try checkCausality()
        try encoder.stack.check(.encoder)
        try decoder.stack.check(.decoder)
        if let startToken, startToken >= decoder.tokens {
            throw ConfigurationError(
                "start_token", "expected one of the \(decoder.tokens) of dec_num_tokens, found \(startToken)")
        }
    }

    private func checkCausality() throws {
        if decoder.stack.causality == .bidirectional {
            throw ConfigurationError(
                "dec_causal", "a decoder that sees what it is to write; expected true or \"compatible\"")
        }
        if decoder.stack.isUnlimited {
            throw ConfigurationError(
                "dec_causal", "\(decoder.stack.causality.json) is no form of decoders; expected true or \"compatible\"")
        }
    }
}
