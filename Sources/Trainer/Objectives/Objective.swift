import NN
import Tensors

/// The kinds of objectives, by the names that configurations have.
public enum ObjectiveKind: String, CaseIterable, Sendable {
    /// The token after each position; for causal models.
    case nextToken = "next-token"
    /// Hidden tokens from those on both sides.
    case masked
    /// A window of text backwards, after the whole of it; for causal models and encoder–decoders.
    case reverse

    /// The tokens a model needs to have for it: those of the tokenizer, and for some objectives one more.
    public func vocabularySize(of tokenizer: any Tokenizer) -> Int {
        tokenizer.vocabularySize + (extraToken == nil ? 0 : 1)
    }

    /// The purpose of the token that it needs beyond the tokenizer's; nil if it needs none.
    package var extraToken: String? {
        switch self {
        case .nextToken: nil
        case .masked: "one to mask others with"
        case .reverse: "one to start a reversal with"
        }
    }

    /// Returns the length of the row that a model reads for a window of `sequenceLength` tokens.
    public func rowLength(ofWindow sequenceLength: Int) -> Int {
        self == .reverse ? 2 * sequenceLength : sequenceLength
    }

    /// The longest window whose row has at most `rowLength` tokens.
    public func windowLength(inRow rowLength: Int) -> Int { self == .reverse ? rowLength / 2 : rowLength }

    /// The name of the share of targets that a model finds, in results and metrics; nil where it says little.
    public var accuracyName: String? {
        switch self {
        case .nextToken: nil
        case .masked: "masked_accuracy"
        case .reverse: "token_accuracy"
        }
    }

    /// The objective for the tokens of a tokenizer: the extra token comes after all of them.
    public func objective(for tokenizer: any Tokenizer) -> Objective {
        switch self {
        case .nextToken: .nextToken
        case .masked: .masked(MaskedTokens(maskToken: Int32(tokenizer.vocabularySize)))
        case .reverse: .reverse(ReversedTokens(startToken: Int32(tokenizer.vocabularySize)))
        }
    }
}

/// An objective, which turns windows of text into inputs and targets.
///
/// The loop and the evaluation read finished examples (`BatchFeed`, `EvaluationExamples`) and count the targets that are
/// not `ignoredTarget`: they know no objective but by what stands here.
public enum Objective: Sendable, Hashable {
    case nextToken
    case masked(MaskedTokens)
    case reverse(ReversedTokens)

    /// The objective's kind, as configurations name it.
    public var kind: ObjectiveKind {
        switch self {
        case .nextToken: .nextToken
        case .masked: .masked
        case .reverse: .reverse
        }
    }

    /// The examples of windows for a training.
    /// - Parameters:
    ///   - batch: inputs and the token after each, `ignoredTarget` where there is only padding.
    ///   - key: what is random is drawn from it, and from the number of each row.
    func examples(of batch: TokenBatch, key: RandomKey) -> TokenBatch {
        switch self {
        case .nextToken: batch
        case .masked(let tokens): tokens.hidden(in: batch, key: key)
        case .reverse(let tokens): tokens.reversed(batch, key: key)
        }
    }

    /// The examples by which a model is measured: always the same of the same windows, however they make batches.
    /// - Parameter firstRow: the number of the first row in the text.
    func measuredExamples(of batch: TokenBatch, firstRow: Int) -> TokenBatch {
        switch self {
        case .nextToken: batch
        case .masked(let tokens): tokens.hidden(in: batch, key: RandomKey(seed: 0), firstRow: firstRow)
        case .reverse(let tokens): tokens.reversed(batch)
        }
    }

    // MARK: Generation

    /// True if a model that has learned it answers a prompt.
    var isGenerative: Bool { kind != .masked }

    /// The token between a prompt and the model's answer; nil if the answer continues the prompt.
    public var startToken: Int32? { if case .reverse(let tokens) = self { tokens.startToken } else { nil } }

    /// Returns the number of tokens that answer a prompt of `count`; nil if nothing says when an answer is complete.
    func answerLength(toPrompt count: Int) -> Int? { kind == .reverse ? count : nil }

    /// The usual sampling: a reversal has one right answer.
    public var usualSampling: SamplingOptions { kind == .reverse ? .greedy : SamplingOptions() }
}
