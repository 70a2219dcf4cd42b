/// Elements of an SVG drawing, written one after another.
struct Canvas {
    private(set) var elements = ""

    static let fontSize = 12.0

    enum Anchor: String { case start, middle, end }

    mutating func line(
        _ from: Point, _ to: Point, color: String = "currentColor", width: Double = 1, opacity: Double = 1,
        dash: String = ""
    ) {
        path([[from, to]], color: color, width: width, opacity: opacity, dash: dash)
    }

    /// Lines through points; a run of a single one becomes a dot.
    mutating func path(
        _ runs: [[Point]], color: String, width: Double, opacity: Double = 1, dash: String = "", title: String = ""
    ) {
        guard !runs.isEmpty else { return }
        let data = runs.map { run in
            let places = run.map { "\(Self.number($0.x)),\(Self.number($0.y))" }
            return "M" + (places.count == 1 ? [places[0], places[0]] : places).joined(separator: " ")
        }
        elements +=
            "<path d=\"\(data.joined())\" fill=\"none\" stroke=\"\(color)\" stroke-width=\"\(Self.number(width))\""
            + Self.opacity("stroke", opacity) + (dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\"")
            + " stroke-linejoin=\"round\" stroke-linecap=\"\(dash.isEmpty ? "round" : "butt")\""
            + Self.close("path", title)
    }

    mutating func dot(_ center: Point, radius: Double, color: String, title: String = "") {
        elements +=
            "<circle cx=\"\(Self.number(center.x))\" cy=\"\(Self.number(center.y))\" r=\"\(Self.number(radius))\""
            + " fill=\"\(color)\"" + Self.close("circle", title)
    }

    /// A closed area.
    mutating func polygon(_ corners: [Point], color: String, title: String = "") {
        let places = corners.map { "\(Self.number($0.x)),\(Self.number($0.y))" }.joined(separator: " ")
        elements += "<polygon points=\"\(places)\" fill=\"\(color)\"" + Self.close("polygon", title)
    }

    mutating func rectangle(
        x: ClosedRange<Double>, y: ClosedRange<Double>, color: String, opacity: Double = 1, outline: String? = nil,
        title: String = ""
    ) {
        elements +=
            "<rect x=\"\(Self.number(x.lowerBound))\" y=\"\(Self.number(y.lowerBound))\""
            + " width=\"\(Self.number(x.upperBound - x.lowerBound))\""
            + " height=\"\(Self.number(y.upperBound - y.lowerBound))\" fill=\"\(color)\""
            + Self.opacity("fill", opacity) + (outline.map { " stroke=\"\($0)\"" } ?? "") + Self.close("rect", title)
    }

    /// Text with its baseline so that `place` is at the middle of its digits' height.
    mutating func text(
        _ text: String, at place: Point, anchor: Anchor = .start, size: Double = Canvas.fontSize, opacity: Double = 1,
        color: String? = nil, title: String = ""
    ) {
        elements +=
            "<text x=\"\(Self.number(place.x))\" y=\"\(Self.number(place.y + size * 0.36))\""
            + (anchor == .start ? "" : " text-anchor=\"\(anchor.rawValue)\"")
            + (size == Self.fontSize ? "" : " font-size=\"\(Self.number(size))\"")
            + (color.map { " fill=\"\($0)\"" } ?? "") + Self.opacity("fill", opacity) + ">"
            + (title.isEmpty ? "" : "<title>\(Markup.escape(title))</title>") + Markup.escape(text) + "</text>"
    }

    /// Draws with `draw`, clipped to a rectangle.
    mutating func clipped(
        x: ClosedRange<Double>, y: ClosedRange<Double>, _ draw: (inout Canvas) -> Void
    ) {
        // A nested drawing cuts off what is outside, and unlike a clip path needs no name that is unique in the page.
        let box = [x.lowerBound, y.lowerBound, x.upperBound - x.lowerBound, y.upperBound - y.lowerBound]
            .map(Self.number)
        var inner = Canvas()
        draw(&inner)
        elements +=
            "<svg x=\"\(box[0])\" y=\"\(box[1])\" width=\"\(box[2])\" height=\"\(box[3])\""
            + " viewBox=\"\(box.joined(separator: " "))\" overflow=\"hidden\">\(inner.elements)</svg>"
    }

    /// The whole drawing as an element to put into a page. It takes the text's color from there.
    /// - Parameter title: what it shows, for those who cannot see it.
    func svg(width: Double, height: Double, title: String) -> String {
        "<svg viewBox=\"0 0 \(Self.number(width)) \(Self.number(height))\" role=\"img\""
            + " aria-label=\"\(Markup.escape(title))\" \(Self.font)>\(elements)</svg>"
    }

    /// The drawing as a file of its own, on white, with the title above.
    func document(width: Double, height: Double, title: String) -> String {
        let (margin, head) = (16.0, 44.0)
        let size = [width + 2 * margin, height + margin + head].map(Self.number)
        var above = Canvas()
        above.text(title, at: Point(x: margin, y: margin + 6), size: 17)
        return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(size[0])\" height=\"\(size[1])\""
            + " viewBox=\"0 0 \(size[0]) \(size[1])\" role=\"img\" aria-label=\"\(Markup.escape(title))\" \(Self.font)>"
            + "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\(above.elements)"
            + "<g transform=\"translate(\(Self.number(margin)) \(Self.number(head)))\">\(elements)</g></svg>\n"
    }

    private static let font =
        "font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\" font-size=\"\(number(fontSize))\""
        + " fill=\"currentColor\""

    private static func opacity(_ kind: String, _ opacity: Double) -> String {
        opacity < 1 ? " \(kind)-opacity=\"\(Int((opacity * 100).rounded()))%\"" : ""
    }

    private static func close(_ element: String, _ title: String) -> String {
        title.isEmpty ? "/>" : "><title>\(Markup.escape(title))</title></\(element)>"
    }

    /// With one digit after the point: a tenth of a pixel is more than can be seen. By hand, as formatting is slow.
    static func number(_ value: Double) -> String {
        guard value.isFinite else { return "0" }
        let tenths = Int((min(max(value, -1e6), 1e6) * 10).rounded())
        let (whole, rest) = abs(tenths).quotientAndRemainder(dividingBy: 10)
        return (tenths < 0 ? "-" : "") + "\(whole)" + (rest == 0 ? "" : ".\(rest)")
    }
}
