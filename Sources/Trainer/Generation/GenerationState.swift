import NN
import Tensors

/// Where a text stands while it is generated: all it takes to go on with it, here or in another process.
public struct GenerationState<Model: LanguageModel>: Sendable {
    /// What the model has read.
    public var decoding: Model.DecodingState
    /// The tokens that it has not read yet: the last one chosen.
    public var unread: [Int32]
    /// How many tokens have been chosen; the draws of sampling depend on it.
    public var position: Int
    /// The beginning of a character that is not complete yet, in UTF-8.
    public var pending: [UInt8]

    public init(decoding: Model.DecodingState, unread: [Int32], position: Int, pending: [UInt8] = []) {
        (self.decoding, self.unread, self.position, self.pending) = (decoding, unread, position, pending)
    }
}

extension LanguageModel {
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
    ///   - state: nil for a text that begins; afterwards where it stands. A character whose beginning alone has been generated
    ///     is shown by the call that completes it.
    /// - Returns: the continuation, without the prompt.
    @discardableResult
    public func generate(
        _ prompt: String = "", state: inout GenerationState<Self>?, length: Int, tokenizer: any Tokenizer,
        sampling: SamplingOptions = SamplingOptions(), onText: (String) throws -> Void = { _ in }
    ) throws -> String {
        let tokens = try tokenizer.encode(prompt)
        let vocabularySize = tokenizer.vocabularySize
        var generator =
            if let state {
                try TokenGenerator(
                    self, continuing: state, prompt: tokens, length: length, sampling: sampling,
                    vocabularySize: vocabularySize)
            } else {
                try TokenGenerator(
                    self, prompts: [tokens], length: length, sampling: sampling, vocabularySize: vocabularySize)
            }
        var decoder = StreamingDecoder(tokenizer, pending: state?.pending ?? [])
        var text = ""
        func pass(_ piece: String) throws {
            if piece.isEmpty { return }
            text += piece
            try onText(piece)
        }
        // Another text cannot complete a character.
        if !tokens.isEmpty { try pass(decoder.finish()) }
        for _ in 0..<max(length, 0) {
            guard let tokens = try generator.next() else { break }
            try pass(decoder.append(tokens[0]))
        }
        state = generator.state(ofRow: 0)
        state?.pending = decoder.pending
        return text
    }
}
