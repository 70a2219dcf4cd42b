import AttentionZooReports

// The section on what the models cost as sequences grow.

extension ComparisonReport {
    var scaleSection: ReportSection? {
        let scale = scaleNumbers
        guard !scale.lengths.isEmpty else { return nil }
        let figures = ScaleFigure.all.filter { figure in
            models.contains { !scale.lengths(figure.measure, $0).isEmpty }
        }
        var pieces: [ReportPiece] = [.paragraph(scaleExplanation)]
        // Two in a row are as wide as tables of eleven columns are not: every measure has its plot, then its numbers.
        for figure in figures {
            pieces.append(.plot(figure.plot(scale, models)))
            pieces.append(.table(figure.table(scale, models)))
        }
        let stops = models.compactMap { model in
            scale.stop(model).map {
                (model.name + ":", "from \(ComparisonText.length($0.length)) tokens on: \($0.reason)")
            }
        }
        if !stops.isEmpty { pieces += [.heading("Where they stop"), .list(stops)] }
        if let ratios { pieces += [.heading("Against full attention"), .table(ratios), .paragraph(ratiosNote)] }
        return ReportSection(title: "Longer sequences", pieces: pieces)
    }

    private var scaleExplanation: String {
        "One sequence of random tokens, k for 1,024; both axes are logarithmic. Each model goes on until a pass "
            + "would take more than \(budget). In training all are differentiated through the whole sequence, "
            + "recurrent ones too, so that their memory grows with it."
    }

    // MARK: Ratios

    private var ratiosNote: String {
        "At the longest sequence that both were trained on. 2× is twice as fast as full attention; of memory, 0.5× is "
            + "half of it."
    }

    /// Speed and memory relative to full attention.
    private var ratios: Table? {
        let scale = scaleNumbers
        guard let full = models.first(where: { $0.id == ComparedModel.full }) else { return nil }
        let others = models.filter { $0 != full && scale.longestOfBoth($0, full) != nil }
        guard !others.isEmpty else { return nil }
        func ratio(_ measure: ScaleNumbers.Measure, _ model: ComparedModel) -> Double? {
            guard let length = scale.longestOfBoth(model, full), let own = scale.value(measure, model, length),
                let base = scale.value(measure, full, length)
            else { return nil }
            return measure == .peak ? own / base : base / own
        }
        return ModelTable(
            others,
            [
                .init("tokens", ComparisonText.length) { scale.longestOfBoth($0, full).map(Double.init) },
                .init("forward", best: .greatest, ComparisonText.times) { ratio(.forward, $0) },
                .init("training", best: .greatest, ComparisonText.times) { ratio(.training, $0) },
                .init("generation", best: .greatest, ComparisonText.times) { ratio(.generation, $0) },
                .init("memory", best: .least, ComparisonText.times) { ratio(.peak, $0) },
            ]
        ).table()
    }
}

/// A measure against the length of the sequence, as a plot and as a table.
private struct ScaleFigure {
    let measure: ScaleNumbers.Measure
    let name: String
    let title: String
    let caption: String

    static let all = [
        ScaleFigure(
            measure: .forward, name: "scale-forward", title: "Time of the forward pass, per token",
            caption: "Without gradients, all logits."),
        ScaleFigure(
            measure: .backward, name: "scale-backward", title: "Time of the backward pass, per token",
            caption: "The gradients of the loss over all tokens, after a forward pass that keeps what they need."),
        ScaleFigure(
            measure: .training, name: "scale-training", title: "Time of training, per token",
            caption: "Forward and backward."),
        ScaleFigure(
            measure: .generation, name: "scale-generation", title: "Time of one generated token",
            caption: "After a text of so many tokens."),
        ScaleFigure(
            measure: .peak, name: "scale-memory", title: "Memory of training",
            caption: "The most that tensors held at once in a pass with gradients, with the parameters."),
        ScaleFigure(
            measure: .state, name: "scale-state", title: "Memory of the decoding state",
            caption: "What is kept to go on with a text of so many tokens."),
    ]

    private var isMemory: Bool { measure == .peak || measure == .state }

    func plot(_ scale: ScaleNumbers, _ models: [ComparedModel]) -> NamedPlot {
        let unit = isMemory ? ComparisonText.megabyte : 1
        let series = models.map { model in
            model.series(
                scale.lengths(measure, model).map { length in
                    (Double(length), scale.value(measure, model, length)! * unit)
                })
        }.filter { !$0.x.isEmpty }
        return NamedPlot(
            name: name,
            plot: LinePlot(
                title, x: Axis("tokens in the sequence", scale: .logarithmic, format: .binary),
                y: Axis("", scale: .logarithmic, format: isMemory ? .bytes : .seconds), series: series, height: 340),
            caption: caption)
    }

    /// A column for each length, all in one unit, so that they can be compared.
    func table(_ scale: ScaleNumbers, _ models: [ComparedModel]) -> Table {
        let values = models.flatMap { model in
            scale.lengths(measure, model).map { scale.value(measure, model, $0)! }
        }
        let (unit, size) = unit(of: values)
        let columns = scale.lengths.map { length in
            ModelTable.Column(
                ComparisonText.length(length), best: .least, { Numbers.significant($0) },
                value: { scale.value(measure, $0, length).map { $0 / size } })
        }
        return ModelTable(models, columns).table(head: isMemory ? unit : unit + " per token")
    }

    /// The one of the least value.
    private func unit(of values: [Double]) -> (name: String, size: Double) {
        let least = values.filter { $0 > 0 }.min() ?? 1
        guard isMemory else { return TimeUnit.fitting(least) }
        return least < 0.1 ? ("kB", 1 / 1024) : ("MB", 1)
    }
}
