import AttentionZooReports
import Trainer

// Recall at published settings: a table of ours beside the paper's, and what it took.

/// The outcomes at published settings, by model, length and width.
struct PublishedNumbers {
    let outcomes: [PublishedRecallOutcome]

    init(_ outcomes: [PublishedRecallOutcome]?) { self.outcomes = outcomes ?? [] }

    /// A column of the tables.
    struct Setting: Hashable {
        let length: Int, pairs: Int, width: Int

        var title: String { "\(length)/\(pairs), d \(width)" }
    }

    /// Those with results, in ascending order.
    var settings: [Setting] {
        Set(outcomes.map { Setting(length: $0.cell.length, pairs: $0.cell.pairs, width: $0.cell.width) })
            .sorted { ($0.length, $0.width) < ($1.length, $1.width) }
    }

    /// The outcomes of a model at a setting, one a learning rate.
    func all(_ model: ComparedModel, _ setting: Setting) -> [PublishedRecallOutcome] {
        outcomes.filter { ($0.cell.model, $0.cell.length, $0.cell.width) == (model.id, setting.length, setting.width) }
    }

    /// The best over the learning rates, as the paper reports it; nil where there is none.
    func best(_ model: ComparedModel, _ setting: Setting) -> PublishedRecallOutcome? {
        all(model, setting).max { $0.share < $1.share }
    }
}

extension ComparisonReport {
    var publishedNumbers: PublishedNumbers { PublishedNumbers(results.published) }

    var publishedSection: ReportSection? {
        let numbers = publishedNumbers
        guard !numbers.outcomes.isEmpty else { return nil }
        return ReportSection(
            title: "Recall at published settings",
            pieces: [
                .paragraph(publishedExplanation), .table(publishedTable(numbers, besides: PublishedFigure.zoology)),
                .paragraph(Self.publishedNote), .heading("Best learning rates"), .table(effortTable(numbers)),
            ])
    }

    /// The shares that were found: a row for each model, and for each published curve.
    func publishedTable(_ numbers: PublishedNumbers, besides figures: [PublishedFigure]) -> Table {
        var table = ModelTable(models, publishedSummary(numbers)).table()
        table.rows += figures.map { figure in
            ["\(figure.name) (published)"]
                + numbers.settings.map { figure[$0.length, $0.width].map(ComparisonText.share) ?? "–" }
        }
        return table
    }

    /// A column for each setting.
    func publishedSummary(_ numbers: PublishedNumbers) -> [ModelTable.Column] {
        numbers.settings.map { setting in
            .init(setting.title, best: .greatest, ComparisonText.share) { numbers.best($0, setting)?.share }
        }
    }

    /// The training behind each best share.
    private func effortTable(_ numbers: PublishedNumbers) -> Table {
        let rows = numbers.settings.flatMap { setting in
            models.compactMap { model in
                numbers.best(model, setting).map { best in
                    let tried = numbers.all(model, setting).map { "\($0.cell.rate)" }.joined(separator: ", ")
                    return [
                        setting.title, model.name, ComparisonText.share(best.share), "\(best.cell.rate)", tried,
                        "\(best.epochs)", ReportText.duration(best.seconds), Numbers.text(best.parameters),
                        best.fault ?? "",
                    ]
                }
            }
        }
        let head = ["setting", "model", "found", "rate", "rates tried", "epochs", "time", "parameters", ""]
        return Table(head: head, rows: rows, numeric: [2, 3, 5, 6, 7])
    }

    private var publishedExplanation: String {
        let options = results.options.published ?? PublishedRecallOptions()
        return
            "Multi-query associative recall as in figure 2 of Zoology (2312.04927): \(Numbers.text(options.examples)) "
            + "examples of the training and \(Numbers.text(options.testExamples)) of the test, 8,192 tokens, half of them "
            + "keys; each key comes once more, at distances drawn by a power law, and its value has to be predicted. "
            + "Columns: tokens/pairs and width. Two layers of mixer without feed-forward, one head, windows (groups, "
            + "blocks, slots) of a quarter of the sequence, logits of the embeddings; AdamW with weight decay 0.1, the "
            + "cosine of at most \(Numbers.text(options.epochs)) epochs, an end at 99% of the answers. The best of the "
            + "learning rates; once one has found 99%, the others are not tried."
    }

    private static let publishedNote =
        "Published: figure 2 of 2312.04927, read off the plot to about 2%; attention has two layers there, the others four, "
        + "and dropout of the embeddings and of attention, which ours have not. Of the delta rule "
        + "2406.06484 (section 4.1) says that it performs perfectly, even without convolutions, at 512 tokens with 64 pairs."
}
