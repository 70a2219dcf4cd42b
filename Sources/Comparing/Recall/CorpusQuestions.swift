import Foundation
import ModelZoo

/// The questions of the built-in corpus: a model learns to predict the text's bytes, and is asked for the place of a thing
/// that was told some sentences ago. A question counts as answered where every byte of the place is the likeliest.
///
/// All models train on the same random windows, and are asked with a window of the text before the answer.
struct CorpusQuestions {
    let model: String

    /// Bytes in a window, windows in a batch.
    static let length = 1024, batchSize = 4
    /// Questions of each distance.
    static let questions = 256

    func run(
        _ options: RecallOptions, seed: UInt64, key: RandomKey,
        progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) throws -> RecallOutcome? {
        let size = ModelSize.recall(vocabulary: ByteTokenizer().vocabularySize, length: Self.length)
        let model = try ModelZoo.architecture(self.model).recallModel(size, key: key.child(0))
        return try run(model, options, seed: seed, progress: progress, stop: stop)
    }

    private func run(
        _ model: some LanguageModel, _ options: RecallOptions, seed: UInt64,
        progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) throws -> RecallOutcome? {
        let corpus = CorpusOptions(seed: seed, validationLength: 1 << 16)
        let split = try DataSplit(
            ByteTokenizer().tokens(of: corpus.training.text), validationFraction: 0, sequenceLength: Self.length)
        let training = TrainingOptions(
            sequenceLength: Self.length, batchSize: Self.batchSize, length: try options.length(),
            learningRate: options.learningRate, warmupSteps: RecallOptions.warmupSteps, clip: RecallOptions.clip,
            validateEvery: 0, sampleEvery: 0, seed: seed)
        let run = try TrainingRun(model, on: split, tokenizer: ByteTokenizer(), options: training)
        var fault: String?
        do {
            try run.train(
                report: { event in
                    guard case .step(let metrics, _) = event else { return }
                    progress(
                        RecallExam.trainingShare * share(run, training.length),
                        String(format: "step %d  %.3f bits/byte", metrics.step, metrics.bitsPerByte))
                }, stop: stop)
        } catch let error as TrainingFault {
            fault = error.description
        }
        guard fault != nil || run.isFinished else { return nil }
        guard let asked = try ask(model, corpus.validation, progress: progress, stop: stop) else { return nil }
        return RecallOutcome(
            task: .questions, model: self.model, parameters: model.parameterCount, steps: run.step,
            seconds: run.seconds, trainingLength: Self.length, chance: asked.chance, reach: model.reach,
            accuracies: asked.accuracies, fault: fault)
    }

    private func share(_ run: TrainingRun<some LanguageModel>, _ length: TrainingLength) -> Double {
        switch length {
        case .minutes(let minutes): min(1, run.seconds / (minutes * 60))
        default: Double(run.step) / Double(run.totalSteps ?? 1)
        }
    }

    /// Asks what a window can answer; nil where stopped.
    private func ask(
        _ model: some LanguageModel, _ corpus: Corpus, progress: (_ share: Double, _ status: String) -> Void,
        stop: () -> Bool
    ) throws -> (accuracies: [RecallOutcome.Accuracy], chance: Double)? {
        let knowledge = TextKnowledge(corpus)
        let questions = Question.sample(
            knowledge.questions.filter { $0.distance <= Self.distanceBounds.last! }, perDistance: Self.questions)
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

    /// What a window holds.
    private static var distanceBounds: [Int] { Question.distanceBounds.filter { $0 < length } }

    private struct Stopped: Error {}
}
