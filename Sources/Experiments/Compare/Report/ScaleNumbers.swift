/// The numbers from the outcomes of `--task scale`, by model and length.
struct ScaleNumbers {
    private struct Key: Hashable {
        let model: String
        let length: Int
    }

    private let outcomes: [Key: ScaleOutcome]
    /// All, ascending.
    let lengths: [Int]

    init(_ outcomes: [ScaleOutcome]) {
        self.outcomes = Dictionary(
            outcomes.map { (Key(model: $0.model, length: $0.length), $0) }, uniquingKeysWith: { $1 })
        lengths = Set(outcomes.map(\.length)).sorted()
    }

    /// The measures of a model at a length.
    enum Measure: CaseIterable {
        /// Seconds of one token: of the pass over all of them, divided by their number.
        case forward, backward, training
        /// Seconds of one token generated after all of them.
        case generation
        /// In MB.
        case peak, state

        func of(_ outcome: ScaleOutcome) -> Double? {
            let value: Double? =
                switch self {
                case .forward: outcome.forwardSeconds.map { $0 / Double(outcome.length) }
                case .backward: outcome.backwardSeconds.map { $0 / Double(outcome.length) }
                case .training: outcome.trainingSeconds.map { $0 / Double(outcome.length) }
                case .generation: outcome.generationSeconds
                case .peak: outcome.peakMegabytes
                case .state: outcome.stateMegabytes
                }
            return value.flatMap { $0.isFinite ? $0 : nil }
        }
    }

    func outcome(_ model: ComparedModel, _ length: Int) -> ScaleOutcome? {
        outcomes[Key(model: model.id, length: length)]
    }

    func value(_ measure: Measure, _ model: ComparedModel, _ length: Int) -> Double? {
        outcome(model, length).flatMap(measure.of)
    }

    /// The lengths at which a model has a measure, ascending.
    func lengths(_ measure: Measure, _ model: ComparedModel) -> [Int] {
        lengths.filter { value(measure, model, $0) != nil }
    }

    /// The longest sequence that a model was trained on within the budgets; one that was measured and found to be
    /// beyond them does not count.
    func longest(_ model: ComparedModel) -> Int? {
        lengths(.training, model).last { outcome(model, $0)?.skipped == nil }
    }

    /// The shortest sequence that was not run, or took more than the budgets, and why.
    func stop(_ model: ComparedModel) -> (length: Int, reason: String)? {
        lengths.lazy.compactMap { length in outcome(model, length)?.skipped.map { (length, $0) } }.first
    }

    /// The lengths at which all that have the measure at all have it, of two models and more; ascending.
    func common(_ measure: Measure, _ models: [ComparedModel]) -> [Int] {
        let models = models.filter { !lengths(measure, $0).isEmpty }
        guard models.count > 1 else { return [] }
        return lengths.filter { length in models.allSatisfy { value(measure, $0, length) != nil } }
    }

    /// The longest sequence that two models were both trained on.
    func longestOfBoth(_ one: ComparedModel, _ other: ComparedModel) -> Int? {
        lengths.last { value(.training, one, $0) != nil && value(.training, other, $0) != nil }
    }
}
