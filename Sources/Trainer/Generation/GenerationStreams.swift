import NN
import Tensors

// Continuations as asynchronous sequences. Each is made on a thread of its own, which ends with its reader.

extension LanguageModel {
    /// The tokens that continue a prompt, as they come.
    ///
    ///     for try await token in model.tokenStream(tokenizer.encode("ROMEO:"), length: 200) { … }
    ///
    /// - Parameters:
    ///   - endToken, stop: what ends the sequence, with its last token.
    ///   - startToken, vocabularySize: see `TokenGenerator`.
    /// - Throws: the sequence throws what `TokenGenerator` throws.
    public func tokenStream(
        _ prompt: [Int32], length: Int, sampling: SamplingOptions = SamplingOptions(), endToken: Int32? = nil,
        stop: StopTexts? = nil, startToken: Int32? = nil, vocabularySize: Int? = nil
    ) -> AsyncThrowingStream<Int32, any Error> {
        stream { yield in
            _ = try generate(
                [prompt], length: length, sampling: sampling, endToken: endToken, stop: stop, startToken: startToken,
                vocabularySize: vocabularySize
            ) { try yield($0[0]) }
        }
    }

    /// A continuation (or another answer, as the objective has taught) in pieces of text, each as soon as its characters are
    /// complete.
    ///
    ///     for try await piece in model.textStream("ROMEO:", length: 200, tokenizer: tokenizer) { print(piece) }
    ///
    /// - Throws: the sequence throws what `generate` throws.
    public func textStream(
        _ prompt: String, length: Int? = nil, tokenizer: any Tokenizer, objective: Objective = .nextToken,
        sampling: SamplingOptions? = nil, stop: StopTexts? = nil
    ) -> AsyncThrowingStream<String, any Error> {
        stream { yield in
            try generate(
                prompt, length: length, tokenizer: tokenizer, objective: objective, sampling: sampling, stop: stop,
                onText: yield)
        }
    }

    private func stream<Element: Sendable>(
        _ body: @escaping @Sendable (_ yield: (Element) throws -> Void) throws -> Void
    ) -> AsyncThrowingStream<Element, any Error> {
        AsyncThrowingStream { continuation in
            onThread("generation") {
                do {
                    try body {
                        if case .terminated = continuation.yield($0) { throw CancellationError() }
                    }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
        }
    }
}
