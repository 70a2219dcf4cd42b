import AttentionZooReports
import Trainer

// The models and the options of the comparison.

extension ComparisonReport {
    var setUpSection: ReportSection? {
        let table = modelsTable
        return ReportSection(
            title: "Models and options",
            pieces: (table.rows.isEmpty ? [] : [.table(table), .heading("Options")]) + [.table(Table(rows: optionRows))]
        )
    }

    private var modelsTable: Table {
        let (texts, scale, recall) = (texts, scaleNumbers, results.recall)
        func count(_ value: Double) -> String { Numbers.text(value) }
        let tasks = tasks.map(\.task)
        let table = ModelTable(
            models,
            [
                .init("width", count) { model in texts.lazy.compactMap { $0[model] }.first.map { Double($0.width) } },
                .init("parameters", count) { model in
                    texts.lazy.compactMap { $0[model] }.first.map { Double($0.parameters) }
                },
            ]
                + tasks.map { task in
                    .init("parameters, \(task.shortTitle)", count) { model in
                        recall.last { $0.task == task && $0.model == model.id }.map { Double($0.parameters) }
                    }
                }
                + [scale.lengths.first, scale.lengths.last].compactMap { $0 }.map { length in
                    .init("parameters at \(ComparisonText.length(length))", count) {
                        scale.outcome($0, length).map { Double($0.parameters) }
                    }
                })
        return table.table()
    }

    private var optionRows: [[String]] {
        let options = results.options
        func length(_ minutes: Double?, _ steps: Int?) -> String {
            if let steps { return "\(Numbers.text(steps)) steps" }
            return minutes.map { ReportText.duration($0 * 60) } ?? "–"
        }
        var rows = [
            ["parameters", Numbers.text(options.parameters)], ["seed", "\(options.seed)"],
        ]
        if let settings = options.settings { rows.append(["changed in the configurations", settings.description]) }
        if !results.text.isEmpty {
            rows += [
                ["texts", texts.map(\.title).joined(separator: ", ")],
                [
                    "text: training of each model",
                    length(options.text.minutes, options.text.steps)
                        + (options.text.steps == nil ? ", validations included" : ""),
                ],
                [
                    "text: batches",
                    "\(options.text.batchSize) windows of \(Numbers.text(options.text.sequenceLength)) tokens",
                ],
                ["text: order of the windows", options.text.order.rawValue],
                ["text: learning rate", "\(options.text.learningRate)"],
                ["text: validation", "every \(Numbers.text(options.text.validateEvery)) steps"],
            ]
        }
        if !results.recall.isEmpty {
            rows += [
                ["recall: training of each model", length(options.recall.minutes, options.recall.steps)],
                ["recall: learning rate", "\(options.recall.learningRate)"],
            ]
        }
        if let published = results.options.published {
            rows += [
                ["published: epochs at most", Numbers.text(published.epochs)],
                ["published: examples", Numbers.text(published.examples)],
            ]
        }
        if !results.scale.isEmpty {
            rows += [
                ["scale: longest sequence", Numbers.text(scaleNumbers.lengths.last ?? 0) + " tokens"],
                ["scale: budget of a pass", budget],
            ]
        }
        return rows
    }
}
