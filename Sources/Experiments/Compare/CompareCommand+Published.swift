import Foundation
import ModelZoo

// The options of `--published`.

extension CompareCommand {
    /// The tasks that the options choose.
    /// - Throws: `InputError` for unknown tasks, or `--published` with others than its own.
    func chosenTasks() throws -> [ComparisonTask] {
        guard published else { return try Self.words("--task", task) }
        guard task == "recall", recall == "mqar" else {
            throw InputError("--published: expected with --task recall --recall mqar")
        }
        return [.published]
    }

    /// - Throws: `InputError` that names the option and what was expected.
    func checkPublished(_ tasks: [ComparisonTask]) throws {
        let given = [
            ("--lengths", lengths != nil), ("--widths", widths != nil), ("--rates", rates != nil),
            ("--epochs", epochs != nil), ("--examples", examples != nil),
        ]
        guard tasks.contains(.published) else { return try refuse(given, "expected only with --published") }
        try refuse(
            [("--minutes", minutes != nil), ("--steps", steps != nil), ("--learning-rate", learningRate != nil)],
            "expected no --published, whose trainings have --epochs and --rates")
        for (name, value) in [("--epochs", epochs), ("--examples", examples)] {
            let most = PublishedRecallOptions.mostExamples
            guard let value, !(1...most).contains(value) else { continue }
            throw InputError("\(name): expected a whole number from 1 to \(most), found \(value)")
        }
    }

    var publishedOptions: PublishedRecallOptions {
        var options = PublishedRecallOptions()
        if let epochs { options.epochs = epochs }
        if let examples { options.examples = examples }
        return options
    }

    /// The cells by setting, then model, then rate, so that models are compared soon.
    /// - Throws: `InputError` that names the option, or the model that cannot have a width.
    func publishedCells(_ models: [String], settings: ModelSettings) throws -> [PublishedRecallCell] {
        let known = PublishedRecallOptions.settings.keys.sorted()
        let lengths = try numbers(
            "--lengths", self.lengths, "some of \(known.map(String.init).joined(separator: ", "))",
            default: PublishedRecallOptions.lengths
        ) { known.contains($0) }
        let most = PublishedRecallOptions.mostWidth
        let widths = try numbers(
            "--widths", self.widths, "even numbers from 2 to \(most)", default: PublishedRecallOptions.widths
        ) { $0 % 2 == 0 && (2...most).contains($0) }
        let rates = try numbers("--rates", self.rates, "numbers above 0", default: PublishedRecallOptions.rates) {
            $0 > 0 && $0.isFinite
        }
        let cells = lengths.flatMap { length in
            widths.flatMap { width in
                models.flatMap { model in
                    rates.map { PublishedRecallCell(model: model, length: length, width: width, rate: $0) }
                }
            }
        }
        // Early, so that a plan of hours does not end with this.
        for cell in cells where cell.rate == rates.first { _ = try cell.makeModel(settings, key: RandomKey(seed: 0)) }
        return cells
    }

    /// The numbers of a list with commas.
    private func numbers<Number: LosslessStringConvertible>(
        _ name: String, _ text: String?, _ expected: String, default others: [Number], isValid: (Number) -> Bool
    ) throws -> [Number] {
        guard let text else { return others }
        return try Self.parts(text).map { part in
            guard let number = Number(part), isValid(number) else {
                throw InputError("\(name): expected \(expected), found \(JSONValue.quoted(part))")
            }
            return number
        }
    }
}
