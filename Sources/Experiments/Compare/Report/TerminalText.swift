import AttentionZooReports

// The tables that a terminal shows at the end of a run.

extension ComparisonReport {
    /// Short tables; empty where nothing is finished.
    package var text: String {
        let tables: [(String, ModelTable)] = [
            ("Learning a text", ModelTable(models, textSummary)), ("Recall", ModelTable(models, recallSummary())),
            ("Recall at published settings", ModelTable(models, publishedSummary(publishedNumbers))),
        ]
        var parts = tables.filter { !$0.1.columns.isEmpty }.map { "\($0)\n\($1.table(head: "").text)" }
        parts += scaleTables
        return parts.joined(separator: "\n")
    }

    /// The tables of the longest sequence that all have reached, and of the longest that each has reached.
    private var scaleTables: [String] {
        let scale = scaleNumbers
        guard !scale.lengths.isEmpty else { return [] }
        let common = scale.common(.training, models).last ?? scale.lengths[0]
        let at = ComparisonText.length(common)
        let columns: [ModelTable.Column] = [
            .init("training of a token", best: .least, Numbers.seconds) { scale.value(.training, $0, common) },
            .init("memory", best: .least, ComparisonText.megabytes) { scale.value(.peak, $0, common) },
            .init("generated token", best: .least, Numbers.seconds) { scale.value(.generation, $0, common) },
            longestColumn("longest"),
        ]
        let table = ModelTable(models, columns)
        return table.columns.isEmpty ? [] : ["Longer sequences, at \(at) tokens\n\(table.table(head: "").text)"]
    }
}
