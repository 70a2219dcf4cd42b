import AttentionZooReports

/// A table with a row for each model and columns of numbers, the best of each column marked.
struct ModelTable {
    enum Best { case least, greatest }

    struct Column {
        let head: String
        let best: Best?
        let text: (ComparedModel, Double) -> String
        /// nil, or not finite, where there is none.
        let value: (ComparedModel) -> Double?
        /// Tells whether a model's number deserves to be marked if it is the best.
        let deserves: (ComparedModel) -> Bool

        init(
            _ head: String, best: Best? = nil, _ text: @escaping (Double) -> String,
            value: @escaping (ComparedModel) -> Double?, deserves: @escaping (ComparedModel) -> Bool = { _ in true }
        ) {
            self.init(head, best: best, text: { text($1) }, value: value, deserves: deserves)
        }

        /// The same with texts that depend on the model too.
        init(
            _ head: String, best: Best?, text: @escaping (ComparedModel, Double) -> String,
            value: @escaping (ComparedModel) -> Double?, deserves: @escaping (ComparedModel) -> Bool = { _ in true }
        ) {
            (self.head, self.best, self.text, self.value, self.deserves) = (head, best, text, value, deserves)
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
        let texts = zip(columns, values).map { column, values in
            zip(models, values).map { model, value in value.map { column.text(model, $0) } ?? "–" }
        }
        var marked: Set<Table.Cell> = []
        for (index, column) in columns.enumerated() {
            guard let best = column.best, let row = Self.best(best, values[index]) else { continue }
            // What reads the same is as good; where all do, none is best.
            let rows = texts[index].indices.filter { texts[index][$0] == texts[index][row] }
            guard rows.count < texts[index].count, rows.contains(where: { column.deserves(models[$0]) }) else {
                continue
            }
            marked.formUnion(rows.map { Table.Cell(row: $0, column: index + 1) })
        }
        return Table(
            head: [head] + columns.map(\.head),
            rows: models.enumerated().map { row, model in [model.name] + texts.map { $0[row] } },
            numeric: Set(1..<columns.count + 1), marked: marked)
    }

    /// The row of the best; nil where there is nothing to choose from.
    private static func best(_ best: Best, _ values: [Double?]) -> Int? {
        let rows = values.indices.filter { values[$0] != nil }
        guard rows.count > 1 else { return nil }
        return best == .least ? rows.min { values[$0]! < values[$1]! } : rows.max { values[$0]! < values[$1]! }
    }
}
