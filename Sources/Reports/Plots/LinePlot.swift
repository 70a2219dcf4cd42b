/// Lines over an axis, labeled at their ends.
package struct LinePlot: Sendable {
    /// A description for those who cannot see it.
    package var title: String
    /// The horizontal axis.
    package var x: Axis
    /// The vertical axis.
    package var y: Axis
    /// In the order in which they are drawn, each over those before.
    package var series: [Series]
    /// Lines across the plot at values to compare with.
    package var references: [ReferenceLine]
    /// Upright lines at values of x, labeled above.
    package var marks: [ReferenceLine]
    /// In the unit in which text is 12 high. It grows in height where the labels need it.
    package var width: Double
    /// The height, in the same unit.
    package var height: Double

    /// Creates a plot.
    package init(
        _ title: String, x: Axis, y: Axis, series: [Series], references: [ReferenceLine] = [],
        marks: [ReferenceLine] = [], width: Double = 860, height: Double = 320
    ) {
        (self.title, self.x, self.y, self.series, self.references) = (title, x, y, series, references)
        self.marks = marks
        (self.width, self.height) = (max(width, 120), max(height, 100))
    }

    /// An `<svg>` element to put into a page.
    package var svg: String {
        let (canvas, height) = drawing
        return canvas.svg(width: width, height: height, title: title)
    }

    /// The same as a file of its own, on white.
    package var svgDocument: String {
        let (canvas, height) = drawing
        return canvas.document(width: width, height: height, title: title)
    }

    private var drawing: (canvas: Canvas, height: Double) {
        let ends = endLabels
        let room = ends.map { EndLabel.keyRoom + TextWidth.of($0.text, size: Canvas.fontSize) + 4 }.max() ?? 0
        let top = PlotFrame.top(y) + (marks.isEmpty ? 0 : Self.markRoom)
        let height = max(height, Double(ends.count) * EndLabel.height + top + PlotFrame.bottom)

        let values = series.flatMap(\.y) + references.map(\.value)
        let yDomain = y.domain(of: values, padding: 0.05)
        let yTicks = y.ticks(yDomain, count: PlotFrame.tickCount(along: height - top - PlotFrame.bottom, each: 32))
        let frame = PlotFrame(width: width, height: height, top: top, yLabels: yTicks.labels, labelRoom: room)
        let xDomain = x.domain(of: series.lazy.flatMap(\.x), padding: 0)
        let xTicks = x.ticks(xDomain, count: PlotFrame.tickCount(along: frame.right - frame.left, each: x.tickRoom))
        let scales = Scales(
            x: Scale(x.scale, xDomain, from: frame.left, to: frame.right),
            y: Scale(y.scale, yDomain, from: frame.bottom, to: frame.top), frame: frame)

        var canvas = Canvas()
        frame.drawY(y, yTicks, scales.y, on: &canvas)
        frame.drawX(x, xTicks, scales.x, on: &canvas)
        canvas.clipped(x: frame.left - 2...frame.right + 2, y: frame.top - 2...frame.bottom + 2) { canvas in
            for (index, series) in series.enumerated() { draw(series, look(index), scales, on: &canvas) }
            for line in references where y.accepts(line.value) {
                let place = scales.y(line.value)
                canvas.line(
                    Point(x: frame.left, y: place), Point(x: frame.right, y: place), width: 1.2, opacity: 0.75,
                    dash: Self.referenceDash)
            }
        }
        for (index, series) in series.enumerated() where series.style == .points {
            drawPoints(series, look(index), scales, on: &canvas)
        }
        drawMarks(scales, xDomain, on: &canvas)
        drawLabels(ends, scales, on: &canvas)
        if !values.contains(where: y.accepts) { frame.drawEmpty(on: &canvas) }
        return (canvas, height)
    }

    private static let referenceDash = "2 3"
    private static let markRoom = 14.0

    private struct Scales {
        let x: Scale
        let y: Scale
        let frame: PlotFrame
    }

    private struct Look {
        let color: String
        let dash: String
        /// nil where the points are dots like those of other lines.
        let marker: Int?
    }

    /// Series with a name or color of their own take the palette's in turn.
    private func look(_ index: Int) -> Look {
        let own = series[index].color ?? series[..<index].count { $0.color == nil }
        return Look(
            color: Palette.color(own), dash: Palette.dash(series[index].dash ?? own),
            marker: series[index].style == .points ? series[index].marker : nil)
    }

    // MARK: Lines

    private func draw(_ series: Series, _ look: Look, _ scales: Scales, on canvas: inout Canvas) {
        let points = zip(series.x, series.y).map { Point(x: scales.x($0), y: y.accepts($1) ? scales.y($1) : .nan) }
        let isFaint = series.style == .faint
        canvas.path(
            Thinning.runs(points.filter { $0.x.isFinite }), color: look.color, width: isFaint ? 0.8 : 1.8,
            opacity: isFaint ? 0.4 : 1, dash: isFaint ? "" : look.dash, title: series.name)
    }

    private static let mostPoints = 80
    private static let markerRadius = 3.2
    private static let markerDistance = 18.0

    private func drawPoints(_ series: Series, _ look: Look, _ scales: Scales, on canvas: inout Canvas) {
        let frame = scales.frame
        let points = zip(series.x, series.y).map { ($0, $1, Point(x: scales.x($0), y: scales.y($1))) }
            .filter { y.accepts($0.1) && $0.2.x.isFinite && frame.top - 1...frame.bottom + 1 ~= $0.2.y }
        guard points.count <= Self.mostPoints else { return }
        var last = -Double.infinity
        for (index, (x, y, place)) in points.enumerated() {
            // Shapes need room to be told apart; the end of a line has one always.
            if look.marker != nil && index < points.count - 1 && place.x < last + Self.markerDistance { continue }
            last = place.x
            let title = [series.name, "\(Numbers.short(x)): \(Numbers.short(y))"].filter { !$0.isEmpty }
            canvas.marker(
                place, shape: look.marker ?? 0, radius: look.marker == nil ? 2.6 : Self.markerRadius,
                color: look.color, title: title.joined(separator: ", "))
        }
    }

    /// Upright lines, each with its label above it, as far within the drawing as it needs.
    private func drawMarks(_ scales: Scales, _ domain: ClosedRange<Double>, on canvas: inout Canvas) {
        let frame = scales.frame
        var free = -Double.infinity
        for mark in marks.sorted(by: { $0.value < $1.value }) where domain.contains(mark.value) {
            let place = scales.x(mark.value)
            canvas.line(
                Point(x: place, y: frame.top - 3), Point(x: place, y: frame.bottom), width: 1.2, opacity: 0.5,
                dash: Self.referenceDash)
            let length = TextWidth.of(mark.label, size: Canvas.fontSize)
            let start = max(min(place - length / 2, frame.right - length), frame.left)
            // A label that would cover the one before is left out.
            guard start > free else { continue }
            canvas.text(mark.label, at: Point(x: start, y: frame.top - 9), opacity: 0.8)
            free = start + length + 8
        }
    }

    // MARK: Labels

    private struct EndLabel {
        /// The room before a label's text: a leader to it and a piece of its line.
        static let keyRoom = 42.0
        static let height = 15.0

        let text: String
        let whole: String
        /// nil for a reference line.
        let look: Look?
        /// The last value that can be shown.
        let x: Double?
        let y: Double
    }

    private var endLabels: [EndLabel] {
        func label(_ text: String, _ look: Look? = nil, x: Double? = nil, y: Double) -> EndLabel {
            let fitting = TextWidth.fitting(text, width: width * 0.3, size: Canvas.fontSize)
            return EndLabel(text: fitting, whole: text, look: look, x: x, y: y)
        }
        let lines = series.enumerated().compactMap { index, series -> EndLabel? in
            let last = zip(series.x, series.y).reversed().first { x.accepts($0) && y.accepts($1) }
            guard let last, !series.name.isEmpty else { return nil }
            return label(series.name, look(index), x: last.0, y: last.1)
        }
        return lines
            + references.filter { y.accepts($0.value) && !$0.label.isEmpty }.map { label($0.label, y: $0.value) }
    }

    private func drawLabels(_ labels: [EndLabel], _ scales: Scales, on canvas: inout Canvas) {
        let frame = scales.frame
        let ends = labels.map { min(max(scales.y($0.y), frame.top), frame.bottom) }
        let places = LabelPlacement.spread(ends, height: EndLabel.height, within: frame.top...frame.bottom)
        for (label, (end, place)) in zip(labels, zip(ends, places)) {
            let start = label.x.map { min(scales.x($0), frame.right) } ?? frame.right
            // Across the drawing where the line ends early, then to the label.
            if start < frame.right - 4 {
                canvas.line(
                    Point(x: start + 4, y: end), Point(x: frame.right, y: end), width: 0.8, opacity: 0.45, dash: "1 4")
            }
            canvas.line(
                Point(x: frame.right + 4, y: end), Point(x: frame.right + 12, y: place), width: 0.8, opacity: 0.35)
            let key = [Point(x: frame.right + 13, y: place), Point(x: frame.right + 36, y: place)]
            canvas.line(
                key[0], key[1], color: label.look?.color ?? "currentColor", width: label.look == nil ? 1.2 : 2,
                opacity: label.look == nil ? 0.75 : 1, dash: label.look?.dash ?? Self.referenceDash)
            if let look = label.look, let marker = look.marker {
                let middle = Point(x: frame.right + 24.5, y: place)
                canvas.marker(middle, shape: marker, radius: Self.markerRadius, color: look.color)
            }
            canvas.text(
                label.text, at: Point(x: frame.right + EndLabel.keyRoom, y: place),
                title: label.text == label.whole ? "" : label.whole)
        }
    }
}
