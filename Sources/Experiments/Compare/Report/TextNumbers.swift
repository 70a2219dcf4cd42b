/// The numbers of one text from the outcomes of `--task text`, by model.
struct TextNumbers {
    let name: String
    private let outcomes: [String: TextOutcome]

    /// Creates the numbers; of several outcomes of a model the last counts.
    init(_ name: String, _ outcomes: [TextOutcome]) {
        self.name = name
        self.outcomes = Dictionary(
            outcomes.filter { $0.text == name }.map { ($0.model, $0) }, uniquingKeysWith: { $1 })
    }

    /// For people.
    var title: String { name == ComparedText.corpus ? "the built-in corpus" : name }

    subscript(model: ComparedModel) -> TextOutcome? { outcomes[model.id] }

    /// The course that bits per byte are shown against.
    enum Course {
        case seconds, tokens

        func of(_ validation: TextOutcome.Validation) -> Double {
            switch self {
            case .seconds: validation.seconds
            case .tokens: Double(validation.tokens)
            }
        }
    }

    /// The least of a model's validations.
    func best(_ model: ComparedModel) -> Double? { points(model, .tokens).map(\.y).min() }

    /// The validations, in order; those that are no numbers are left out.
    func points(_ model: ComparedModel, _ course: Course) -> [(x: Double, y: Double)] {
        (self[model]?.validations ?? []).map { (x: course.of($0), y: $0.bitsPerByte) }
            .filter { $0.x.isFinite && $0.y.isFinite }
    }

    /// The most that all models have reached, by their last validations; nil where fewer than two were validated. A
    /// training that ended with a fault does not hold the others back; it is named where it is not compared (`missing`).
    func common(_ course: Course) -> Double? {
        let ends = outcomes.values.filter { $0.fault == nil }.compactMap { outcome in
            outcome.validations.last { $0.bitsPerByte.isFinite }.map(course.of)
        }
        return ends.count > 1 ? ends.min() : nil
    }

    /// Bits per byte at a place of the course: on the straight line between the validations before and after it.
    /// - Returns: nil before the first validation and after the last.
    func bits(_ model: ComparedModel, _ course: Course, at place: Double) -> Double? {
        let points = points(model, course)
        guard let next = points.firstIndex(where: { $0.x >= place }) else { return nil }
        let end = points[next]
        if end.x == place { return end.y }
        guard next > 0 else { return nil }
        let start = points[next - 1]
        return start.y + (end.y - start.y) * (place - start.x) / (end.x - start.x)
    }
}
