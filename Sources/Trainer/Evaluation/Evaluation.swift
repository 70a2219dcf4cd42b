import Foundation
import NN
import Tensors

/// How well a model predicts a text.
public struct EvaluationResult: Sendable, Hashable {
    /// The number of tokens predicted: all of the text but the first of each document, or those that were hidden.
    public let tokens: Int
    /// The number of UTF-8 bytes these tokens stand for; where tokens were hidden, at the text's mean length of a token.
    public let bytes: Int
    /// Mean cross-entropy a token, in nats.
    public let loss: Double
    /// The share of hidden tokens that the model found; nil where none were hidden.
    public var maskedAccuracy: Double?
    /// The questions of the text by the distance of what answers them; empty where it has none.
    public var answers: [AnsweredQuestions] = []

    public var bitsPerByte: Double { Trainer.bitsPerByte(loss: loss, tokens: tokens, bytes: bytes) }
    /// Of a token: e^loss.
    public var perplexity: Double { exp(loss) }

    /// What a validation adds to the metrics of its step.
    var metrics: [String: Double] {
        var metrics = ["validation_loss": loss, "validation_bits_per_byte": bitsPerByte]
        metrics["validation_masked_accuracy"] = maskedAccuracy
        for group in answers { metrics["answered_to_\(group.distance)"] = group.share }
        let asked = answers.reduce(0) { $0 + $1.asked }
        if asked > 0 { metrics["answered"] = Double(answers.reduce(0) { $0 + $1.answered }) / Double(asked) }
        return metrics
    }
}

extension LanguageModel {
    /// Predicts a text from beginning to end, at a memory that does not grow with it.
    ///
    /// The text is cut into consecutive windows, and every token but the very first of a document is predicted once. A
    /// prediction sees the tokens before it in its own window; what came before the window only as far as the model carries
    /// it along. (With a masked objective a share of the tokens, always the same, is predicted from all others of the window.)
    /// - Parameters:
    ///   - sequenceLength: tokens in a window; of a model that carries something, in a segment.
    ///   - batchSize: windows that are read at once; has no influence on the result. A model that carries something reads
    ///     one after another.
    ///   - questions: what the text asks and the model may answer; counted in the result.
    ///   - progress: is told how many tokens have been read, after each batch; may throw to give up.
    /// - Throws: `InputError` when the text is too short, has tokens outside the vocabulary, or the model cannot be asked.
    public func evaluate(
        _ text: TokenSource, sequenceLength: Int, batchSize: Int = 1, objective: Objective = .nextToken,
        questions: [Question] = [], progress: (Int) throws -> Void = { _ in }
    ) throws -> EvaluationResult {
        if objective == .nextToken { try requireCausality() }
        try requireLength(sequenceLength)
        let windows = try SequentialWindows(
            text, sequenceLength: sequenceLength, batchSize: carriesState ? 1 : batchSize)
        var sums = EvaluationSums()
        // A masked model foresees nothing.
        var answers = AnswerCount(objective == .nextToken ? questions : [])
        var rowsRead = 0
        var carries: [Carry?] = []
        for window in windows {
            try requireVocabulary(of: window, in: text)
            if !carriesState || window.startsDocument == [true] { carries = window.rowsWithoutCarry() }
            let batch = objective.examples(of: window, key: RandomKey(seed: 0), firstRow: rowsRead)
            rowsRead += window.shape[0]
            withoutGradients {
                for segment in segments(of: batch.shape[1]) {
                    let (inputs, targets) = batch.columns(segment)
                    let (logits, next) = self.logits(inputs, carries: carries, mode: .inference)
                    sums.add(logits, targets, isMasked: objective.kind == .masked)
                    if carriesState { answers.read(logits, targets) }
                    carries = next
                }
            }
            try progress(sums.read(window))
        }
        if !carriesState {
            try answer(&answers, in: text, sequenceLength: sequenceLength, batchSize: batchSize) {
                try progress(sums.inputs)
            }
        }
        return sums.result(of: text, answers: answers.byDistance)
    }
}

/// What an evaluation adds up.
private struct EvaluationSums {
    private var (nats, targets, found) = (0.0, 0, 0)
    private(set) var inputs = 0
    private var isMasked = false

    mutating func add(_ logits: Tensor, _ targets: TokenTensor, isMasked: Bool) {
        let counted = targets.values.count { $0 != ignoredTarget }
        guard counted > 0 else { return }
        nats += Double(crossEntropy(logits, targets, ignoreIndex: ignoredTarget).item) * Double(counted)
        self.targets += counted
        self.isMasked = isMasked
        if isMasked { found += zip(logits.argmax().values, targets.values).count { $0 == $1 } }
    }

    /// The number of inputs read so far.
    mutating func read(_ batch: TokenBatch) -> Int {
        inputs += batch.targetCount
        return inputs
    }

    func result(of text: TokenSource, answers: [AnsweredQuestions]) -> EvaluationResult {
        // Exact where all tokens but the first of each document were predicted.
        let share = Double(targets) / Double(text.targetCount())
        let bytes = Int((Double(text.targetByteCount()) * share).rounded())
        return EvaluationResult(
            tokens: targets, bytes: max(bytes, 1), loss: nats / Double(targets),
            maskedAccuracy: isMasked ? Double(found) / Double(targets) : nil, answers: answers)
    }
}
