import Foundation
import ModelZoo

/// One task for one model.
package struct RecallCell: Sendable, Hashable {
    /// The task that is learned and asked.
    package let task: RecallTaskName
    /// The architecture's id.
    package let model: String
    /// The changes of `--set` to the model.
    package let settings: ModelSettings

    /// The cell of a task and an architecture's id, which `run` looks up.
    package init(task: RecallTaskName, model: String, settings: ModelSettings? = nil) {
        (self.task, self.model, self.settings) = (task, model, settings ?? .init())
    }

    /// Trains the model and asks it.
    /// - Parameters:
    ///   - seed: the same seed and steps give the same outcome, but for the time. What is trained on and asked does not
    ///     depend on the model.
    ///   - progress: called with the share of the work that is done, from 0 to 1, and what is being done, in a few
    ///     words.
    ///   - stop: asked often.
    /// - Returns: nil where stopped.
    /// - Throws: `InputError` for a model that there is not, or options that cannot be.
    package func run(
        _ options: RecallOptions, seed: UInt64, progress: (_ share: Double, _ status: String) -> Void = { _, _ in },
        stop: () -> Bool = { false }
    ) throws -> RecallOutcome? {
        guard let task = task.task else {
            return try CorpusQuestions(model: model, settings: settings).run(
                options, seed: seed, key: key(seed), progress: progress, stop: stop)
        }
        return try run(task, options, seed: seed, progress: progress, stop: stop)
    }

    /// The same with a task of sequences.
    func run(
        _ task: any RecallTask, _ options: RecallOptions, seed: UInt64,
        progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) throws -> RecallOutcome? {
        let size = ModelSize.recall(vocabulary: task.vocabulary, length: task.trainingLength)
        let model = try settings.architecture(self.model).recallModel(size, key: key(seed).child(0))
        return try RecallExam(task: task, id: self.model, options: options, key: key(seed))
            .run(model, progress: progress, stop: stop)
    }

    /// Returns the random key of the seed and the task alone.
    private func key(_ seed: UInt64) -> RandomKey {
        RandomKey(seed: seed).child(RecallTaskName.allCases.firstIndex(of: task)!)
    }
}

/// The training and the tests of a cell's model.
struct RecallExam {
    let task: any RecallTask
    let id: String
    let options: RecallOptions
    let key: RandomKey

    /// The share of the training in the work, about.
    static let trainingShare = 0.85

    func run(
        _ model: some LanguageModel, progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) throws -> RecallOutcome? {
        let training = try options.training(key: key.child(1))
        let end = try training.train(
            model, batch: { task.trainingBatch(key: key.child(2).child($0)) },
            report: { progress(Self.trainingShare * training.share($0), RecallOptions.status($0)) }, stop: stop)
        if end.isStopped { return nil }
        let asked = ask(
            model, progress: { progress(Self.trainingShare + (1 - Self.trainingShare) * $0, $1) }, stop: stop)
        guard let asked else { return nil }
        var outcome = RecallOutcome(
            task: task.name, model: id, parameters: model.parameterCount, steps: end.steps, seconds: end.seconds,
            trainingLength: task.trainingLength, chance: task.chance, reach: model.reach, accuracies: asked,
            fault: end.fault)
        if task.name.isOverDistances && model.hasStates {
            guard let control = askWithoutStates(model, stop: stop) else { return nil }
            outcome.withoutStates = control
        }
        return outcome
    }

    /// Asks the distances up to twice the training's length with states forgotten; nil where stopped.
    func askWithoutStates(_ model: some LanguageModel, stop: () -> Bool) -> [RecallOutcome.Accuracy]? {
        var accuracies: [RecallOutcome.Accuracy] = []
        for (index, length) in task.testLengths.enumerated() where length <= 2 * task.trainingLength {
            let sequences = (0..<Self.controlSequences).map {
                task.testSequence(of: length, depth: nil, key: key.child(4).child(index).child($0))
            }
            guard let found = model.answersForgettingStates(to: sequences, block: FactDistance.block, stop: stop) else {
                return nil
            }
            accuracies.append(
                .init(
                    length: length, distance: sequences[0].questions[0].distance, asked: found.count,
                    found: found.count { $0 }, chance: task.chance))
        }
        return accuracies
    }

    private static let controlSequences = 64

    /// All that is asked; nil where stopped.
    func ask(
        _ model: some LanguageModel, progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) -> [RecallOutcome.Accuracy]? {
        var accuracies: [RecallOutcome.Accuracy] = []
        let tests = task.testLengths.flatMap { length in task.depths.map { (length, $0) } }
        for (index, (length, depth)) in tests.enumerated() {
            progress(Double(index) / Double(tests.count), "asking at length \(length)")
            guard length <= model.maximumDecodingLength ?? .max else {
                accuracies.append(.init(length: length, depth: depth, asked: nil, found: nil))
                continue
            }
            guard let answers = answers(model, length, depth, key: key.child(3).child(index), stop: stop) else {
                return nil
            }
            // Questions over one distance are of a length and of that distance alike.
            let distances = Set(answers.map(\.distance))
            let distance = task.name.isOverDistances && distances.count == 1 ? distances.first : nil
            accuracies.append(
                answers.accuracy(length: length, distance: distance, depth: depth, reach: model.reach))
            if length == task.trainingLength && depth == nil {
                accuracies += answers.byDistance(length: length, reach: model.reach)
            }
        }
        return accuracies
    }

    /// The questions of a length, each with its distance and whether it was answered.
    private func answers(
        _ model: some LanguageModel, _ length: Int, _ depth: Double?, key: RandomKey, stop: () -> Bool
    ) -> [RecallAnswer]? {
        var answers: [RecallAnswer] = []
        let count = max(Self.leastSequences, min(Self.mostSequences, Self.tokens / length) / task.depths.count)
        // As many at once as keeps the memory of full attention small.
        let together = max(1, min(32, (1 << 17) / length))
        for first in stride(from: 0, to: count, by: together) {
            let sequences = (first..<min(first + together, count)).map {
                task.testSequence(of: length, depth: depth, key: key.child($0))
            }
            guard let found = model.answers(to: sequences, stop: stop) else { return nil }
            for (sequence, found) in zip(sequences, found) {
                let guess = task.guess(in: sequence)
                answers += zip(sequence.questions, found).map { question, isFound in
                    RecallAnswer(
                        distance: question.distance, isFound: isFound, chance: guess,
                        blindChance: task.guess(question, in: sequence, seeing: model.reach ?? 0))
                }
            }
        }
        return answers
    }

    /// Sequences of a length, as far as so many tokens go.
    private static let (leastSequences, mostSequences, tokens) = (16, 256, 1 << 19)
}

/// A question that was asked.
struct RecallAnswer {
    let distance: Int
    let isFound: Bool
    /// The shares that guesses are expected to find: without binding, and without seeing it at all.
    let chance: Double, blindChance: Double
}

extension [RecallAnswer] {
    /// - Parameter reach: of the model.
    func accuracy(length: Int, distance: Int? = nil, depth: Double? = nil, reach: Int?) -> RecallOutcome.Accuracy {
        func mean(_ value: (RecallAnswer) -> Double) -> Double { reduce(0) { $0 + value($1) } / Double(count) }
        let isBlind = allSatisfy { $0.distance > reach ?? .max }
        return .init(
            length: length, distance: distance, depth: depth, asked: count, found: count { $0.isFound },
            chance: mean(\.chance), blindChance: isBlind ? mean(\.blindChance) : nil)
    }

    /// By upper bounds of the distance, as far as there are questions.
    func byDistance(length: Int, reach: Int?) -> [RecallOutcome.Accuracy] {
        let bounds = [32, 64, 96, 128, 192, 256]
        return zip([0] + bounds, bounds).compactMap { least, bound in
            let group = filter { $0.distance > least && $0.distance <= bound }
            return group.isEmpty ? nil : group.accuracy(length: length, distance: bound, reach: reach)
        }
    }
}

extension RecallOptions {
    /// - Throws: `InputError` for options that cannot be.
    func training(key: RandomKey) throws -> ExampleTraining {
        // A limit of time has no end that a schedule could know.
        let schedule = try LearningRateSchedule(.constant, peak: learningRate, warmupSteps: Self.warmupSteps)
        return ExampleTraining(try length(), schedule, clip: Self.clip, key: key)
    }

    /// - Throws: `InputError` where there is none, or it is none.
    func length() throws -> TrainingLength {
        if let steps {
            guard steps > 0 else {
                throw InputError("--steps: expected a whole number of at least 1, found \(steps)")
            }
            return .steps(steps)
        }
        guard let minutes, minutes > 0, minutes.isFinite else {
            throw InputError("--minutes: expected a number above 0, found \(minutes.map { "\($0)" } ?? "none")")
        }
        return .minutes(minutes)
    }

    static let warmupSteps = 50
    static let clip = 1.0

    /// A few words on where a training stands.
    static func status(_ progress: ExampleTraining.Progress) -> String {
        String(format: "step %d  loss %.4f", progress.steps, progress.loss)
    }
}

extension ExampleTraining.Progress {
    /// The reason why training ended before its time; nil if it did not.
    var fault: String? { isDiverged ? "diverged after step \(steps)" : nil }
}
