import NN
import Tensors

// Continuations of texts, as text or as the bytes that the model writes.

extension LanguageModel {
    /// Continues a text, or answers it as another objective has taught; pieces come as soon as they are complete characters.
    ///
    /// Tokens that the tokenizer does not have, such as one that hides others in training, are never chosen.
    /// - Parameters:
    ///   - length: the number of tokens; nil for as many as the objective says, or 256.
    ///   - objective: what the model has learned: after `reverse` it gives the prompt backwards.
    ///   - sampling: nil for what the objective makes usual, `Objective.usualSampling`.
    ///   - stop: texts before which the answer ends.
    /// - Returns: the answer, without the prompt. Bytes that are no UTF-8 become U+FFFD.
    /// - Throws: see `TokenGenerator`; also for characters that the tokenizer does not know.
    @discardableResult
    public func generate(
        _ prompt: String, length: Int? = nil, tokenizer: any Tokenizer, objective: Objective = .nextToken,
        sampling: SamplingOptions? = nil, stop: StopTexts? = nil, onText: (String) throws -> Void = { _ in }
    ) throws -> String {
        var text = ""
        try answer(
            tokenizer.encode(prompt), length: length, objective, sampling: sampling,
            pieces: ContinuationPieces(tokenizer, stop: stop, wholeCharacters: true), tokenizer
        ) { try text.append($0, onText) }
        return text
    }

    /// The same for a prompt and an answer of any bytes, which are passed on as they are.
    /// - Parameter wholeCharacters: whether pieces end where characters do, for callers that make text of them one by
    ///   one.
    @discardableResult
    public func generate(
        bytes prompt: [UInt8], length: Int? = nil, tokenizer: any Tokenizer, objective: Objective = .nextToken,
        sampling: SamplingOptions? = nil, stop: StopTexts? = nil, wholeCharacters: Bool = false,
        onBytes: ([UInt8]) throws -> Void = { _ in }
    ) throws -> [UInt8] {
        var all: [UInt8] = []
        try answer(
            tokenizer.encode(bytes: prompt), length: length, objective, sampling: sampling,
            pieces: ContinuationPieces(tokenizer, stop: stop, wholeCharacters: wholeCharacters), tokenizer
        ) { try all.append($0, onBytes) }
        return all
    }

    private func answer(
        _ prompt: [Int32], length: Int?, _ objective: Objective, sampling: SamplingOptions?,
        pieces: ContinuationPieces, _ tokenizer: any Tokenizer, give: ([UInt8]) throws -> Void
    ) throws {
        let length = length ?? objective.answerLength(toPrompt: prompt.count) ?? 256
        var generator = try TokenGenerator(
            self, prompts: [prompt], length: length, sampling: sampling ?? objective.usualSampling,
            startToken: objective.startToken, vocabularySize: tokenizer.vocabularySize)
        var pieces = pieces
        try draw(from: &generator, length: length, &pieces, give)
        if !pieces.held.isEmpty { try give(pieces.held) }
    }

    /// Gives out up to `length` tokens in pieces, none empty; fewer where a stop text comes up.
    private func draw(
        from generator: inout TokenGenerator<Self>, length: Int, _ pieces: inout ContinuationPieces,
        _ give: ([UInt8]) throws -> Void
    ) throws {
        for _ in 0..<max(length, 0) {
            guard !pieces.isFound, let tokens = try generator.next() else { break }
            let ready = pieces.append(tokens[0])
            if !ready.isEmpty { try give(ready) }
        }
    }

    // MARK: In several calls

    /// Continues a text from its beginning, or from where it stood; see the other `generate` for what is not said here.
    ///
    ///     var state: GenerationState<FastWeightsLM>?
    ///     for prompt in ["To be", " and then"] {
    ///         try model.generate(prompt, state: &state, length: 100, tokenizer: tokenizer)
    ///     }
    ///
    /// As one call of 200 tokens would give, two of 100 do, whatever the sampling.
    /// - Parameters:
    ///   - prompt: follows what was read and generated before; may be empty unless the text begins.
    ///   - state: nil for a text that begins; afterwards where it stands. A character whose beginning alone has been
    ///     generated is shown by the call that completes it, and so is what may be the beginning of a stop text.
    /// - Returns: the continuation, without the prompt.
    @discardableResult
    public func generate(
        _ prompt: String = "", state: inout GenerationState<Self>?, length: Int, tokenizer: any Tokenizer,
        sampling: SamplingOptions = SamplingOptions(), stop: StopTexts? = nil,
        onText: (String) throws -> Void = { _ in }
    ) throws -> String {
        var text = ""
        try resume(
            &state, after: tokenizer.encode(prompt), length: length, sampling: sampling,
            pieces: ContinuationPieces(tokenizer, stop: stop, wholeCharacters: true), tokenizer
        ) { try text.append($0, onText) }
        return text
    }

    /// The same for a prompt and a continuation of any bytes, which are passed on as they are.
    @discardableResult
    public func generate(
        bytes prompt: [UInt8], state: inout GenerationState<Self>?, length: Int, tokenizer: any Tokenizer,
        sampling: SamplingOptions = SamplingOptions(), stop: StopTexts? = nil, wholeCharacters: Bool = false,
        onBytes: ([UInt8]) throws -> Void = { _ in }
    ) throws -> [UInt8] {
        var all: [UInt8] = []
        try resume(
            &state, after: tokenizer.encode(bytes: prompt), length: length, sampling: sampling,
            pieces: ContinuationPieces(tokenizer, stop: stop, wholeCharacters: wholeCharacters), tokenizer
        ) { try all.append($0, onBytes) }
        return all
    }

    private func resume(
        _ state: inout GenerationState<Self>?, after prompt: [Int32], length: Int, sampling: SamplingOptions,
        pieces: ContinuationPieces, _ tokenizer: any Tokenizer, give: ([UInt8]) throws -> Void
    ) throws {
        let vocabularySize = tokenizer.vocabularySize
        var generator =
            if let state {
                try TokenGenerator(
                    self, continuing: state, prompt: prompt, length: length, sampling: sampling,
                    vocabularySize: vocabularySize)
            } else {
                try TokenGenerator(
                    self, prompts: [prompt], length: length, sampling: sampling, vocabularySize: vocabularySize)
            }
        var pieces = pieces
        let pending = state?.pending ?? []
        // Another text completes neither a character nor a stop text.
        let ready = prompt.isEmpty ? pieces.append(bytes: pending) : pending
        if !ready.isEmpty { try give(ready) }
        try draw(from: &generator, length: length, &pieces, give)
        state = generator.state(ofRow: 0)
        state?.pending = pieces.held
    }
}

extension String {
    /// Appends bytes as text, and passes it on.
    fileprivate mutating func append(_ bytes: [UInt8], _ passOn: (String) throws -> Void) rethrows {
        let piece = String(decoding: bytes, as: UTF8.self)
        self += piece
        try passOn(piece)
    }
}

extension [UInt8] {
    /// Appends bytes, and passes them on.
    fileprivate mutating func append(_ bytes: [UInt8], _ passOn: ([UInt8]) throws -> Void) rethrows {
        self += bytes
        try passOn(bytes)
    }
}
