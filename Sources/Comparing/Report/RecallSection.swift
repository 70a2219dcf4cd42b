import Foundation
import Plotting

// What the models find again: a section for each task.

extension ComparisonReport {
    var recallSections: [ReportSection] {
        tasks.map { task in
            let compared = models.filter { task[$0] != nil }
            return ReportSection(
                title: "Recall: \(task.task.title)",
                pieces: [.paragraph(explanation(task))] + RecallPieces(task: task, models: compared).all)
        }
    }

    private func explanation(_ task: RecallNumbers) -> String {
        var sentences = [task.task.explanation]
        if let length = task.trainingLength {
            sentences.append("Trained in sequences of up to \(Numbers.text(length)) tokens.")
        }
        if let chance = task.chance { sentences.append("A guess finds \(ComparisonText.share(chance)).") }
        return sentences.joined(separator: " ")
    }
}

extension RecallTaskName {
    /// What is asked.
    fileprivate var explanation: String {
        switch self {
        case .mqar:
            "Pairs of a key and a value are read; when a key comes again, its value has to be foreseen (Zoology, "
                + "2312.04927)."
        case .induction:
            "A special token is followed by another one; when it comes again, the same one has to follow (2312.00752, "
                + "section 4.1.2)."
        case .copying:
            "Tokens scattered over noise have to be repeated in their order (2312.00752, section 4.1.1)."
        case .passkey:
            "A number stands somewhere in a text that repeats itself, and is asked for at the end (2305.16300)."
        case .questions:
            "Questions about people and things that the text of the built-in corpus has told of."
        }
    }
}

/// The plots and tables of one task.
private struct RecallPieces {
    let task: RecallNumbers
    let models: [ComparedModel]

    var all: [ReportPiece] {
        let byLength = task.lengths.count > 1 || task.distances.isEmpty
        return (byLength ? lengthPieces : []) + (hasDistances ? distancePieces : []) + depthPieces + control
            + [training]
    }

    /// How far each has come in its training.
    private var training: ReportPiece {
        let outcomes = models.compactMap { model in task[model].map { (model.name, $0) } }
        let steps = outcomes.map { "\($0) \(Numbers.text($1.steps))" }
        let faults = outcomes.compactMap { name, outcome in
            outcome.fault.map { " \(name) did not come to the end: \($0)." }
        }
        return .paragraph("Steps of training: \(steps.joined(separator: "; "))." + faults.joined())
    }

    /// What stands at a depth is at a distance too, which says nothing more.
    private var hasDistances: Bool { task.distances.count > 1 && task.depths.count < 2 }

    // MARK: By length and distance

    private var lengthPieces: [ReportPiece] {
        let values = models.map { model in task.lengths.map { task.answers(model, length: $0)?.share } }
        let marks = task.trainingLength.map { [ReferenceLine(Double($0), "longest trained on")] } ?? []
        return pieces(
            "Found by length", name: "recall-\(task.task.rawValue)", axis: "tokens in a sequence", task.lengths,
            values, marks: task.lengths.count > 1 ? marks : [])
    }

    private var distancePieces: [ReportPiece] {
        let values = models.map { model in task.distances.map { task.answers(model, distance: $0)?.share } }
        let marks = models.compactMap { model in
            task[model]?.reach.map { ReferenceLine(Double($0), "as far as \(model.name) sees") }
        }
        let length =
            task.isJudgedByDistance ? task.judgedLength.map { ", in \(ComparisonText.length($0)) tokens" } : nil
        return pieces(
            "Found by distance" + (length ?? ""), name: "recall-\(task.task.rawValue)-by-distance",
            axis: "tokens between question and answer, at most", task.distances, values, marks: marks)
    }

    /// A plot, where there are several places, and a table.
    private func pieces(
        _ title: String, name: String, axis: String, _ places: [Int], _ values: [[Double?]], marks: [ReferenceLine]
    ) -> [ReportPiece] {
        let series = zip(models, values).map { model, values in
            model.series(zip(places, values).compactMap { place, value in value.map { (Double(place), $0) } })
        }
        let plot = LinePlot(
            title, x: Axis(axis, scale: .logarithmic, format: .binary),
            y: Axis("found", range: -0.02...1.02, format: .percent), series: series,
            references: task.chance.map { [ReferenceLine($0, "a guess")] } ?? [], marks: marks, height: 300)
        let columns = places.indices.map { index in
            let byModel = Dictionary(uniqueKeysWithValues: zip(models.map(\.id), values.map { $0[index] }))
            return ModelTable.Column(
                ComparisonText.length(places[index]), best: .greatest, ComparisonText.share,
                value: { byModel[$0.id] ?? nil })
        }
        let table = ModelTable(models, columns).table(head: axis)
        return (places.count > 1 ? [.plot(NamedPlot(name: name, plot: plot))] : [.heading(title)]) + [.table(table)]
    }

    // MARK: By depth

    private var depthPieces: [ReportPiece] {
        let (depths, lengths) = (task.depths, task.lengths)
        guard depths.count > 1 else { return [] }
        func share(_ model: ComparedModel, _ length: Int, _ depth: Double) -> Double? {
            task.answers(model, length: length, depth: depth)?.share
        }
        let maps = models.map { model in
            HeatmapPlot(
                model.name, rows: depths.map(Self.depthName), columns: lengths.map { ComparisonText.length($0) },
                values: depths.map { depth in lengths.map { share(model, $0, depth) ?? .nan } }, range: 0...1,
                colours: .blues,
                valueText: { $0.isFinite ? Numbers.text($0 * 100) + "%" : "–" })
        }
        let cells = models.map { model in
            [model.name]
                + lengths.map { length in
                    let shares = depths.map { share(model, length, $0) }
                    if shares.allSatisfy({ $0 == nil }) { return "–" }
                    return shares.map { $0.map { Numbers.text($0 * 100) } ?? "–" }.joined(separator: " / ")
                }
        }
        let names = depths.map { Numbers.text($0 * 100) }.joined(separator: " / ")
        let table = Table(
            head: ["found (%) of what stands after \(names)% of the text"] + lengths.map { ComparisonText.length($0) },
            rows: cells, numeric: Set(1..<lengths.count + 1))
        return [
            .heading("Found by length and by where in the sequence it stands"), .heatmaps(maps, table),
        ]
    }

    private static func depthName(_ depth: Double) -> String {
        switch depth {
        case 0: "beginning"
        case 1: "end"
        default: "\(Numbers.text(depth * 100))%"
        }
    }

    // MARK: Control

    /// How many standard errors above a guess a share may be and still be one.
    private static let errors = 3.0

    /// Models that cannot see farther back than so many tokens must not find more there than a guess does.
    private var control: [ReportPiece] {
        models.compactMap { model in
            guard let reach = task[model]?.reach, let chance = task.chance,
                let answers = task.allAnswers(model, beyond: reach)
            else { return nil }
            let error = (chance * (1 - chance) / Double(answers.asked)).squareRoot()
            let holds = answers.share <= chance + Self.errors * error
            return .paragraph(
                "Control: \(model.name) sees no farther back than \(Numbers.text(reach)) tokens. Of what stands "
                    + "farther back it found \(ComparisonText.share(answers.share)) (\(Numbers.text(answers.found)) of "
                    + "\(Numbers.text(answers.asked)) answers), a guess finds \(ComparisonText.share(chance)): "
                    + (holds ? "the control holds." : "the control does not hold."))
        }
    }
}
