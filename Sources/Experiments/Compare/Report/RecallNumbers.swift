import Foundation

/// The numbers of one task from the outcomes of `--task recall`, by model.
struct RecallNumbers {
    let task: RecallTaskName
    private let outcomes: [String: RecallOutcome]

    /// Creates the numbers; of several outcomes of a model the last counts.
    init(_ task: RecallTaskName, _ outcomes: [RecallOutcome]) {
        self.task = task
        self.outcomes = Dictionary(
            outcomes.filter { $0.task == task }.map { ($0.model, $0) }, uniquingKeysWith: { $1 })
    }

    var ids: [String] { Array(outcomes.keys) }

    subscript(model: ComparedModel) -> RecallOutcome? { outcomes[model.id] }

    private func sorted<Value: Comparable & Hashable>(_ value: (RecallOutcome.Accuracy) -> Value?) -> [Value] {
        Set(outcomes.values.flatMap { $0.accuracies.compactMap(value) }).sorted()
    }

    var lengths: [Int] { sorted(\.length) }
    var distances: [Int] { sorted(\.distance) }
    var depths: [Double] { sorted(\.depth) }

    /// The same for all models of a comparison.
    var trainingLength: Int? { outcomes.values.map(\.trainingLength).min() }

    /// The share that a guess among all possible answers finds.
    var guess: Double? { outcomes.values.map(\.chance).filter(\.isFinite).max() }

    /// Returns the share found without binding (`RecallOutcome.Accuracy.chance`), by length or by distance: the same
    /// for all that were asked; where it is not known, the share that a guess among all possible answers finds.
    func chance(length: Int) -> Double? { unboundShare(length: length) ?? guess }

    func chance(distance: Int) -> Double? { unboundShare { cells(of: $0, distance: distance) } ?? guess }

    /// The same; nil where it is not known.
    func unboundShare(length: Int) -> Double? { unboundShare { cells(of: $0, length: length) } }

    private func unboundShare(_ cells: (RecallOutcome) -> [RecallOutcome.Accuracy]) -> Double? {
        outcomes.values.compactMap { mean(cells($0), \.chance) }.max()
    }

    /// The mean over the questions of cells; nil where one does not have it.
    private func mean(_ cells: [RecallOutcome.Accuracy], _ value: (RecallOutcome.Accuracy) -> Double?) -> Double? {
        let asked = cells.filter { $0.share != nil }
        let values = asked.compactMap(value)
        guard !asked.isEmpty, values.count == asked.count else { return nil }
        let sum = zip(values, asked).reduce(0) { $0 + $1.0 * Double($1.1.asked!) }
        return sum / Double(asked.reduce(0) { $0 + $1.asked! })
    }

    /// The length that the task is judged by in one number: that of the training, or the nearest there is.
    var judgedLength: Int? {
        guard let training = trainingLength else { return nil }
        return lengths.min { abs($0 - training) < abs($1 - training) }
    }

    // MARK: Shares

    /// Answers found, of those asked.
    struct Answers: Equatable {
        var found: Int
        var asked: Int

        var share: Double { Double(found) / Double(asked) }

        /// The variance of the share: p (1 − p) / n.
        var variance: Double { share * (1 - share) / Double(asked) }

        /// All of some cells together; nil where nothing could be asked.
        init?(_ cells: [RecallOutcome.Accuracy]) {
            let answered = cells.filter { $0.share != nil }
            (found, asked) = (answered.reduce(0) { $0 + $1.found! }, answered.reduce(0) { $0 + $1.asked! })
            if asked == 0 { return nil }
        }
    }

    /// Tells whether answers are more than a guess explains; true where it is not known what a guess finds.
    func areAboveGuess(_ answers: Answers, chance: Double?) -> Bool {
        guard let chance else { return true }
        return binomialTail(atLeast: answers.found, of: answers.asked, probability: chance) < Control.significance
    }

    /// At one length. Cells for all distances together count, where there are any; else those of each distance.
    func answers(_ model: ComparedModel, length: Int) -> Answers? {
        self[model].flatMap { Answers(cells(of: $0, length: length)) }
    }

    private func cells(of outcome: RecallOutcome, length: Int) -> [RecallOutcome.Accuracy] {
        let cells = outcome.accuracies.filter { $0.length == length }
        let whole = cells.filter { $0.distance == nil }
        return whole.isEmpty ? cells : whole
    }

    /// At one distance: at the length that the task is judged by where that has several, else at all lengths.
    func answers(_ model: ComparedModel, distance: Int) -> Answers? {
        self[model].flatMap { Answers(cells(of: $0, distance: distance)) }
    }

    private func cells(of outcome: RecallOutcome, distance: Int) -> [RecallOutcome.Accuracy] {
        let cells = outcome.accuracies.filter { $0.distance == distance }
        let judged = judgedLength
        return isJudgedByDistance ? cells.filter { $0.length == judged } : cells
    }

    /// True if the length that the task is judged by has several distances.
    var isJudgedByDistance: Bool {
        let judged = judgedLength
        return Set(
            outcomes.values.flatMap { $0.accuracies.filter { $0.length == judged }.compactMap(\.distance) }
        ).count > 1
    }

    func answers(_ model: ComparedModel, length: Int, depth: Double) -> Answers? {
        Answers((self[model]?.accuracies ?? []).filter { $0.length == length && $0.depth == depth })
    }

    /// The task in one number.
    func answers(_ model: ComparedModel) -> Answers? { judgedLength.flatMap { answers(model, length: $0) } }

    // MARK: Beyond a reach

    /// The least that a model cannot see beyond; nil where all see everything.
    var reach: Int? { outcomes.values.compactMap(\.reach).min() }

    /// Returns the answers about text farther back than a reach, all of it: at the length that the task is judged by,
    /// where there is any, else at all lengths.
    func answers(_ model: ComparedModel, beyond reach: Int) -> Answers? {
        self[model].flatMap { Answers(cells(of: $0, beyond: reach)) }
    }

    /// Returns the share of those found without binding.
    func chance(beyond reach: Int) -> Double? { unboundShare { cells(of: $0, beyond: reach) } ?? guess }

    private func cells(of outcome: RecallOutcome, beyond reach: Int) -> [RecallOutcome.Accuracy] {
        let length = judgedLength
        let isJudged = outcomes.values.contains { outcome in
            outcome.accuracies.contains { $0.length == length && isBeyond($0, reach) }
        }
        return outcome.accuracies.filter { isBeyond($0, reach) && (!isJudged || $0.length == length) }
    }

    /// The negative control: what a model with a reach found of what stands beyond it, at all lengths, and what it can be
    /// expected to find at most without seeing it.
    func control(_ model: ComparedModel) -> Control? {
        guard let outcome = self[model], let reach = outcome.reach else { return nil }
        let cells = outcome.accuracies.filter { isBeyond($0, reach) }
        guard let answers = Answers(cells) else { return nil }
        return Control(
            reach: reach, answers: answers, chance: mean(cells) { $0.blindChance ?? outcome.chance } ?? outcome.chance)
    }

    /// The control that a model does not find what it cannot see.
    struct Control {
        let reach: Int
        let answers: Answers
        let chance: Double

        /// Up to which probability of as many right guesses, or more, they are no accident.
        static let significance = 0.001

        /// True if so many right answers may be guesses.
        var holds: Bool {
            binomialTail(atLeast: answers.found, of: answers.asked, probability: chance) >= Self.significance
        }
    }

    /// The share of a sequence that may stand before and behind what a depth places.
    private static let frame = 0.25

    /// A cell's distances begin where those of the cell before end. A fact at a depth is as far from the question
    /// as the rest of the sequence is long, but for what frames it.
    private func isBeyond(_ cell: RecallOutcome.Accuracy, _ reach: Int) -> Bool {
        if let depth = cell.depth { return (1 - depth) * Double(cell.length) * (1 - Self.frame) > Double(reach) }
        guard let distance = cell.distance, let before = distances.last(where: { $0 < distance }) else { return false }
        return before >= reach
    }
}

/// The probability of so many successes or more in independent trials, the sum of the terms of the binomial distribution:
/// right for probabilities of any size, where a normal distribution would be none for 0.00001.
func binomialTail(atLeast successes: Int, of trials: Int, probability: Double) -> Double {
    if successes <= 0 || probability >= 1 { return 1 }
    if successes > trials || probability <= 0 { return 0 }
    let n = Double(trials)
    return (successes...trials).reduce(0) { sum, count in
        let k = Double(count)
        let choices = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
        return sum + exp(choices + k * log(probability) + (n - k) * log1p(-probability))
    }
}
