import Plotting

/// A table with a row for each model and columns of numbers, the best of each column marked.
struct ModelTable {
    enum Best { case least, greatest }

    struct Column {
        let head: String
        let best: Best?
        let text: (Double) -> String
        /// nil, or not finite, where there is none.
        let value: (ComparedModel) -> Double?

        init(
            _ head: String, best: Best? = nil, _ text: @escaping (Double) -> String,
            value: @escaping (ComparedModel) -> Double?
        ) {
            (self.head, self.best, self.text, self.value) = (head, best, text, value)
        }
    }

    let models: [ComparedModel]
    let columns: [Column]

    /// Columns without any number are left out, and rows too.
    init(_ models: [ComparedModel], _ columns: [Column]) {
        func has(_ column: Column, _ model: ComparedModel) -> Bool { column.value(model)?.isFinite ?? false }
        self.columns = columns.filter { column in models.contains { has(column, $0) } }
        self.models = models.filter { model in columns.contains { has($0, model) } }
    }

    /// The table.
    /// - Parameter head: of the models' column.
    func table(head: String = "model") -> Table {
        let values = columns.map { column in
            models.map { model in column.value(model).flatMap { $0.isFinite ? $0 : nil } }
        }
        let texts = zip(columns, values).map { column, values in values.map { $0.map(column.text) ?? "–" } }
        var marked: Set<Table.Cell> = []
        for (index, column) in columns.enumerated() {
            guard let best = column.best, let text = Self.best(best, values[index]).map(column.text) else { continue }
            // What reads the same is as good; where all do, none is best.
            let rows = texts[index].indices.filter { texts[index][$0] == text }
            if rows.count < texts[index].count { marked.formUnion(rows.map { Table.Cell(row: $0, column: index + 1) }) }
        }
        return Table(
            head: [head] + columns.map(\.head),
            rows: models.enumerated().map { row, model in [model.name] + texts.map { $0[row] } },
            numeric: Set(1..<columns.count + 1), marked: marked)
    }

    private static func best(_ best: Best, _ values: [Double?]) -> Double? {
        let values = values.compactMap { $0 }
        guard values.count > 1 else { return nil }
        return best == .least ? values.min() : values.max()
    }
}
