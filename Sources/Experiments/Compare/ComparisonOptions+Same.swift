// The comparison of options with those of earlier measurements, beside which new ones are to stand.

extension ComparisonOptions {
    /// The options that differ in what the tasks use, by their names on the command line.
    /// - Parameters:
    ///   - tasks: those that are to be measured with `other`.
    ///   - measured: those that were with these options.
    func differences(from other: ComparisonOptions, in tasks: Set<ComparisonTask>, measured: Set<ComparisonTask>)
        -> [(name: String, there: String, here: String)]
    {
        let same = zip(named(tasks, measured), other.named(tasks, measured))
        return same.filter { $0.value != $1.value }.map { ($0.name, $0.value, $1.value) }
    }

    /// Takes what the tasks use from others.
    mutating func take(_ other: ComparisonOptions, of tasks: Set<ComparisonTask>) {
        if !tasks.isDisjoint(with: Self.sized) { parameters = other.parameters }
        if tasks.contains(.text) { text = other.text }
        if tasks.contains(.recall) { recall = other.recall }
        if tasks.contains(.scale) { scale = other.scale }
        if tasks.contains(.published) { published = other.published }
    }

    /// The tasks whose models have so many parameters.
    static let sized: Set<ComparisonTask> = [.text, .scale]

    /// Names the options that have to stay the same. The longest sequence need not: a longer one adds to those that are
    /// finished.
    private func named(_ tasks: Set<ComparisonTask>, _ measured: Set<ComparisonTask>)
        -> [(name: String, value: String)]
    {
        func said(_ value: (some Any)?) -> String { value.map { "\($0)" } ?? "not given" }
        var all = [("--seed", "\(seed)"), ("--set", said(settings))]
        if !tasks.isDisjoint(with: Self.sized), !measured.isDisjoint(with: Self.sized) {
            all.append(("--parameters", "\(parameters)"))
        }
        let both = tasks.intersection(measured)
        if both.contains(.text) {
            all += [
                ("--minutes", said(text.minutes)), ("--steps", said(text.steps)),
                ("--sequence-length", "\(text.sequenceLength)"), ("--batch-size", "\(text.batchSize)"),
                ("--learning-rate", "\(text.learningRate)"), ("--order", text.order.rawValue),
                ("--validate-every", "\(text.validateEvery)"),
            ]
        }
        if both.contains(.recall) {
            all += [
                ("--minutes", said(recall.minutes)), ("--steps", said(recall.steps)),
                ("--learning-rate", "\(recall.learningRate)"),
            ]
        }
        if both.contains(.scale) {
            all += [
                ("--budget-seconds", "\(scale.budgetSeconds)"),
                ("--budget-gigabytes", "\(scale.budgetMegabytes / 1024)"),
            ]
        }
        if both.contains(.published), let published {
            all += [("--epochs", "\(published.epochs)"), ("--examples", "\(published.examples)")]
        }
        return all
    }
}
