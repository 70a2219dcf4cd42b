/// The area of a plot's data, and the axes around it.
struct PlotFrame {
    /// Room to the sides of the data.
    static let bottom = 42.0
    static let tickRoom = 8.0
    /// The room of a label centered at the end of the x axis.
    static let right = 24.0

    let left: Double
    let right: Double
    let top: Double
    let bottom: Double

    /// - Parameters:
    ///   - top: where the data begin.
    ///   - yLabels: the labels of the y axis, which need room to the left.
    ///   - labelRoom: what the labels to the right need.
    init(width: Double, height: Double, top: Double, yLabels: [String], labelRoom: Double) {
        let widest = yLabels.map { TextWidth.of($0, size: Canvas.fontSize) }.max() ?? 0
        left = max(widest, 16) + Self.tickRoom + 2
        right = max(width - max(labelRoom, Self.right), left + 40)
        self.top = top
        bottom = height - Self.bottom
    }

    /// The room over the data: for the label of the y axis, or half the height of a number.
    static func top(_ y: Axis) -> Double { y.label.isEmpty ? 10 : 26 }

    /// About how many ticks have room on an axis.
    static func tickCount(along length: Double, each: Double) -> Int { max(2, Int(length / each)) }

    /// Grid lines and labels of the y axis; its own label stands above them.
    func drawY(_ axis: Axis, _ ticks: Ticks, _ scale: Scale, on canvas: inout Canvas) {
        for (value, label) in zip(ticks.values, ticks.labels) {
            let y = scale(value)
            canvas.line(Point(x: left, y: y), Point(x: right, y: y), opacity: 0.14)
            canvas.text(label, at: Point(x: left - Self.tickRoom, y: y), anchor: .end, opacity: 0.8)
        }
        if !axis.label.isEmpty {
            canvas.text(axis.label, at: Point(x: 2, y: 8), opacity: 0.8)
        }
    }

    /// The base line with its ticks; the axis' label is at its end, below the numbers.
    func drawX(_ axis: Axis, _ ticks: Ticks, _ scale: Scale, on canvas: inout Canvas) {
        drawBase(on: &canvas)
        var free = -Double.infinity
        for (value, label) in zip(ticks.values, ticks.labels) {
            let (x, half) = (scale(value), TextWidth.of(label, size: Canvas.fontSize) / 2)
            canvas.line(Point(x: x, y: bottom), Point(x: x, y: bottom + 4), opacity: 0.6)
            // On a logarithmic axis labels may come too near to each other; the marks stay.
            guard x - half > free else { continue }
            canvas.text(label, at: Point(x: x, y: bottom + 14), anchor: .middle, opacity: 0.8)
            free = x + half + 4
        }
        canvas.text(axis.label, at: Point(x: right, y: bottom + 31), anchor: .end, opacity: 0.8)
    }

    func drawBase(on canvas: inout Canvas) {
        canvas.line(Point(x: left, y: bottom), Point(x: right, y: bottom), opacity: 0.6)
    }

    /// Says in the middle that there is nothing to show.
    func drawEmpty(on canvas: inout Canvas) {
        canvas.text(
            "nothing to draw", at: Point(x: (left + right) / 2, y: (top + bottom) / 2), anchor: .middle, opacity: 0.6)
    }
}
