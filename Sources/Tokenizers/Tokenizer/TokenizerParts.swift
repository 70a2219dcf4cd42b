/// The steps of a tokenizer, in the order in which a text passes them.
final class TokenizerParts: Sendable {
    let added: AddedTokens
    let normalizer: Normalizer?
    let preTokenizer: PreTokenizer?
    let model: SubwordModel
    let postProcessor: PostProcessor?
    let decoder: Decoder?
    /// What the file says of all but the model and the added tokens, for writing it again.
    let components: [JSON.Member]
    let splitting: WordSplitting
    let cache = SharedWordCache()

    private static let keys = [
        "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder",
        "model",
    ]

    /// Reads a file.
    convenience init(_ file: Component) throws {
        for member in try file.members() where !Self.keys.contains(member.key) {
            throw file.unknown(member.key, known: Self.keys)
        }
        let normalizer = try file.optional("normalizer").map(Normalizer.init)
        let added = try file.optional("added_tokens")?.elements().map(AddedToken.init) ?? []
        let model = try SubwordModel(file.required("model"))
        let decoder = try file.optional("decoder").map(Decoder.init)
        self.init(
            model: model, added: added, normalizer: normalizer,
            preTokenizer: try file.optional("pre_tokenizer").map(PreTokenizer.init),
            postProcessor: try file.optional("post_processor").map(PostProcessor.init), decoder: decoder,
            components: try file.members())
    }

    init(
        model: SubwordModel, added: [AddedToken], normalizer: Normalizer? = nil, preTokenizer: PreTokenizer?,
        postProcessor: PostProcessor? = nil, decoder: Decoder?, components: [JSON.Member]
    ) {
        (self.model, self.normalizer, self.preTokenizer) = (model, normalizer, preTokenizer)
        (self.postProcessor, self.decoder, self.components) = (postProcessor, decoder, components)
        self.added = AddedTokens(added, normalizer)
        splitting = WordSplitting(preTokenizer, model)
    }

    /// The file with these steps.
    var json: JSON {
        let components = JSON.object(self.components)
        return .object(
            Self.keys.map { key in
                let value: JSON =
                    switch key {
                    case "version": components.member(key) ?? "1.0"
                    case "added_tokens": .array(added.tokens.sorted { $0.id < $1.id }.map(\.json))
                    case "model": model.json
                    default: components.member(key) ?? .null
                    }
                return JSON.Member(key: key, value: value)
            })
    }
}

/// The way from a text to words that the model takes.
enum WordSplitting: Sendable {
    /// Words of bytes by one of the well-known patterns, in the text itself: the fast way.
    case pattern(KnownPattern)
    /// Some steps, the last of which is byte-level and leaves bytes as they are for a model that takes them.
    case bytes([PreTokenizer], last: PreTokenizer.ByteLevel)
    /// Words of characters.
    case characters([PreTokenizer])

    init(_ preTokenizer: PreTokenizer?, _ model: SubwordModel) {
        let steps = preTokenizer?.steps ?? []
        guard case .bpe = model, case .byteLevel(let last)? = steps.last else {
            self = .characters(steps)
            return
        }
        self = .bytes(steps.dropLast(), last: last)
        guard !last.addsPrefixSpace else { return }
        if steps.count == 1, last.usesPattern { self = .pattern(.gpt2) }
        // The pattern covers the whole text, so that what is between its matches may as well separate.
        if steps.count == 2, !last.usesPattern, case .split(.known(let pattern), let behavior, let inverted) = steps[0],
            behavior == .isolated || behavior == .removed && inverted
        {
            self = .pattern(pattern)
        }
    }
}
