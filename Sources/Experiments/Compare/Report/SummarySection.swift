import AttentionZooReports

// The head of the report: what was compared, and every model in one row.

extension ComparisonReport {
    /// An introduction that says what was compared, in two or three sentences.
    var introduction: String {
        guard !models.isEmpty else { return "No cell is finished yet." }
        let names = enumeration(models.map(\.name))
        let parts = [
            results.text.isEmpty ? nil : "how well they learn a text",
            results.recall.isEmpty ? nil : "what they find again of what they have read",
            (results.published ?? []).isEmpty ? nil : "how they recall at published settings",
            results.scale.isEmpty ? nil : "what they cost as sequences grow",
        ].compactMap { $0 }
        return "\(names): \(enumeration(parts))." + (matching.isEmpty ? "" : " " + matching)
    }

    /// A sentence on how well the numbers of parameters agree.
    private var matching: String {
        // Some models have more parameters the longer the sequence is; widths are matched at the shortest.
        let scale = scaleNumbers.lengths.first.map { shortest in results.scale.filter { $0.length == shortest } } ?? []
        let counts: [Int] = results.text.map(\.parameters) + scale.map(\.parameters)
        let wanted = Double(results.options.parameters)
        let recall = results.recall.map(\.parameters)
        let own = recall.min().flatMap { least in
            recall.max().map { "Those of recall have \(Numbers.text(least)) to \(Numbers.text($0)) parameters." }
        }
        let all = counts.map { abs(Double($0) / wanted - 1) }.max().map { off in
            let shortest = scaleNumbers.lengths.count > 1 ? scaleNumbers.lengths.first : nil
            return "All have \(Numbers.text(results.options.parameters)) parameters, give or take "
                + "\(Numbers.text(off * 100, decimals: 1))%"
                + (shortest.map { " (those that grow with the longest sequence: for \(Numbers.text($0)) tokens)" } ?? "")
                + "."
        }
        return [all, own].compactMap { $0 }.joined(separator: " ")
    }

    var summarySection: ReportSection? {
        // Recall has a table of its own: a single one would be wider than a page.
        let tables = [textSummary + scaleSummary, recallSummary("recall: ")].map { ModelTable(models, $0) }
            .filter { !$0.columns.isEmpty }
        guard !tables.isEmpty else { return nil }
        return ReportSection(
            title: "Summary", pieces: tables.map { .table($0.table()) } + [.paragraph(summaryNote)])
    }

    private var summaryNote: String {
        var notes = ["Bold: the best of a column\(tasks.isEmpty ? "" : ", of recall where it is more than a guess")."]
        if !results.text.isEmpty {
            notes.append(
                "Bits per byte: the best validation. Memory: the most that tensors held at once, with parameters and "
                    + "optimizer.")
        }
        if !tasks.isEmpty {
            notes.append(
                "Recall: the share of answers that were found, in sequences as long as the longest of the training.")
        }
        if !results.scale.isEmpty {
            notes.append(
                "Longest sequence: that a pass with gradients reads within \(budget), ≥ where no longer one was tried; k is "
                    + "1,024 tokens."
                    + (stateLength.map {
                        " State: what a model keeps to go on with a text of \(ComparisonText.length($0)) tokens."
                    } ?? ""))
        }
        return notes.joined(separator: " ")
    }

    // MARK: Columns

    /// The columns of the text task.
    var textSummary: [ModelTable.Column] {
        let texts = texts
        let bits = texts.map { text in
            ModelTable.Column(
                texts.count == 1 ? "bits per byte" : "bits per byte, \(text.title)", best: .least, ComparisonText.bits,
                value: text.best)
        }
        return bits + costs(of: texts)
    }

    /// Returns the columns of what training on texts and generating takes.
    func costs(of texts: [TextNumbers]) -> [ModelTable.Column] {
        [
            .init("training tokens/s", best: .greatest, ComparisonText.speed) { Self.trainingSpeed($0, texts) },
            .init("training memory", best: .least, ComparisonText.megabytes) { Self.trainingMemory($0, texts) },
            .init("generated tokens/s", best: .greatest, ComparisonText.speed) { model in
                Self.mean(texts.compactMap { $0[model]?.generationTokensPerSecond })
            },
        ]
    }

    /// Tokens in a second: the mean over the texts.
    static func trainingSpeed(_ model: ComparedModel, _ texts: [TextNumbers]) -> Double? {
        mean(texts.compactMap { $0[model]?.tokensPerSecond })
    }

    /// In MB: the mean over the texts.
    static func trainingMemory(_ model: ComparedModel, _ texts: [TextNumbers]) -> Double? {
        mean(texts.compactMap { $0[model]?.peakMegabytes })
    }

    private static func mean(_ values: [Double]) -> Double? {
        let values = values.filter(\.isFinite)
        return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }

    /// A column for each task of recall.
    /// - Parameter prefix: of the heads.
    func recallSummary(_ prefix: String = "") -> [ModelTable.Column] {
        tasks.map { task in
            let chance = task.judgedLength.flatMap { task.chance(length: $0) }
            return .init(
                prefix + task.task.shortTitle, best: .greatest, ComparisonText.share,
                value: { task.answers($0)?.share },
                deserves: { task.answers($0).map { task.areAboveGuess($0, chance: chance) } ?? false })
        }
    }

    private var scaleSummary: [ModelTable.Column] {
        let scale = scaleNumbers
        var columns = [longestColumn("longest sequence")]
        if let length = stateLength {
            columns.append(
                .init("state at \(ComparisonText.length(length))", best: .least, ComparisonText.megabytes) {
                    scale.value(.state, $0, length)
                })
        }
        return columns
    }

    /// The longest sequence that a model was trained on; marked where no longer one was tried.
    func longestColumn(_ head: String) -> ModelTable.Column {
        let scale = scaleNumbers
        return .init(
            head, best: .greatest,
            text: { model, length in (scale.stop(model) == nil ? "≥ " : "") + ComparisonText.length(length) },
            value: { scale.longest($0).map(Double.init) })
    }

    /// The longest sequence after which the state of every model that has one is known.
    private var stateLength: Int? { scaleNumbers.common(.state, models).last }

    /// The budget of one pass, in words.
    var budget: String {
        let options = results.options.scale
        return Numbers.round(Numbers.seconds(options.budgetSeconds)) + " and "
            + Numbers.round(ComparisonText.megabytes(options.budgetMegabytes))
    }
}

extension RecallTaskName {
    /// For the head of a column.
    var shortTitle: String {
        switch self {
        case .mqar: "MQAR"
        case .induction: "induction"
        case .copying: "copying"
        case .passkey: "passkey"
        case .questions: "questions"
        case .distance: "distance"
        case .facts: "facts"
        }
    }
}
