/// The recall of one model after training on one task.
package struct RecallOutcome: Codable, Sendable, Equatable {
    /// The task.
    package var task: RecallTaskName
    /// The architecture's id.
    package var model: String
    /// The number of the model's parameters.
    package var parameters: Int
    /// The steps of the training.
    package var steps: Int
    /// Seconds of training.
    package var seconds: Double
    /// Tokens in a sequence of the training.
    package var trainingLength: Int
    /// The share that a guess among all possible answers finds: of `mqar` all values of the vocabulary, of `induction` and
    /// `copying` all tokens that there can be, of `passkey` all numbers of so many digits, of `questions` all places. A model
    /// that sees nothing of what it is asked for finds no more, but for `mqar` (see `Accuracy.blindChance`).
    package var chance: Double
    /// The distance, in tokens, that the model can see at all, whatever it learns; nil for all of the text.
    package var reach: Int?
    /// The results of the tests after the training: by length, and by depth where the task has one; then, for sequences
    /// as long as the training's, the same questions once more by distance. The corpus's questions come by distance
    /// alone.
    package var accuracies: [Accuracy]
    /// The control of `distance` and `facts` for models that carry states: the same questions over some distances, with the states
    /// forgotten before each block. nil for other tasks and models.
    package var withoutStates: [Accuracy]?
    /// The reason why training ended before its time, if numbers were no longer finite: the tests are then of the step
    /// before.
    package var fault: String?

    /// The answers to questions of one kind.
    package struct Accuracy: Codable, Sendable, Equatable {
        /// Tokens in the sequences; of the corpus's questions, in the windows.
        package var length: Int
        /// The greatest distance in tokens from the answer to its question, farther than the bound before; nil for
        /// questions of all distances.
        package var distance: Int?
        /// The depth of the answer in the sequence, 0 for its beginning to 1 for its end; for `passkey` alone.
        package var depth: Double?
        /// nil where the model cannot read so long a sequence.
        package var asked: Int?
        /// The number found of those asked; nil where nothing was.
        package var found: Int?
        /// The share that is found without binding: by a reader that knows which tokens are in the text and how often,
        /// but not where. `mqar`: any of the text's values, 1 / D. `induction` and `copying`: the token that comes most
        /// often. `passkey`: the key's digits in any order. nil for `questions`, where that is `RecallOutcome.chance`,
        /// and where nothing was asked.
        package var chance: Double?
        /// The greatest share that a model can be expected to find if all answers are beyond its reach. The tokens it
        /// sees say nothing of the others in all tasks but `mqar`: there all values are different, so that those of the
        /// pairs it sees can be left out. nil for models without such a limit, and where some of it can be seen.
        package var blindChance: Double?

        /// The share of the answers that were found; nil where nothing could be asked.
        package var share: Double? {
            guard let asked, let found, asked > 0 else { return nil }
            return Double(found) / Double(asked)
        }

        /// Answers to questions of one length, and of one distance or depth where they are given.
        package init(
            length: Int, distance: Int? = nil, depth: Double? = nil, asked: Int?, found: Int?, chance: Double? = nil,
            blindChance: Double? = nil
        ) {
            (self.length, self.distance, self.depth) = (length, distance, depth)
            (self.asked, self.found, self.chance, self.blindChance) = (asked, found, chance, blindChance)
        }

        enum CodingKeys: String, CodingKey {
            case length, distance, depth, asked, found, chance
            case blindChance = "blind_chance"
        }
    }

    /// Creates the outcome of one model and task.
    package init(
        task: RecallTaskName, model: String, parameters: Int, steps: Int, seconds: Double, trainingLength: Int,
        chance: Double, reach: Int?, accuracies: [Accuracy], fault: String? = nil
    ) {
        (self.task, self.model, self.parameters) = (task, model, parameters)
        (self.steps, self.seconds, self.trainingLength) = (steps, seconds, trainingLength)
        (self.chance, self.reach, self.accuracies, self.fault) = (chance, reach, accuracies, fault)
    }

    enum CodingKeys: String, CodingKey {
        case task, model, parameters, steps, seconds, chance, reach, accuracies, fault
        case trainingLength = "training_length"
        case withoutStates = "without_states"
    }
}

/// The tasks of recall, by the names that `--recall` takes.
package enum RecallTaskName: String, Codable, CaseIterable, Sendable {
    /// Multi-query associative recall (Arora et al., 2312.04927).
    case mqar
    /// Induction heads (Olsson et al., 2209.11895; the task of Gu and Dao, 2312.00752, section 4.1.2).
    case induction
    /// Selective copying (2312.00752, section 4.1.1).
    case copying
    /// Passkey retrieval (Mohtashami and Jaggi, 2305.16300).
    case passkey
    /// The questions of the built-in corpus.
    case questions
    /// A fact that is told once and asked for over a distance.
    case distance
    /// Four facts, each under a key of its own, asked for over a distance.
    case facts

    /// The task's name for people.
    package var title: String {
        switch self {
        case .mqar: "Multi-query associative recall"
        case .induction: "Induction heads"
        case .copying: "Selective copying"
        case .passkey: "Passkey retrieval"
        case .questions: "Questions of the built-in corpus"
        case .distance: "A fact over a distance"
        case .facts: "Four facts over a distance"
        }
    }

    /// True for tasks whose questions come over known distances, with a control where states can be forgotten.
    var isOverDistances: Bool { self == .distance || self == .facts }
}
