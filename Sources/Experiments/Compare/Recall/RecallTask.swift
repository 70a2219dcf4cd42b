import ModelZoo

/// A task of recall: sequences of tokens with places where only one token can come, for a reader that remembers what it
/// read.
///
/// Training batch k of a seed is the same for every model, and so are the sequences that are asked.
protocol RecallTask: Sendable {
    var name: RecallTaskName { get }
    /// The number of tokens in the vocabulary.
    var vocabulary: Int { get }
    /// The share that a guess among all possible answers finds: the most for who sees nothing of the text.
    var chance: Double { get }
    /// The lengths of the training's sequences, in ascending order; a batch has any of them.
    var trainingLengths: [Int] { get }
    /// The lengths of the sequences that are asked.
    var testLengths: [Int] { get }
    /// The depths of the answers in them, 0 for the beginning to 1 for the end; [nil] where that is left to chance.
    var depths: [Double?] { get }

    /// A sequence to train on.
    func trainingSequence(of length: Int, key: RandomKey) -> RecallSequence

    /// A sequence to ask. Those of one length have equally many questions.
    func testSequence(of length: Int, depth: Double?, key: RandomKey) -> RecallSequence

    /// The share of a sequence's questions that is found without binding: by a reader that knows which tokens are in it
    /// and how often, but not where, and names what is right most often.
    func guess(in sequence: RecallSequence) -> Double

    /// The most that can be expected of an answer by who sees so many tokens before the place, and none of what it asks for.
    func guess(_ question: RecallSequence.Question, in sequence: RecallSequence, seeing reach: Int) -> Double
}

/// Tokens, and what can be known of them.
struct RecallSequence: Sendable, Equatable {
    var tokens: [Int32]
    /// In the order of their places, which have none in common.
    var questions: [Question]

    /// Some places in a row, after each of which one token has to be foreseen.
    struct Question: Sendable, Equatable {
        /// The index of the first token that is followed by a token of the answer.
        var place: Int
        /// As many as there are places in a row.
        var answer: [Int32]
        /// The number of tokens from the answer to the place where it is asked for; to be known, all of them must have
        /// been read and kept.
        var distance: Int

        var places: Range<Int> { place..<place + answer.count }
    }
}

extension RecallTask {
    /// Tokens in a sequence of the training at most.
    var trainingLength: Int { trainingLengths.last! }
    var depths: [Double?] { [nil] }

    /// Returns the chance of a guess: tokens seen say nothing of the rest, where they are drawn independently of each
    /// other.
    func guess(_ question: RecallSequence.Question, in sequence: RecallSequence, seeing reach: Int) -> Double { chance }

    /// The number of tokens in a batch of the training, whatever the length of its sequences.
    static var batchTokens: Int { 4096 }

    /// Batch k of the training, of the key that belongs to it.
    func trainingBatch(key: RandomKey) -> TokenBatch {
        let length = trainingLengths[Int(key.child(-1).value % UInt64(trainingLengths.count))]
        return TokenBatch(
            (0..<max(1, Self.batchTokens / length)).map { trainingSequence(of: length, key: key.child($0)) })
    }
}

extension TokenBatch {
    /// Sequences of one length; the answers are the targets that count.
    init(_ sequences: [RecallSequence]) {
        var targets = sequences.map { [Int32](repeating: ignoredTarget, count: $0.tokens.count) }
        for (row, sequence) in sequences.enumerated() {
            for question in sequence.questions { targets[row].replaceSubrange(question.places, with: question.answer) }
        }
        let inputs = sequences.flatMap(\.tokens)
        self.init(
            inputs: inputs, targets: targets.flatMap { $0 }, shape: [sequences.count, sequences[0].tokens.count],
            startsDocument: Array(repeating: true, count: sequences.count), textCount: inputs.count)
    }
}

extension RecallTaskName {
    /// nil for the corpus's questions, whose text is no batch of sequences.
    var task: (any RecallTask)? {
        switch self {
        case .mqar: AssociativeRecall()
        case .induction: InductionHeads()
        case .copying: SelectiveCopying()
        case .passkey: Passkey()
        case .questions: nil
        case .distance: FactDistance()
        case .facts: FactDistance(facts: 4)
        }
    }
}

extension Sequence where Element: Hashable {
    /// The number of times each element comes.
    var counts: [Element: Int] { reduce(into: [:]) { $0[$1, default: 0] += 1 } }
}

extension SplitMix64 {
    /// The generator of a key's numbers.
    init(_ key: RandomKey) { self.init(seed: key.value) }

    /// Different numbers below a bound, in the order drawn.
    mutating func distinct(_ count: Int, below bound: Int) -> [Int] {
        require(count <= bound, "\(count) different numbers below \(bound)")
        // The first elements of a shuffled list (Fisher and Yates).
        var numbers = Array(0..<bound)
        for index in 0..<count { numbers.swapAt(index, index + next(below: bound - index)) }
        return Array(numbers.prefix(count))
    }

    /// In [0, 1).
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
