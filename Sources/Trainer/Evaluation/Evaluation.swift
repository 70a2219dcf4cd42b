import Foundation
import NN
import Tensors

/// How well a model predicts a text.
public struct EvaluationResult: Sendable, Hashable {
    /// The number of tokens predicted: all of the text but the first.
    public let tokens: Int
    /// The number of UTF-8 bytes these tokens stand for.
    public let bytes: Int
    /// Mean cross-entropy a token, in nats.
    public let loss: Double

    public var bitsPerByte: Double { Trainer.bitsPerByte(loss: loss, tokens: tokens, bytes: bytes) }
    /// Of a token: e^loss.
    public var perplexity: Double { exp(loss) }
}

extension LanguageModel {
    /// Predicts a text from beginning to end, at a memory that does not grow with it.
    ///
    /// The text is cut into consecutive windows, and every token but the very first is predicted once. A prediction sees the
    /// tokens before it in its own window; what came before the window only as far as the model carries it along.
    /// - Parameters:
    ///   - sequenceLength: tokens in a window; of a model that carries something, in a segment.
    ///   - batchSize: windows that are read at once; has no influence on the result. A model that carries something reads
    ///     one after another.
    ///   - progress: is told how many tokens have been predicted, after each batch.
    /// - Throws: `InputError` when the text is too short, has tokens outside the vocabulary, or the model cannot be asked.
    public func evaluate(
        _ text: TokenSource, sequenceLength: Int, batchSize: Int = 1, progress: (Int) -> Void = { _ in }
    ) throws -> EvaluationResult {
        try requireCausality()
        try requireLength(sequenceLength)
        let windows = try SequentialWindows(
            text, sequenceLength: sequenceLength, batchSize: carriesState ? 1 : batchSize)
        var carry: Carry?
        var (nats, tokens) = (0.0, 0)
        for batch in windows {
            try requireVocabulary(of: batch, in: text)
            nats += withoutGradients {
                var sum = 0.0
                for segment in segments(of: batch.shape[1]) {
                    let (inputs, targets) = batch.columns(segment)
                    let (loss, next) = self.loss(inputs, targets, carry: carry, mode: .inference)
                    sum += Double(loss.item) * Double(targets.count)
                    carry = next
                }
                return sum
            }
            tokens += batch.inputs.count
            progress(tokens)
        }
        let bytes = text.slice(1..<text.count, name: text.name).byteCount()
        return EvaluationResult(tokens: tokens, bytes: bytes, loss: nats / Double(tokens))
    }
}
