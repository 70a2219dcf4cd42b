/// Lying bars with names before and numbers behind them, for few numbers of things with long names.
package struct NamedBars: Sendable {
    /// A description for those who cannot see it.
    package var title: String
    /// The names before the bars.
    package var names: [String]
    /// As many, at least 0; nil, or not finite, where there is none.
    package var values: [Double?]
    /// Writes the number behind a bar.
    package var valueText: @Sendable (Double) -> String
    /// In the unit in which text is 12 high.
    package var width: Double

    /// Creates bars.
    package init(
        _ title: String, names: [String], values: [Double?], width: Double = 860,
        valueText: @escaping @Sendable (Double) -> String = { Numbers.text($0) }
    ) {
        (self.title, self.names, self.values) = (title, names, values)
        (self.width, self.valueText) = (max(width, 120), valueText)
    }

    private static let rowHeight = 24.0

    /// An `<svg>` element to put into a page.
    package var svg: String {
        let rows = zip(names, values).map { ($0, $1.flatMap { $0 >= 0 && $0 < 1e300 ? $0 : nil }) }
        let texts = rows.map { $1.map(valueText) ?? "–" }
        let shown = names.map { TextWidth.fitting($0, width: width * 0.35, size: Canvas.fontSize) }
        let left = (shown.map { TextWidth.of($0, size: Canvas.fontSize) }.max() ?? 0) + 12
        let right = width - (texts.map { TextWidth.of($0, size: Canvas.fontSize) }.max() ?? 0) - 10
        let greatest = max(rows.compactMap { $1 }.max() ?? 0, .leastNonzeroMagnitude)
        var canvas = Canvas()
        for (index, (name, value)) in rows.enumerated() {
            let middle = (Double(index) + 0.5) * Self.rowHeight
            canvas.text(
                shown[index], at: Point(x: left - 10, y: middle), anchor: .end,
                title: shown[index] == name ? "" : name)
            let end = left + max((value ?? 0) / greatest, 0) * max(right - left, 20)
            if value != nil {
                canvas.bar(
                    x: left...max(end, left + 1), y: middle - 8...middle + 8, index, title: "\(name), \(texts[index])")
            }
            canvas.text(texts[index], at: Point(x: end + 6, y: middle))
        }
        canvas.line(Point(x: left, y: 0), Point(x: left, y: Double(rows.count) * Self.rowHeight), opacity: 0.6)
        return canvas.svg(width: width, height: max(Double(rows.count), 1) * Self.rowHeight, title: title)
    }
}
