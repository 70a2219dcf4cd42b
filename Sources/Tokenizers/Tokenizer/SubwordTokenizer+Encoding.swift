import Foundation

extension SubwordTokenizer {
    /// The tokens of a text.
    /// - Parameter addSpecialTokens: whether those around a text, as the post-processor has them, are included.
    public func encode(_ text: String, addSpecialTokens: Bool = true) -> [Int] {
        var text = text
        return text.withUTF8 { encode($0, addSpecialTokens: addSpecialTokens) }.map(Int.init)
    }

    /// The tokens of a text of bytes (`Data`, `[UInt8]` …), which need not be UTF-8: byte-level tokens and the byte tokens of
    /// `byte_fallback` keep other bytes as they are, and for other vocabularies they are unknown.
    public func encode(bytes: some ContiguousBytes, addSpecialTokens: Bool = true) -> [Int] {
        bytes.withUnsafeBytes {
            $0.withMemoryRebound(to: UInt8.self) { encode($0, addSpecialTokens: addSpecialTokens) }
        }
        .map(Int.init)
    }

    /// The tokens of bytes, in 32 bits each.
    package func encode(_ text: UnsafeBufferPointer<UInt8>, addSpecialTokens: Bool) -> [Int32] {
        var tokens: [Int32] = []
        tokens.reserveCapacity(text.count / 3)
        parts.cache.use { cache in
            parts.added.forEachPart(of: text, isNormalized: false) { id, range in
                if let id { return tokens.append(id) }
                parts.encode(text.part(range), startsText: range.lowerBound == 0, to: &tokens, &cache)
            }
        }
        if addSpecialTokens { parts.postProcessor?.apply(to: &tokens) }
        return tokens
    }
}

extension TokenizerParts {
    /// Appends the tokens of text between added tokens.
    fileprivate func encode(_ text: Bytes, startsText: Bool, to tokens: inout [Int32], _ cache: inout WordCache) {
        guard let normalizer else { return encode(normalized: text, startsText: startsText, to: &tokens, &cache) }
        var keepsStart = startsText
        let normalized = normalizer.apply(to: Array(text), keepsStart: &keepsStart)
        normalized.withUnsafeBufferPointer { encode(normalized: $0, startsText: keepsStart, to: &tokens, &cache) }
    }

    private func encode(
        normalized text: Bytes, startsText: Bool, to tokens: inout [Int32], _ cache: inout WordCache
    ) {
        added.forEachPart(of: text, isNormalized: true) { id, range in
            if let id { return tokens.append(id) }
            let startsText = startsText && range.lowerBound == 0
            encodeWords(of: text.part(range), startsText: startsText, to: &tokens, &cache)
        }
    }

    private func encodeWords(of text: Bytes, startsText: Bool, to tokens: inout [Int32], _ cache: inout WordCache) {
        if case .pattern(let pattern) = splitting, case .bpe(let model) = model {
            var start = 0
            pattern.forEachEnd(in: text) { end in
                let word = text.part(start..<end)
                cache.append(word, to: &tokens) { model.append(byteLevel: word, to: &$0) }
                start = end
            }
            return
        }
        var words = SplitText(Array(text), startsText: startsText)
        let bytewise = split(&words)
        words.bytes.withUnsafeBufferPointer { bytes in
            for piece in words.pieces {
                let word = bytes.part(piece)
                cache.append(word, to: &tokens) { tokens in
                    if let bytewise {
                        bytewise.append(byteLevel: word, to: &tokens)
                    } else {
                        model.append(word, to: &tokens)
                    }
                }
            }
        }
    }

    /// Splits a text into words.
    /// - Returns: the model where the words are bytes.
    private func split(_ words: inout SplitText) -> BPEModel? {
        guard case .bytes(let steps, let last) = splitting, case .bpe(let model) = model else {
            preTokenizer?.apply(to: &words)
            return nil
        }
        for step in steps { step.apply(to: &words) }
        last.split(&words)
        return model
    }
}
