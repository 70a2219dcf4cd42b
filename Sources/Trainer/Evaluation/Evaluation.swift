import Foundation
import NN
import Tensors

/// The loss of a model on a text, and the measures that follow from it.
public struct EvaluationResult: Sendable, Hashable {
    /// The number of tokens predicted: all of the text but the first of each document, or those that were hidden, or
    /// reversed, which is all but the last of each document.
    public let tokens: Int
    /// The number of UTF-8 bytes these tokens stand for; where tokens were hidden, at the text's mean length of a token.
    public let bytes: Int
    /// Mean cross-entropy a token, in nats.
    public let loss: Double
    /// The objective that was evaluated.
    public var objective = ObjectiveKind.nextToken
    /// The share of the tokens predicted that the model holds for the likeliest; nil for the next token, where it says
    /// little.
    public var accuracy: Double?
    /// The questions of the text by the distance of what answers them; empty where it has none.
    public var answers: [AnsweredQuestions] = []

    /// The mean cross-entropy in bits a byte of the text.
    public var bitsPerByte: Double { Trainer.bitsPerByte(loss: loss, tokens: tokens, bytes: bytes) }
    /// The perplexity of a token: e^loss.
    public var perplexity: Double { exp(loss) }

    /// The metrics that a validation adds to those of its step.
    var metrics: [String: Double] {
        var metrics = ["validation_loss": loss, "validation_bits_per_byte": bitsPerByte]
        if let name = objective.accuracyName { metrics["validation_" + name] = accuracy }
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
    /// it along. (With a masked objective a share of the tokens, always the same, is predicted from all others of the window.
    /// For reversed windows, every token but the very last of a document is predicted once, from the whole window.)
    /// - Parameters:
    ///   - sequenceLength: tokens in a window.
    ///   - batchSize: windows that are read at once; has no influence on the result. Where each continues the one
    ///     before, they are read one after another.
    ///   - carries: whether a model that carries something lets it pass from window to window; else each window begins with
    ///     nothing, as random windows do in training.
    ///   - forgotten: parts of what is carried (`SegmentCarry.parts`) that are forgotten before each segment, to measure what
    ///     they are worth; only where something passes from window to window.
    ///   - questions: what the text asks and the model may answer; counted in the result.
    ///   - implementation: the form of the model's operations; questions are asked through decoding, which has one.
    ///   - progress: called after each batch with the number of tokens read; may throw to give up.
    /// - Throws: `InputError` when the text is too short, has tokens outside the vocabulary, or the model cannot be asked.
    public func evaluate(
        _ text: TokenSource, sequenceLength: Int, batchSize: Int = 1, objective: Objective = .nextToken,
        carries: Bool = true, forgetting forgotten: Set<String> = [], questions: [Question] = [],
        implementation: Implementation = .fused, progress: (Int) throws -> Void = { _ in }
    ) throws -> EvaluationResult {
        let streams = carriesState && carries
        try requireFitness(for: objective)
        try requireLength(sequenceLength, for: objective.kind)
        try requireParts(forgotten, streams: streams)
        let windows = try SequentialWindows(
            text, sequenceLength: sequenceLength, batchSize: streams ? 1 : batchSize)
        // Only who predicts the next token foresees anything.
        var answers = AnswerCount(objective == .nextToken ? questions : [])
        let sums = try measure(
            EvaluationExamples(windows, objective), of: text.name, streams: streams, forgetting: forgotten,
            countsFound: objective.kind.accuracyName != nil, mode: .inference.using(implementation), answers: &answers,
            progress: progress)
        if !streams {
            try answer(&answers, in: text, sequenceLength: sequenceLength, batchSize: batchSize) {
                try progress(sums.read)
            }
        }
        return try sums.result(of: text, objective.kind, answers: answers.byDistance)
    }

    /// Predicts the targets of examples.
    /// - Parameters:
    ///   - name: what messages call the data.
    ///   - streams: each batch continues where the one before ended, unless it says that it begins.
    ///   - forgotten: parts of what is carried that are left out.
    private func measure(
        _ examples: EvaluationExamples, of name: String, streams: Bool, forgetting forgotten: Set<String>,
        countsFound: Bool, mode: ForwardMode, answers: inout AnswerCount, progress: (Int) throws -> Void
    ) throws -> EvaluationSums {
        var sums = EvaluationSums()
        var carries: [Carry?] = []
        var examples = examples
        while let batch = try examples.next() {
            try requireVocabulary(of: batch, in: name)
            if !streams || batch.startsDocument == [true] { carries = batch.rowsWithoutCarry() }
            withoutGradients {
                for segment in segments(of: batch.shape[1]) {
                    let (inputs, targets) = batch.columns(segment)
                    if !forgotten.isEmpty { carries = carries.map { $0?.forgetting(forgotten) } }
                    let (predictions, next) = predictions(inputs, carries: carries, mode: mode)
                    let (losses, likeliest) = predictions.tokenLosses(targets)
                    sums.add(losses, likeliest, targets, countsFound: countsFound)
                    if streams { answers.read(likeliest, targets) }
                    carries = next
                }
            }
            sums.read += batch.textCount
            try progress(sums.read)
        }
        return sums
    }
}

/// The running sums of an evaluation.
private struct EvaluationSums {
    private var (nats, targets, found) = (0.0, 0, 0)
    /// The number of tokens of the text read so far.
    var read = 0

    /// losses, likeliest, targets: [b, n]
    mutating func add(_ losses: Tensor, _ likeliest: TokenTensor, _ targets: TokenTensor, countsFound: Bool) {
        nats += losses.values.reduce(0) { $0 + Double($1) }
        self.targets += targets.values.count { $0 != ignoredTarget }
        if countsFound { found += zip(likeliest.values, targets.values).count { $0 == $1 } }
    }

    func result(of text: TokenSource, _ objective: ObjectiveKind, answers: [AnsweredQuestions]) throws
        -> EvaluationResult
    {
        // Exact where all tokens but one of each document were predicted.
        let share = try Double(targets) / Double(text.targetCount())
        let all = try text.targetByteCount(reversed: objective == .reverse)
        let bytes = Int((Double(all) * share).rounded())
        return EvaluationResult(
            tokens: targets, bytes: max(bytes, 1), loss: nats / Double(targets), objective: objective,
            accuracy: objective.accuracyName == nil ? nil : Double(found) / Double(targets), answers: answers)
    }
}
