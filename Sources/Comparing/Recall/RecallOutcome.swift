/// How much one model finds again of what it has read, after training on one task.
public struct RecallOutcome: Codable, Sendable, Equatable {
    public var task: RecallTaskName
    /// The architecture's id.
    public var model: String
    public var parameters: Int
    /// Of the training.
    public var steps: Int
    public var seconds: Double
    /// Tokens in a sequence of the training.
    public var trainingLength: Int
    /// The share that a guess among all possible answers finds.
    public var chance: Double
    /// How far back, in tokens, the model can see at all, whatever it learns; nil for as far as there is text.
    public var reach: Int?
    /// What was asked after the training: by length, and by depth where the task has one; then of sequences as long as the
    /// training's, the same questions once more by distance. Of the corpus's questions by distance alone.
    public var accuracies: [Accuracy]
    /// Where the training ended before its time because numbers were no longer finite: what was asked then is of the step
    /// before.
    public var fault: String?

    /// The answers to questions of one kind.
    public struct Accuracy: Codable, Sendable, Equatable {
        /// Tokens in the sequences; of the corpus's questions, in the windows.
        public var length: Int
        /// How many tokens before the question its answer stands, at most, and farther than the bound before; nil for
        /// questions of all distances.
        public var distance: Int?
        /// Where in the sequence the answer stands, 0 for its beginning to 1 for its end; of `passkey` alone.
        public var depth: Double?
        /// nil where the model cannot read so long a sequence.
        public var asked: Int?
        public var found: Int?

        /// nil where nothing could be asked.
        public var share: Double? {
            guard let asked, let found, asked > 0 else { return nil }
            return Double(found) / Double(asked)
        }

        public init(length: Int, distance: Int? = nil, depth: Double? = nil, asked: Int?, found: Int?) {
            (self.length, self.distance, self.depth) = (length, distance, depth)
            (self.asked, self.found) = (asked, found)
        }
    }

    public init(
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
    }
}

/// The tasks of recall, by the names that `--recall` takes.
public enum RecallTaskName: String, Codable, CaseIterable, Sendable {
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

    public var title: String {
        switch self {
        case .mqar: "Multi-query associative recall"
        case .induction: "Induction heads"
        case .copying: "Selective copying"
        case .passkey: "Passkey retrieval"
        case .questions: "Questions of the built-in corpus"
        }
    }
}
