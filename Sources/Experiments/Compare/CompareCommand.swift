import Foundation
import ModelZoo

/// `Compare`: the options as they are given, lists with commas. Options that are nil were not given.
package struct CompareCommand: Sendable {
    /// text, recall, scale, or all: several with commas.
    package var task = "all"
    /// Ids of the zoo, or all.
    package var models = "all"
    /// Files, each a text of its own; `corpus` for the built-in one, which is taken where there is none.
    package var data: [String] = []
    /// Tasks of recall, or all.
    package var recall = "all"
    /// The minutes of training for each model on each text or task.
    package var minutes: Double?
    /// Instead of minutes.
    package var steps: Int?
    /// The number of parameters of each model of text and scale.
    package var parameters: Int?
    /// Tokens in a window of text.
    package var sequenceLength: Int?
    /// Windows in a batch of text.
    package var batchSize: Int?
    /// The learning rate of Adam.
    package var learningRate: Double?
    /// Steps between two validations on a text.
    package var validateEvery: Int?
    /// random or sequential.
    package var order: String?
    /// The longest sequence of scale.
    package var longest: Int?
    /// The seconds that a pass of scale may take.
    package var budgetSeconds: Double?
    /// The memory that a pass of scale may take, in units of 2³⁰ bytes.
    package var budgetGigabytes: Double?
    /// Keys of the models' configurations to change, `KEY=VALUE` each.
    package var settings: [String] = []
    /// The seed of parameters, windows, and tasks.
    package var seed: UInt64?
    /// All processors where it is nil.
    package var threads: Int?
    /// Recall at the settings of Zoology's figure 2, instead of the small ones.
    package var published = false
    /// Lengths, widths and learning rates of `published`, with commas; nil for those of the paper.
    package var lengths: String?, widths: String?, rates: String?
    /// Passes of `published` over its examples at most, and examples of the training.
    package var epochs: Int?, examples: Int?
    /// The folder of the results.
    package var out = "comparison"

    /// The command without options.
    package init() {}

    /// Measures what is not finished yet.
    /// - Parameters:
    ///   - report: called with each step of the progress.
    ///   - prepared: called when nothing is wrong with the options, the texts and the folder.
    ///   - stop: asked often.
    /// - Returns: all that is finished in the folder, and whether that is all that was asked for.
    /// - Throws: `InputError` or `TrainingFault`, in one line.
    package func run(
        report: (ComparisonRun.Event) -> Void = { _ in }, prepared: () -> Void = {}, stop: () -> Bool = { false }
    ) throws -> (results: ComparisonResults, isComplete: Bool) {
        try useThreads(threads)
        let tasks = try chosenTasks()
        let options = try options(tasks)
        let texts = try tasks.contains(.text) ? texts(options.text.sequenceLength) : []
        var run = try ComparisonRun(cells(tasks, texts, options), texts: texts, options, folder: out)
        prepared()
        let isComplete = try run.run(report: report, stop: stop)
        return (run.results, isComplete)
    }

    // MARK: What the options say

    /// - Throws: `InputError` that names the option and what was expected.
    func options(_ tasks: [ComparisonTask]) throws -> ComparisonOptions {
        try check()
        try checkPublished(tasks)
        try refuseForeign(Set(tasks))
        if minutes != nil, steps != nil {
            throw InputError("--minutes: cannot be combined with --steps; expected one of the two")
        }
        var options = ComparisonOptions()
        if let parameters { options.parameters = parameters }
        if let seed { options.seed = seed }
        if let minutes { (options.text.minutes, options.recall.minutes) = (minutes, minutes) }
        if let steps {
            (options.text.minutes, options.text.steps) = (nil, steps)
            (options.recall.minutes, options.recall.steps) = (nil, steps)
        }
        if let sequenceLength { options.text.sequenceLength = sequenceLength }
        if let batchSize { options.text.batchSize = batchSize }
        if let learningRate { (options.text.learningRate, options.recall.learningRate) = (learningRate, learningRate) }
        if let validateEvery { options.text.validateEvery = validateEvery }
        if let order { options.text.order = try option("--order", order) }
        if let longest { options.scale.longest = longest }
        if let budgetSeconds { options.scale.budgetSeconds = budgetSeconds }
        if let budgetGigabytes { options.scale.budgetMegabytes = budgetGigabytes * 1024 }
        if tasks.contains(.published) { options.published = publishedOptions }
        if !settings.isEmpty { options.settings = try ModelSettings(settings) }
        return options
    }

    /// Options that no task takes that was asked for.
    private func refuseForeign(_ tasks: Set<ComparisonTask>) throws {
        func expect(_ takers: Set<ComparisonTask>, _ given: [(String, Bool)]) throws {
            guard tasks.isDisjoint(with: takers) else { return }
            // `published` is chosen by an option of its own.
            let names = ComparisonTask.allCases.filter(takers.contains).map { "--task \($0.rawValue)" }.sorted()
                .joined(separator: " or ")
            try refuse(given, "expected only with \(names)")
        }
        try expect(
            [.text],
            [
                ("--data", !data.isEmpty), ("--order", order != nil), ("--sequence-length", sequenceLength != nil),
                ("--batch-size", batchSize != nil), ("--validate-every", validateEvery != nil),
            ])
        try expect([.recall, .published], [("--recall", recall != "all")])
        try expect(
            [.scale],
            [
                ("--longest", longest != nil), ("--budget-seconds", budgetSeconds != nil),
                ("--budget-gigabytes", budgetGigabytes != nil),
            ])
        try expect(
            [.text, .recall],
            [("--minutes", minutes != nil), ("--steps", steps != nil), ("--learning-rate", learningRate != nil)])
        try expect(ComparisonOptions.sized, [("--parameters", parameters != nil)])
    }

    private func check() throws {
        func expect(_ name: String, _ value: (some Any)?, isValid: Bool, expected: String) throws {
            if let value, !isValid { throw InputError("\(name): expected \(expected), found \(value)") }
        }
        func whole(_ name: String, _ value: Int?, from least: Int = 1, to most: Int? = nil) throws {
            let expected = most.map { "a whole number from \(least) to \($0)" } ?? "a whole number of at least \(least)"
            try expect(name, value, isValid: (least...(most ?? .max)).contains(value ?? least), expected: expected)
        }
        func atMost(_ most: Int, _ name: String, _ value: Int?) throws {
            let bound = value ?? 1 < 1 ? "at least 1" : "at most \(most)"
            try expect(name, value, isValid: (1...most).contains(value ?? 1), expected: "a whole number of \(bound)")
        }
        func positive(_ name: String, _ value: Double?) throws {
            try expect(
                name, value, isValid: value ?? 1 > 0 && value?.isFinite ?? true, expected: "a number above 0")
        }
        try atMost(TrainingOptions.mostSteps, "--steps", steps)
        try atMost(1 << 40, "--parameters", parameters)
        try whole("--sequence-length", sequenceLength, from: TextOptions.leastSequenceLength, to: 1 << 20)
        try atMost(1 << 20, "--batch-size", batchSize)
        try atMost(TrainingOptions.mostSteps, "--validate-every", validateEvery)
        try whole("--longest", longest, from: ScaleOptions.shortest, to: 1 << 24)
        try positive("--minutes", minutes)
        try positive("--learning-rate", learningRate)
        try positive("--budget-seconds", budgetSeconds)
        try positive("--budget-gigabytes", budgetGigabytes)
    }

    private func texts(_ sequenceLength: Int) throws -> [ComparedText] {
        let texts = try (data.isEmpty ? [ComparedText.corpus] : data).map {
            try ComparedText($0, sequenceLength: sequenceLength)
        }
        for (index, text) in texts.enumerated() where texts[..<index].contains(where: { $0.name == text.name }) {
            throw InputError("--data: two texts are named \(text.name); expected files of different names")
        }
        return texts
    }

    /// Text by text and task by task, so that models are compared soon; lengths in ascending order, as whether a length is
    /// within the budget is told by those before.
    func cells(_ tasks: [ComparisonTask], _ texts: [ComparedText], _ options: ComparisonOptions) throws
        -> [ComparisonCell]
    {
        let models = try modelIDs()
        let settings = options.settings ?? .init()
        try settings.check(models)
        // Early, so that a plan of hours does not end with this.
        for (task, size) in [(ComparisonTask.text, options.size), (.scale, ScaleOptions.size)] {
            for model in models where tasks.contains(task) {
                do {
                    _ = try settings.architecture(model).fitting(size, parameters: options.parameters)
                } catch let error as OptionError {
                    throw InputError("--\(error)")  // the only parameter is called like the option
                }
            }
        }
        return try tasks.flatMap { task -> [ComparisonCell] in
            switch task {
            case .text: return texts.flatMap { text in models.map { .text(text.name, model: $0) } }
            case .recall:
                let names: [RecallTaskName] = try Self.words("--recall", recall)
                return names.flatMap { name in models.map { .recall(name, model: $0) } }
            case .published: return try publishedCells(models, settings: settings).map { .published($0) }
            case .scale:
                // The naive form of the baseline goes with it.
                let forms = models + (models.contains("transformer") ? [ScaleCell.naive] : [])
                return options.scale.lengths.flatMap { length in forms.map { .scale(model: $0, length: length) } }
            }
        }
    }

    private func modelIDs() throws -> [String] {
        if models == "all" { return Zoo.identifiers }
        return try Self.parts(models).map { try Zoo.architecture($0).id }
    }

    /// The words of a list, or all there are; each once.
    static func words<Word: RawRepresentable<String> & CaseIterable & Hashable>(
        _ name: String, _ text: String
    ) throws -> [Word] {
        if text == "all" { return Array(Word.allCases) }
        return try parts(text).map { part in
            if let word = Word.allCases.first(where: { $0.rawValue == part }) { return word }
            let known = (Word.allCases.map(\.rawValue) + ["all"]).joined(separator: ", ")
            throw InputError("\(name): expected some of \(known), found \(JSONValue.quoted(part))")
        }
    }

    static func parts(_ text: String) -> [String] {
        var seen = Set<String>()
        return text.split(separator: ",", omittingEmptySubsequences: false)
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { seen.insert($0).inserted }
    }
}

extension ComparisonOptions {
    /// The size that models of text share beside the number of parameters, which gives the width.
    var size: ModelSize { ModelSize(width: 64, sequenceLength: text.sequenceLength) }
}

extension TextOptions {
    /// A prompt and what is generated after it have to fit into a window.
    static let leastSequenceLength = 128
}

extension ScaleOptions {
    static let shortest = 512

    /// The size that models of scale share beside the number of parameters, which gives the width.
    static let size = ModelSize(width: 64, sequenceLength: shortest)

    /// From 512, each twice the one before.
    var lengths: [Int] { Array(sequence(first: Self.shortest) { $0 * 2 }.prefix { $0 <= longest }) }
}
