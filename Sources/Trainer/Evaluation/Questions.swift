import NN
import Tensors

/// A place of a text that can be foreseen by a reader that remembers another place before it.
public struct Question: Sendable, Hashable {
    /// The tokens of the answer, all of which have to be foreseen.
    public let answer: Range<Int>
    /// The distance from the answer back to the fact that tells it, in bytes.
    public let distance: Int

    /// Creates a question from the range of its answer in the text and the distance to the fact.
    public init(answer: Range<Int>, distance: Int) {
        require(!answer.isEmpty && answer.lowerBound > 0, "Question: an answer of tokens \(answer)")
        (self.answer, self.distance) = (answer, distance)
    }

    /// Upper bounds of the distances that are counted together, in bytes.
    public static let distanceBounds = [100, 300, 1_000, 3_000, 10_000, 100_000]

    /// The index of the least bound that is no smaller; of the last for what lies farther still.
    var group: Int {
        Self.distanceBounds.firstIndex { distance <= $0 } ?? Self.distanceBounds.count - 1
    }

    /// At most so many questions of each group of distances, taken evenly from all of them, in their order.
    package static func sample(_ questions: [Question], perDistance most: Int) -> [Question] {
        Dictionary(grouping: questions, by: \.group).values
            .flatMap { group in
                let count = min(most, group.count)
                return (0..<count).map { group[$0 * group.count / count] }
            }
            .sorted { $0.answer.lowerBound < $1.answer.lowerBound }
    }
}

/// The number of questions of about one distance that a model has answered.
public struct AnsweredQuestions: Sendable, Hashable {
    /// The largest distance, in bytes; the smallest is above the bound before.
    public let distance: Int
    /// The number of questions asked.
    public let asked: Int
    /// Those of which the model holds every token of the answer for the likeliest.
    public let answered: Int

    /// The share of the questions that were answered.
    public var share: Double { Double(answered) / Double(asked) }

    /// The smallest distance, in bytes.
    public var leastDistance: Int { (Question.distanceBounds.last { $0 < distance } ?? 0) + 1 }
}

/// The questions answered so far while a text is read.
struct AnswerCount {
    private let questions: [Question]
    private var isAnswered: [Bool]
    /// The number of targets read, and the first question not answered before them.
    private var (position, first) = (1, 0)

    init(_ questions: [Question]) {
        self.questions = questions.sorted { $0.answer.lowerBound < $1.answer.lowerBound }
        isAnswered = [Bool](repeating: true, count: questions.count)
    }

    /// Takes the likeliest tokens for the next targets of one text, from its second token on: [1, n] each.
    mutating func read(_ likeliest: TokenTensor, _ targets: TokenTensor) {
        let end = position + targets.count
        while first < questions.count, questions[first].answer.upperBound <= position { first += 1 }
        if first < questions.count, questions[first].answer.lowerBound < end {
            let predicted = likeliest.values
            for index in first..<questions.count {
                let answer = questions[index].answer
                guard answer.lowerBound < end else { break }
                for place in answer.clamped(to: position..<end)
                where predicted[place - position] != targets.values[place - position] { isAnswered[index] = false }
            }
        }
        position = end
    }

    /// The questions by their place, and a way to say whether one is answered.
    var places: [Range<Int>] { questions.map(\.answer) }
    mutating func set(_ index: Int, isAnswered answer: Bool) { isAnswered[index] = answer }

    /// Distances without questions are left out.
    var byDistance: [AnsweredQuestions] {
        Question.distanceBounds.indices.compactMap { group in
            let of = questions.indices.filter { questions[$0].group == group }
            guard !of.isEmpty else { return nil }
            return AnsweredQuestions(
                distance: Question.distanceBounds[group], asked: of.count, answered: of.count { isAnswered[$0] })
        }
    }
}

extension LanguageModel {
    /// Asks each question with as much of the text before it as a window holds, as where the windows of an evaluation begin
    /// would decide what can be known. For models that carry nothing from window to window.
    func answer(
        _ count: inout AnswerCount, in text: TokenSource, sequenceLength: Int, batchSize: Int,
        progress: () throws -> Void
    ) throws {
        // Those with less before them than a window are asked one by one: a batch has one length.
        let early = count.places.prefix { $0.upperBound <= sequenceLength }.count
        let together = stride(from: early, to: count.places.count, by: batchSize).map {
            $0..<min($0 + batchSize, count.places.count)
        }
        for rows in (0..<early).map({ $0..<$0 + 1 }) + together {
            let ends = rows.map { count.places[$0].upperBound }
            let length = min(sequenceLength, ends.min()! - 1)
            let batch = try TokenBatch(text, starts: ends.map { $0 - 1 - length }, length: length)
            try requireVocabulary(of: batch, in: text.name)
            let targets = batch.columns(0..<length).targets
            let predicted = withoutGradients { likeliest(inWindow: batch) }.values
            for (row, index) in rows.enumerated() {
                let last = (row + 1) * length
                let places = max(last - count.places[index].count, row * length)..<last
                count.set(index, isAnswered: predicted[places] == targets.values[places])
            }
            try progress()
        }
    }
}
