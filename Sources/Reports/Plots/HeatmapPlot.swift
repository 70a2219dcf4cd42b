/// A table of numbers whose cells are colored by them.
package struct HeatmapPlot: Sendable {
    /// A description for those who cannot see it.
    package var title: String
    /// The names of the rows.
    package var rows: [String]
    /// The names of the columns.
    package var columns: [String]
    /// [rows][columns]; rows may be shorter. What is not finite is left grey.
    package var values: [[Double]]
    /// The values of the colors' ends; nil for the least and the greatest value.
    package var range: ClosedRange<Double>?
    /// The colors from the least value to the greatest.
    package var colors: ColorMap
    /// Writes the number in a cell.
    package var valueText: @Sendable (Double) -> String
    /// In the unit in which text is 12 high.
    package var width: Double

    /// Creates a heatmap.
    package init(
        _ title: String, rows: [String], columns: [String], values: [[Double]], range: ClosedRange<Double>? = nil,
        colors: ColorMap = .reds, width: Double = 860,
        valueText: @escaping @Sendable (Double) -> String = { Numbers.text($0, decimals: 2) }
    ) {
        (self.title, self.rows, self.columns, self.values) = (title, rows, columns, values)
        (self.range, self.colors, self.width, self.valueText) = (range, colors, max(width, 120), valueText)
    }

    private static let rowHeight = 26.0
    private static let widest = 80.0
    private static let palest = 0.12

    /// An `<svg>` element to put into a page.
    package var svg: String {
        let names = rows.map { TextWidth.fitting($0, width: width * 0.3, size: Canvas.fontSize) }
        let left = (names.map { TextWidth.of($0, size: Canvas.fontSize) }.max() ?? 0) + 10
        let cell = min((width - left) / Double(max(columns.count, 1)), Self.widest)
        let finite = values.joined().filter(\.isFinite)
        let domain = range ?? (finite.min() ?? 0)...(finite.max() ?? 1)
        var canvas = Canvas()
        for (row, numbers) in values.enumerated() {
            let y = Double(row) * Self.rowHeight
            canvas.text(names[row], at: Point(x: left - 10, y: y + Self.rowHeight / 2), anchor: .end, title: rows[row])
            for (column, value) in numbers.prefix(columns.count).enumerated() {
                let box = left + Double(column) * cell...left + Double(column + 1) * cell
                let title = "\(rows[row]), \(columns[column])"
                draw(value, domain, x: box, y: y...y + Self.rowHeight, title: title, on: &canvas)
            }
        }
        let bottom = Double(values.count) * Self.rowHeight
        for (column, name) in columns.enumerated() {
            let fitting = TextWidth.fitting(name, width: cell - 4, size: Canvas.fontSize)
            let middle = left + (Double(column) + 0.5) * cell
            canvas.text(fitting, at: Point(x: middle, y: bottom + 14), anchor: .middle, opacity: 0.8, title: name)
        }
        return canvas.svg(width: width, height: bottom + 26, title: title)
    }

    private func draw(
        _ value: Double, _ domain: ClosedRange<Double>, x: ClosedRange<Double>, y: ClosedRange<Double>, title: String,
        on canvas: inout Canvas
    ) {
        let size = domain.upperBound - domain.lowerBound
        // The least is not white, as the page may be.
        let share = value.isFinite && size == 0 ? 0 : (value - domain.lowerBound) / size
        let color = colors(Self.palest + (1 - Self.palest) * share)
        let text = value.isFinite ? valueText(value) : "–"
        canvas.rectangle(x: x, y: y, color: color.hex, outline: "white", title: "\(title): \(text)")
        guard TextWidth.of(text, size: Canvas.fontSize) < x.upperBound - x.lowerBound - 4 else { return }
        let middle = Point(x: (x.lowerBound + x.upperBound) / 2, y: (y.lowerBound + y.upperBound) / 2)
        canvas.text(text, at: middle, anchor: .middle, color: color.lightness < 0.55 ? "white" : "black")
    }
}
