import AttentionZooReports

// The sections on what the models find again, one for each task.

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
            sentences.append(
                "Trained in sequences of \(task.task == .questions ? "" : "mixed lengths up to ")"
                    + "\(Numbers.text(length)) tokens, "
                    + "\(ComparisonText.learningRate(results.options.recall.learningRate)).")
        }
        sentences += guess(task)
        return sentences.joined(separator: " ")
    }

    /// Describes the share found without having learned what is asked.
    private func guess(_ task: RecallNumbers) -> [String] {
        var sentences: [String] = []
        if let chance = task.guess {
            sentences.append("A guess among all possible answers finds \(ComparisonText.share(chance)).")
        }
        if let length = task.judgedLength, let who = task.task.unbound, let share = task.unboundShare(length: length) {
            sentences.append(
                "A guess that knows what the text holds, but not where (\(who)), finds \(ComparisonText.share(share)) in "
                    + "\(Numbers.text(length)) tokens; that is shown as a guess.")
        }
        return sentences
    }
}

extension RecallTaskName {
    /// An explanation of the task, and of its departures from the paper.
    fileprivate var explanation: String {
        switch self {
        case .mqar:
            "Pairs of a key and a value are read; when a key comes again, its value has to be foreseen (Zoology, "
                + "2312.04927). Smaller than the paper's: 128 tokens, half of them keys, instead of 8,192; a pair for "
                + "every 8 tokens of the sequence; what stands between the questions is random, but none of the "
                + "sequence's keys."
        case .induction:
            "A special token is followed by another one; when it comes again, at the end, the same one has to follow "
                + "(2312.00752, section 4.1.2). Unlike the paper's, a sequence of the training has the special token "
                + "up to 8 times before the end and asks each time but the first; what is reported is the paper's one "
                + "question at the end."
        case .copying:
            "Tokens scattered over noise have to be repeated in their order (2312.00752, section 4.1.1). Smaller than the "
                + "paper's: 8 tokens to repeat instead of 16, in sequences of 32 to 256 tokens instead of 4,096. A token "
                + "that comes nowhere else begins each sequence, which the paper has not: without it attention, a mean, "
                + "cannot count."
        case .passkey:
            "A number of five digits stands somewhere in a text that repeats itself, and is asked for at the end "
                + "(2305.16300), in tokens instead of words. All digits must be right; each is foreseen from the true ones "
                + "before it, not from the model's own. Unlike the paper's, models are trained on nothing else, with up to "
                + "4 questions in a sequence of 64 to 256 tokens."
        case .questions:
            "Questions about people and things that the text of the built-in corpus has told of, each asked for the first "
                + "time since, from windows of the text; the loss is at the answers alone. Each byte of an answer is foreseen from the true ones before it."
        case .distance:
            "One of 16 values is told in the first 32 tokens of a document and asked for once, behind noise, so many tokens "
                + "later. Nothing has to be told apart; it has to be kept. In training each 32 tokens have a question, which "
                + "the answer does not follow."
        case .facts:
            "Four keys, each followed by one of 8 values, are told in the first 32 tokens of a document, and one of them is "
                + "asked for, behind noise, so many tokens later. They have to be kept, and to be told apart. In training each "
                + "32 tokens have four questions, which the answers do not follow."
        }
    }

    /// The answer that such a guess names; nil where there is none.
    fileprivate var unbound: String? {
        switch self {
        case .mqar: "any of its values"
        case .induction: "the token that comes most often"
        case .copying: "the data token that comes most often, at every place"
        case .passkey: "the right digits in any order"
        case .facts: "the value that was told most often"
        case .questions, .distance: nil
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
            + withoutStates + [training]
    }

    /// The control of models that carry states: what is found once these are forgotten before each block.
    private var withoutStates: [ReportPiece] {
        models.compactMap { model in
            guard let cells = task[model]?.withoutStates, let answers = RecallNumbers.Answers(cells) else { return nil }
            let distances = cells.compactMap(\.distance).map(ComparisonText.length).joined(separator: ", ")
            return .paragraph(
                "Control: without its states, forgotten before each block, \(model.name) found "
                    + "\(ComparisonText.share(answers.share)) (\(Numbers.text(answers.found)) of "
                    + "\(Numbers.text(answers.asked)) answers) over \(distances) tokens.")
        }
    }

    /// The steps that each model has reached in its training.
    private var training: ReportPiece {
        let outcomes = models.compactMap { model in task[model].map { (model.name, $0) } }
        let steps = outcomes.map { "\($0) \(Numbers.text($1.steps))" }
        let faults = outcomes.compactMap { name, outcome in
            outcome.fault.map { " \(name) did not come to the end: \($0)." }
        }
        return .paragraph("Steps of training: \(steps.joined(separator: "; "))." + faults.joined())
    }

    /// True if the table by distance says more than others: an answer at a depth is at a distance too.
    private var hasDistances: Bool { task.distances.count > 1 && task.depths.count < 2 }

    // MARK: By length and distance

    private var lengthPieces: [ReportPiece] {
        let values = models.map { model in task.lengths.map { task.answers(model, length: $0) } }
        let chances = task.lengths.map { task.chance(length: $0) }
        let marks = task.trainingLength.map { [ReferenceLine(Double($0), "longest trained on")] } ?? []
        return pieces(
            "Found by length", name: "recall-\(task.task.rawValue)", axis: "tokens in a sequence", places: task.lengths,
            values: values, chances: chances, marks: task.lengths.count > 1 ? marks : [])
    }

    private var distancePieces: [ReportPiece] {
        let values = models.map { model in task.distances.map { task.answers(model, distance: $0) } }
        let chances = task.distances.map { task.chance(distance: $0) }
        let marks = models.compactMap { model in
            task[model]?.reach.map { ReferenceLine(Double($0), "as far as \(model.name) sees") }
        }
        let length =
            task.isJudgedByDistance ? task.judgedLength.map { ", in \(ComparisonText.length($0)) tokens" } : nil
        return pieces(
            "Found by distance" + (length ?? ""), name: "recall-\(task.task.rawValue)-by-distance",
            axis: "tokens between question and answer, at most", places: task.distances, values: values,
            chances: chances, marks: marks)
    }

    /// A plot, where there are several places, and a table.
    private func pieces(
        _ title: String, name: String, axis: String, places: [Int], values: [[RecallNumbers.Answers?]],
        chances: [Double?], marks: [ReferenceLine]
    ) -> [ReportPiece] {
        let series = zip(models, values).map { model, values in
            model.series(zip(places, values).compactMap { place, value in value.map { (Double(place), $0.share) } })
        }
        let guess = Self.guess(places, chances)
        let plot = LinePlot(
            title, x: Axis(axis, scale: .logarithmic, format: .binary),
            y: Axis("found", range: -0.02...1.02, format: .percent), series: series + guess.series,
            references: guess.references, marks: marks, height: 300)
        let columns = places.indices.map { index in
            let byModel = Dictionary(uniqueKeysWithValues: zip(models.map(\.id), values.map { $0[index] }))
            return ModelTable.Column(
                ComparisonText.length(places[index]), best: .greatest, ComparisonText.share,
                value: { byModel[$0.id]??.share },
                deserves: { byModel[$0.id]?.map { task.areAboveGuess($0, chance: chances[index]) } ?? false })
        }
        var table = ModelTable(models, columns).table(head: axis)
        // Columns without a number of any model are left out.
        let asked = places.indices.filter { index in values.contains { $0[index] != nil } }
        if !table.rows.isEmpty {
            table.rows.append([Self.guess] + asked.map { chances[$0].map(ComparisonText.share) ?? "–" })
        }
        return (places.count > 1 ? [.plot(NamedPlot(name: name, plot: plot))] : [.heading(title)]) + [.table(table)]
    }

    private static let guess = "a guess"

    /// A line across where a guess finds the same everywhere, else from place to place.
    private static func guess(
        _ places: [Int], _ chances: [Double?]
    ) -> (series: [Series], references: [ReferenceLine]) {
        let known = zip(places, chances).compactMap { place, chance in chance.map { (Double(place), $0) } }
        guard let first = known.first else { return ([], []) }
        if known.allSatisfy({ $0.1 == first.1 }) { return ([], [ReferenceLine(first.1, guess)]) }
        return ([Series(guess, x: known.map(\.0), y: known.map(\.1), color: 6, dash: 2)], [])
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
                colors: .blues,
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

    /// Models that cannot see farther back than so many tokens must not find more there than a guess does.
    private var control: [ReportPiece] {
        models.compactMap { model in
            guard let control = task.control(model) else { return nil }
            let answers = control.answers
            return .paragraph(
                "Control: \(model.name) sees no farther back than \(Numbers.text(control.reach)) tokens. Of what stands "
                    + "farther back it found \(ComparisonText.share(answers.share)) (\(Numbers.text(answers.found)) of "
                    + "\(Numbers.text(answers.asked)) answers), a guess without seeing it finds at most "
                    + "\(ComparisonText.share(control.chance)): "
                    + (control.holds ? "the control holds." : "the control does not hold."))
        }
    }
}
