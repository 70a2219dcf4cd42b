import AttentionZooReports
import Trainer

// The section on how well the models learn texts.

extension ComparisonReport {
    /// One for each text.
    var textSections: [ReportSection] { texts.map(textSection) }

    private func textSection(_ text: TextNumbers) -> ReportSection {
        var pieces: [ReportPiece] = [.paragraph(explanation(text))]
        let slug = texts.count == 1 ? "text" : "text-" + slugs[text.name]!
        let courses: [(TextNumbers.Course, String, String)] = [
            (.seconds, "by-time", "Bits per byte by time of training"),
            (.tokens, "by-tokens", "Bits per byte by tokens seen"),
        ]
        for (course, name, title) in courses {
            if let (plot, note) = coursePlot(text, course, title) {
                let caption = "Of the validation; the lower, the better."
                pieces.append(.plot(NamedPlot(name: "\(slug)-\(name)", plot: plot, caption: caption + note)))
            }
        }
        pieces += [.table(table(text).table()), .paragraph(note(text))]
        return ReportSection(title: "Learning a text: \(text.title)", pieces: pieces)
    }

    private func explanation(_ text: TextNumbers) -> String {
        let options = results.options.text
        let length =
            options.steps.map { "\(Numbers.text($0)) steps of training" }
            ?? options.minutes.map { "\(ReportText.duration($0 * 60)) of training and validations" }
            ?? "as long as it took"
        return "Read by every model in the same order: \(length) each, in batches of \(options.batchSize) "
            + "windows of \(Numbers.text(options.sequenceLength)) tokens, "
            + ComparisonText.learningRate(options.learningRate) + "."
    }

    /// The texts' names as parts of files' names, no two of them the same: those that would be are numbered.
    private var slugs: [String: String] {
        var (slugs, taken): ([String: String], Set<String>) = ([:], [])
        for name in texts.map(\.name) {
            let slug = String(name.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" })
            var (unique, number) = (slug, 1)
            while !taken.insert(unique).inserted {
                number += 1
                unique = "\(slug)-\(number)"
            }
            slugs[name] = unique
        }
        return slugs
    }

    // MARK: Table

    private func table(_ text: TextNumbers) -> ModelTable {
        func atCommon(_ course: TextNumbers.Course, _ place: (Double) -> String) -> [ModelTable.Column] {
            guard let common = text.common(course) else { return [] }
            return [
                .init("bits per byte after \(place(common))", best: .least, ComparisonText.bits) {
                    text.bits($0, course, at: common)
                }
            ]
        }
        let columns: [ModelTable.Column] = [
            .init("parameters", ComparisonText.count) { text[$0].map { Double($0.parameters) } },
            .init("steps", ComparisonText.count) { text[$0].map { Double($0.steps) } },
            .init("tokens", ComparisonText.count) { text[$0].map { Double($0.tokens) } },
            .init("bits per byte", best: .least, ComparisonText.bits, value: text.best),
        ]
        return ModelTable(
            models,
            columns + atCommon(.seconds, ReportText.duration)
                + atCommon(.tokens) { ComparisonText.tokens($0) + " tokens" } + costs(of: [text]))
    }

    private func note(_ text: TextNumbers) -> String {
        let outcomes = models.compactMap { model in text[model].map { (model, $0) } }
        let prompts = Set(outcomes.map(\.1.generationPrompt)).sorted().map { Numbers.text($0) }
        let faults = outcomes.compactMap { model, outcome in
            outcome.fault.map { " \(model.name) did not come to the end: \($0)." }
        }
        return
            "Bits per byte: the best validation. At a time or a number of tokens that all models have reached, but for "
            + "trainings that did not come to the end: on the straight line between the validations before and after "
            + "it. Training: tokens/s of the median step. "
            + "Generation: one sequence, after a prompt of \(prompts.joined(separator: " or ")) tokens. Memory: the "
            + "most that tensors held at once in training." + faults.joined()
    }

    // MARK: Plots

    /// The share of the course after which all curves are shown whole; before, they may begin far above all the rest.
    private static let earlyShare = 0.04
    /// From which ratio of its ends on a course has a logarithmic axis.
    private static let wideCourse = 8.0

    private func coursePlot(
        _ text: TextNumbers, _ course: TextNumbers.Course, _ title: String
    ) -> (plot: LinePlot, note: String)? {
        let curves = models.compactMap { model -> (ComparedModel, [(x: Double, y: Double)])? in
            let points = text.points(model, course).filter { $0.x > 0 }
            return points.isEmpty ? nil : (model, points)
        }
        let places = curves.flatMap { $0.1.map(\.x) }
        guard let first = places.min(), let last = places.max() else { return nil }
        let unit = course == .seconds && last > 180 ? 60.0 : 1
        let label =
            switch course {
            case .seconds: unit == 60 ? "minutes of training" : "seconds of training"
            case .tokens: "tokens"
            }
        let late = curves.flatMap { $0.1.filter { $0.x >= last * Self.earlyShare }.map(\.y) }
        let all = curves.flatMap { $0.1.map(\.y) }
        var range: ClosedRange<Double>?
        if let low = late.min(), let high = late.max(), let top = all.max(), top > high + 0.3 * (high - low) {
            let room = max(high - low, 0.01) * 0.06
            range = low - room...high + room
        }
        let plot = LinePlot(
            title,
            x: Axis(label, scale: last / first >= Self.wideCourse ? .logarithmic : .linear, format: .compact),
            y: Axis("bits per byte", range: range),
            series: curves.map { model, points in model.series(points.map { ($0.x / unit, $0.y) }) }, height: 380)
        return (plot, range == nil ? "" : " The steep beginning is cut off.")
    }
}
