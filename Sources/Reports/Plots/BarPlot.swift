/// Groups of upright bars: a group a category, in it a bar for each of the things that are compared.
package struct BarPlot: Sendable {
    /// The bars of one color.
    package struct Bars: Sendable {
        /// The name in the legend.
        package var name: String
        /// One a category; nil, or not finite, where there is none.
        package var values: [Double?]

        /// Creates the bars of one color.
        package init(_ name: String, _ values: [Double?]) {
            self.name = name
            self.values = values
        }
    }

    /// A description for those who cannot see it.
    package var title: String
    /// The names of the categories.
    package var categories: [String]
    /// The label of the categories, with the unit; may be empty.
    package var categoryLabel: String
    /// The axis of values.
    package var y: Axis
    /// Named in a legend where there are several.
    package var bars: [Bars]
    /// Lines across the plot at values to compare with.
    package var references: [ReferenceLine]
    /// Writes the number over a bar.
    package var valueText: @Sendable (Double) -> String
    /// In the unit in which text is 12 high.
    package var width: Double
    /// The height, in the same unit.
    package var height: Double

    /// Creates a plot.
    package init(
        _ title: String, categories: [String], categoryLabel: String = "", y: Axis, bars: [Bars],
        references: [ReferenceLine] = [], width: Double = 860, height: Double = 280,
        valueText: @escaping @Sendable (Double) -> String = { Numbers.text($0) }
    ) {
        (self.title, self.categories, self.categoryLabel, self.y) = (title, categories, categoryLabel, y)
        (self.bars, self.references, self.valueText) = (bars, references, valueText)
        (self.width, self.height) = (max(width, 120), max(height, 100))
        self.y.includesZero = true
        self.y.scale = .linear
    }

    /// An `<svg>` element to put into a page.
    package var svg: String {
        let legend = Legend(bars.count > 1 ? bars.map(\.name) : [], width: width)
        // The highest bar has its number over it.
        let top = legend.height + PlotFrame.top(y) + Self.valueSize
        let height = height + legend.height + Self.valueSize
        let values = bars.flatMap { $0.values.compactMap { $0 } }
        let domain = y.domain(of: values + references.map(\.value), padding: 0.08)
        let ticks = y.ticks(domain, count: PlotFrame.tickCount(along: height - top - PlotFrame.bottom, each: 32))
        let room = references.map { TextWidth.of($0.label, size: Canvas.fontSize) + 10 }.max() ?? 0
        let frame = PlotFrame(width: width, height: height, top: top, yLabels: ticks.labels, labelRoom: room)
        let scale = Scale(.linear, domain, from: frame.bottom, to: frame.top)

        var canvas = Canvas()
        legend.draw(on: &canvas)
        frame.drawY(Axis(), ticks, scale, on: &canvas)
        if !y.label.isEmpty { canvas.text(y.label, at: Point(x: 2, y: 8 + legend.height), opacity: 0.8) }
        drawBars(frame, scale, on: &canvas)
        drawCategories(frame, on: &canvas)
        for line in references where y.accepts(line.value) {
            let place = scale(line.value)
            canvas.line(
                Point(x: frame.left, y: place), Point(x: frame.right, y: place), width: 1.2, opacity: 0.75, dash: "2 3")
            canvas.text(line.label, at: Point(x: frame.right + 6, y: place))
        }
        if !values.contains(where: y.accepts) { frame.drawEmpty(on: &canvas) }
        return canvas.svg(width: width, height: height, title: title)
    }

    private func slot(_ frame: PlotFrame) -> Double { (frame.right - frame.left) / Double(max(categories.count, 1)) }

    private func drawBars(_ frame: PlotFrame, _ scale: Scale, on canvas: inout Canvas) {
        let slot = slot(frame)
        let thickness = min(slot * 0.78 / Double(max(bars.count, 1)), 54)
        let widest =
            bars.flatMap { $0.values.compactMap { $0 } }.filter(y.accepts)
            .map { TextWidth.of(valueText($0), size: Self.valueSize) }.max() ?? 0
        for (index, bars) in bars.enumerated() {
            for (category, value) in bars.values.prefix(categories.count).enumerated() {
                guard let value, y.accepts(value) else { continue }
                let middle = frame.left + (Double(category) + 0.5) * slot
                let start = middle + (Double(index) - Double(self.bars.count) / 2) * thickness
                let (end, base) = (scale(value), scale(0))
                let x = start + 1...start + max(thickness - 1, 1.5)
                canvas.bar(
                    x: x, y: min(end, base)...max(end, base), index,
                    title: [bars.name, categories[category], valueText(value)].filter { !$0.isEmpty }
                        .joined(separator: ", "))
                if widest <= thickness + 2 {
                    let place = Point(x: (x.lowerBound + x.upperBound) / 2, y: min(end, base) - 8)
                    canvas.text(valueText(value), at: place, anchor: .middle, size: Self.valueSize)
                }
            }
        }
    }

    private static let valueSize = 11.0

    private func drawCategories(_ frame: PlotFrame, on canvas: inout Canvas) {
        frame.drawBase(on: &canvas)
        let slot = slot(frame)
        for (index, category) in categories.enumerated() {
            let text = TextWidth.fitting(category, width: slot - 4, size: Canvas.fontSize)
            canvas.text(
                text, at: Point(x: frame.left + (Double(index) + 0.5) * slot, y: frame.bottom + 14), anchor: .middle,
                opacity: 0.8, title: text == category ? "" : category)
        }
        canvas.text(categoryLabel, at: Point(x: frame.right, y: frame.bottom + 31), anchor: .end, opacity: 0.8)
    }
}

/// Names beside pieces of what they name, in as many lines as they need.
struct Legend {
    private static let lineHeight = 18.0
    private static let swatch = 14.0
    private let entries: [(name: String, whole: String, place: Point)]
    let height: Double

    init(_ names: [String], width: Double) {
        var (x, y) = (2.0, 8.0)
        var entries: [(name: String, whole: String, place: Point)] = []
        for name in names {
            let text = TextWidth.fitting(name, width: width - Self.swatch - 10, size: Canvas.fontSize)
            let needed = Self.swatch + 6 + TextWidth.of(text, size: Canvas.fontSize)
            if x > 2 && x + needed > width { (x, y) = (2, y + Self.lineHeight) }
            entries.append((text, name, Point(x: x, y: y)))
            x += needed + 16
        }
        self.entries = entries
        height = names.isEmpty ? 0 : y + 14
    }

    func draw(on canvas: inout Canvas) {
        for (index, entry) in entries.enumerated() {
            let (x, y) = (entry.place.x, entry.place.y)
            canvas.bar(x: x...x + Self.swatch, y: y - 5...y + 5, index, title: "")
            canvas.text(
                entry.name, at: Point(x: x + Self.swatch + 6, y: y),
                title: entry.name == entry.whole ? "" : entry.whole)
        }
    }
}
