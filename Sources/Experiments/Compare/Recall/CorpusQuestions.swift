import Foundation
import ModelZoo

/// The questions of the built-in corpus: for the place of a thing that was told some sentences ago. A question counts as
/// answered where every byte of the place is the likeliest.
///
/// Random windows of the text are trained on, and as in the other tasks the loss is at the answers alone: those of questions
/// whose fact is in the window too. A model that learns to predict all of the text answers in the end as well, but most
/// of its loss is about other things. Asked is with a window of another text before the answer, and for what no question
/// before has repeated the answer of.
struct CorpusQuestions {
    let model: String
    var settings = ModelSettings()

    /// Bytes in a window, windows in a batch.
    static let length = 1024, batchSize = 4
    /// Questions of each distance.
    static let questions = 256

    func run(
        _ options: RecallOptions, seed: UInt64, key: RandomKey,
        progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) throws -> RecallOutcome? {
        let size = ModelSize.recall(vocabulary: ByteTokenizer().vocabularySize, length: Self.length)
        let model = try settings.architecture(self.model).recallModel(size, key: key.child(0))
        return try run(model, options, seed: seed, key: key, progress: progress, stop: stop)
    }

    private func run(
        _ model: some LanguageModel, _ options: RecallOptions, seed: UInt64, key: RandomKey,
        progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) throws -> RecallOutcome? {
        let texts = CorpusOptions(seed: seed, validationLength: 1 << 18)
        let windows = QuestionWindows(texts.training, length: Self.length, count: Self.batchSize)
        let training = try options.training(key: key.child(1))
        let end = try training.train(
            model, batch: { windows.batch(key: key.child(2).child($0)) },
            report: { progress(RecallExam.trainingShare * training.share($0), RecallOptions.status($0)) }, stop: stop)
        if end.isStopped { return nil }
        guard let asked = try ask(model, texts.validation, progress: progress, stop: stop) else { return nil }
        return RecallOutcome(
            task: .questions, model: self.model, parameters: model.parameterCount, steps: end.steps,
            seconds: end.seconds, trainingLength: Self.length, chance: asked.chance, reach: model.reach,
            accuracies: asked.accuracies, fault: end.fault)
    }

    /// Asks what a window can answer; nil where stopped.
    private func ask(
        _ model: some LanguageModel, _ corpus: Corpus, progress: (_ share: Double, _ status: String) -> Void,
        stop: () -> Bool
    ) throws -> (accuracies: [RecallOutcome.Accuracy], chance: Double)? {
        let knowledge = TextKnowledge(corpus)
        let questions = Question.sample(
            Self.firstQuestions(corpus).filter { $0.distance <= Self.distanceBounds.last! }, perDistance: Self.questions
        )
        let text = ByteTokenizer().tokens(of: corpus.text)
        let result: EvaluationResult
        do {
            result = try model.evaluate(
                text, sequenceLength: Self.length, batchSize: 8, carries: false, questions: questions
            ) { read in
                if stop() { throw Stopped() }
                let share = min(1, Double(read) / Double(text.count))
                progress(RecallExam.trainingShare + (1 - RecallExam.trainingShare) * share, "asking")
            }
        } catch is Stopped {
            return nil
        }
        let accuracies = result.answers.map {
            RecallOutcome.Accuracy(length: Self.length, distance: $0.distance, asked: $0.asked, found: $0.answered)
        }
        return (accuracies, knowledge.chance ?? 0)
    }

    /// The questions for facts that were not asked for before: where they were, the answer stands nearer than the fact.
    static func firstQuestions(_ corpus: Corpus) -> [Question] {
        var facts = Set<Range<Int>>()
        return corpus.questions.filter { facts.insert($0.fact).inserted }
            .map { Question(answer: $0.answer, distance: $0.distance) }
    }

    /// The distances that a window holds.
    private static var distanceBounds: [Int] { Question.distanceBounds.filter { $0 < length } }

    private struct Stopped: Error {}
}

/// Windows from random places of the corpus, in which only the answers are to be foreseen that the window tells.
struct QuestionWindows {
    private let corpus: Corpus
    /// Bytes in a window, windows in a batch.
    private let length: Int, count: Int

    init(_ corpus: Corpus, length: Int, count: Int) {
        (self.corpus, self.length, self.count) = (corpus, length, count)
    }

    /// The batch of a key, with at least one answer.
    func batch(key: RandomKey) -> TokenBatch {
        for attempt in 0... {
            var random = SplitMix64(key.child(attempt))
            let starts = (0..<count).map { _ in random.next(below: corpus.bytes.count - length) }
            let targets = starts.flatMap(targets)
            guard targets.contains(where: { $0 != ignoredTarget }) else { continue }
            return TokenBatch(
                inputs: starts.flatMap { tokens($0..<$0 + length) }, targets: targets, shape: [count, length],
                startsDocument: Array(repeating: true, count: count), textCount: count * length)
        }
        fatalError("QuestionWindows: unreachable")
    }

    private func tokens(_ range: Range<Int>) -> [Int32] { corpus.bytes[range].map(Int32.init) }

    /// Returns the targets of the window that begins at a place.
    private func targets(of start: Int) -> [Int32] {
        var targets = [Int32](repeating: ignoredTarget, count: length)
        for question in corpus.questions(in: start + 1..<start + length + 1) where question.fact.lowerBound >= start {
            let places = question.answer.lowerBound - start - 1..<question.answer.upperBound - start - 1
            targets.replaceSubrange(places, with: tokens(question.answer))
        }
        return targets
    }
}
