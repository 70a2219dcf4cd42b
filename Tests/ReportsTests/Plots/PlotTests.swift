import Foundation
import Testing

@testable import AttentionZooReports

@Suite struct PlotTests {
    private func plot(_ series: [Series], y: Axis = Axis("bits"), references: [ReferenceLine] = []) -> LinePlot {
        LinePlot("a plot", x: Axis("step"), y: y, series: series, references: references)
    }

    /// The width and height of a drawing.
    private func size(_ elements: Elements) throws -> (width: Double, height: Double) {
        let box = try #require(elements["svg"].first?.attributes["viewBox"]).split(separator: " ").compactMap {
            Double($0)
        }
        return (box[2], box[3])
    }

    /// Expects that all is within the drawing and no two labels of the right margin cover each other.
    @discardableResult
    private func check(_ svg: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> Elements {
        let elements = Elements(svg, sourceLocation: sourceLocation)
        let (width, height) = try size(elements)
        for text in elements["text"] {
            let (x, y) = (try #require(text.number("x")), try #require(text.number("y")))
            let length = TextWidth.of(text.text, size: text.number("font-size") ?? 12)
            let start = [nil: x, "middle": x - length / 2, "end": x - length][text.attributes["text-anchor"]]!
            #expect(start >= -0.1 && start + length <= width + 0.1, "\(text.text)", sourceLocation: sourceLocation)
            #expect(y > 5 && y < height, "\(text.text)", sourceLocation: sourceLocation)
        }
        #expect(!svg.contains("nan") && !svg.contains("inf"), sourceLocation: sourceLocation)
        return elements
    }

    private func endLabels(_ elements: Elements, width: Double = 860) -> [Elements.Element] {
        elements["text"].filter { $0.attributes["text-anchor"] == nil && $0.number("x")! > 100 }
    }

    // MARK: Lines

    @Test("Points are at their places on the axes")
    func pointsAreWhereTheAxesSay() throws {
        let svg = plot(
            [Series("", x: [0, 5, 10], y: [0, 10, 5])], y: Axis("", range: 0...10)
        ).svg
        let path = try #require(try check(svg)["path"].first { $0.attributes["stroke-width"] == "1.8" })
        let points = try #require(path.runs.first)
        // The base line runs from end to end of x; y = 0 is on it, y = 10 at the top.
        #expect(points.map(\.y) == [278, 10, 144])
        #expect(points[1].x == (points[0].x + points[2].x) / 2)
    }

    @Test("Logarithmic axes skip zero and negative values")
    func logarithmicAxesSkipWhatTheyCannotShow() throws {
        let logarithmic = Axis("", scale: .logarithmic, range: 1...100)
        let svg = plot([Series("", x: [0, 1, 2, 3, 4], y: [1, 0, 10, -3, 100])], y: logarithmic).svg
        let path = try #require(try check(svg)["path"].first { $0.attributes["stroke-width"] == "1.8" })
        #expect(path.runs.map { $0.map(\.y) } == [[278, 278], [144, 144], [10, 10]])
    }

    @Test("Many series are labeled without overlap and told apart without color")
    func manySeriesAreLabeledWithoutOverlap() throws {
        let names = (0..<30).map { "run number \($0) with a name too long for the margin to hold it" }
        let series = names.map { Series($0, x: [0, 1], y: [1, 2]) }
        let elements = try check(plot(series, references: [ReferenceLine(2, "floor 2.00")]).svg)
        let labels = endLabels(elements)
        #expect(labels.count == 31)
        let heights = labels.compactMap { $0.number("y") }.sorted()
        // Placed to a tenth.
        #expect(zip(heights, heights.dropFirst()).allSatisfy { $1 - $0 >= 14.8 })
        // What was cut can still be read.
        #expect(Set(elements["title"].map(\.text)).isSuperset(of: names))
        // Told apart without colors: 30 lines with different pairs of color and dash.
        let looks = elements["path"].filter { $0.attributes["stroke-width"] == "1.8" }
            .map { "\($0.attributes["stroke"]!) \($0.attributes["stroke-dasharray"] ?? "")" }
        #expect(Set(looks).count == 30)
    }

    @Test("A plot of 100,000 points stays small and keeps its extremes")
    func aHundredThousandPointsStaySmall() throws {
        let x = (1...100_000).map(Double.init)
        let y = x.map { 2 + sin($0) + 6 / $0 }
        let svg = plot([
            Series("", x: x, y: y, style: .faint, color: 0),
            Series("training", x: x, y: Series.smoothed(y), color: 0),
        ]).svg
        try check(svg)
        // Two points of some ten characters a column and series.
        #expect(svg.utf8.count < 860 * 2 * 2 * 12)
        // The spike of the first step is there.
        let highest = Elements(svg)["path"].flatMap(\.runs).joined().map(\.y).min()!
        #expect(highest < 40)
    }

    @Test(
        "Values that cannot be drawn leave a whole plot",
        arguments: [
            [], [1], [.nan], [3, 3, 3, 3], [0, 0], [.nan, 1, .nan, 2, .infinity, -.infinity], [-1e308, 1e308],
            [.leastNonzeroMagnitude, .leastNonzeroMagnitude], [5, 5.000000000000001],
        ] as [[Double]], [AxisScale.linear, .logarithmic])
    func strangeValues(_ values: [Double], _ scale: AxisScale) throws {
        let x = values.indices.map(Double.init)
        for style in [Series.Style.line, .faint, .points] {
            let series = Series("training", x: x, y: values, style: style)
            let axis = Axis("bits", scale: scale)
            let elements = try check(plot([series], y: axis, references: [ReferenceLine(.nan, "floor")]).svg)
            let canShow = values.contains { axis.accepts($0) }
            #expect(elements["text"].contains { $0.text == "nothing to draw" } == !canShow)
            #expect(elements["text"].contains { $0.text == "training" } == canShow)
            #expect(!elements["text"].contains { $0.text == "floor" })
            #expect(elements["text"].contains { $0.attributes["text-anchor"] == "end" })
        }
    }

    @Test("A single point is a dot")
    func aSinglePointIsADot() throws {
        let elements = try check(plot([Series("v", x: [3], y: [2], style: .points)]).svg)
        #expect(elements["circle"].count == 1)
        #expect(elements["title"].contains { $0.text == "v, 3: 2" })
        let path = try #require(elements["path"].first { $0.attributes["stroke-width"] == "1.8" })
        #expect(path.runs[0].count == 2)  // from the point to itself, which round caps make a dot
    }

    @Test("Values outside the range are cut off")
    func whatIsOutsideARangeIsCutOff() throws {
        let series = Series("v", x: [0, 1, 2], y: [100, 1, 2], style: .points)
        let elements = try check(plot([series], y: Axis("", range: 0...4)).svg)
        #expect(elements["circle"].count == 2)
        #expect(elements["svg"].count == 2)
        #expect(elements["svg"][1].attributes["overflow"] == "hidden")
    }

    @Test("Small plots have room for their text")
    func smallPlotsHaveRoomForTheirText() throws {
        for height in [100.0, 220] {
            let plot = LinePlot(
                "small", x: Axis("step", format: .compact), y: Axis("tokens/s"),
                series: [Series("", x: [0, 123_456], y: [10, 1_234_567])], width: 300, height: height)
            try check(plot.svg)
        }
    }

    @Test("Points have shapes")
    func pointsHaveShapes() throws {
        let series = (0..<7).map { Series("line \($0)", x: [0, 1], y: [1, Double($0)], style: .points, marker: $0) }
        let elements = try check(plot(series).svg)
        // Of each line two points and its label.
        #expect(elements["circle"].count == 3 && elements["polygon"].count == 6 * 3)
        #expect(elements["polygon"].filter { $0.text.isEmpty }.count == 18)  // what they say stands in their titles
        let shapes = elements["polygon"].map { $0.attributes["points"]!.split(separator: " ").count }
        #expect(Set(shapes) == [3, 4, 8, 10])
        // Without a shape, the label has a piece of its line alone.
        #expect(try check(plot([Series("v", x: [0, 1], y: [1, 2], style: .points)]).svg)["circle"].count == 2)
    }

    @Test("Marks are at their places, those beyond the axis left out")
    func marksStandAtTheirPlaces() throws {
        var plot = plot([Series("", x: [0, 10], y: [0, 1])])
        plot.marks = [ReferenceLine(5, "the middle"), ReferenceLine(10, "the end"), ReferenceLine(11, "beyond")]
        let elements = try check(plot.svg)
        let (middle, end) = (
            elements["text"].first { $0.text == "the middle" }, elements["text"].first { $0.text == "the end" }
        )
        #expect(!elements["text"].contains { $0.text == "beyond" })
        let lines = elements["path"].filter { $0.attributes["stroke-dasharray"] == "2 3" }.map { $0.runs[0].map(\.x) }
        #expect(lines.count == 2 && lines.allSatisfy { $0[0] == $0[1] })
        let base = try #require(
            elements["path"].first {
                $0.runs[0].count == 2 && $0.runs[0][0].y == 278 && $0.runs[0][1].y == 278
                    && $0.attributes["stroke-opacity"] == "60%"
            })
        // Drawn to a tenth.
        #expect(abs(lines[0][0] - (base.runs[0][0].x + base.runs[0][1].x) / 2) < 0.11)
        #expect(lines[1][0] == base.runs[0][1].x)
        #expect(middle != nil && end != nil)
        // Labels that would cover others are left out.
        plot.marks = [ReferenceLine(5, "one"), ReferenceLine(5.01, "two")]
        let crowded = try check(plot.svg)["text"].map(\.text)
        #expect(crowded.contains("one") && !crowded.contains("two"))
    }

    // MARK: Bars

    @Test("Bars are as high as their values")
    func barsAreAsHighAsTheirValues() throws {
        let plot = BarPlot(
            "answered", categories: ["near", "far", "farther"], categoryLabel: "distance",
            y: Axis("answered", range: 0...1, format: .percent), bars: [.init("a", [1, 0.5, nil])],
            references: [ReferenceLine(0.25, "chance")], valueText: { Numbers.text($0 * 100) + "%" })
        let elements = try check(plot.svg)
        #expect(elements["rect"].compactMap { $0.number("height") } == [212, 106])
        let texts = elements["text"].map(\.text)
        for text in ["near", "far", "farther", "distance", "chance", "50%", "100%"] { #expect(texts.contains(text)) }
        #expect(elements["rect"].count == 2)
    }

    @Test("Groups of bars are told apart by color and hatching")
    func groupsOfBarsAreToldApart() throws {
        let bars = (0..<9).map { index in
            BarPlot.Bars("run \(index)", (0..<4).map { Double($0 + index) / 12 } + [.nan])
        }
        let plot = BarPlot("g", categories: ["a", "b", "c", "d", "e"], y: Axis("", format: .percent), bars: bars)
        let elements = try check(plot.svg)
        #expect(elements["rect"].count == 9 * 4 + 9)  // and those of the legend
        // By color and hatching, for as many as there will ever be.
        let looks = (0..<40).map { index in
            var canvas = Canvas()
            canvas.bar(x: 0...40, y: 0...40, index, title: "")
            return canvas.elements
        }
        #expect(Set(looks).count == 40)
        let bodies = elements["rect"].dropFirst(9).sorted { $0.number("x")! < $1.number("x")! }
        #expect(zip(bodies, bodies.dropFirst()).allSatisfy { $0.number("x")! + $0.number("width")! <= $1.number("x")! })
        // Hatching stays within its bar.
        let right = bodies.map { $0.number("x")! + $0.number("width")! }.max()!
        #expect(
            elements["path"].filter { $0.attributes["stroke-width"] == "1.2" }.flatMap(\.runs).joined().allSatisfy {
                $0.x <= right + 0.1 && $0.y <= 300
            })
    }

    @Test("Bars without values leave a whole plot")
    func barsWithoutValues() throws {
        for values in [[], [nil], [.nan], [0]] as [[Double?]] {
            let elements = try check(
                BarPlot("b", categories: ["a"], y: Axis("y"), bars: [.init("x", values)]).svg)
            #expect(elements["text"].contains { $0.text == "nothing to draw" } == (values != [0]))
        }
        try check(BarPlot("b", categories: [], y: Axis(), bars: []).svg)
    }

    @Test("Named bars are in proportion")
    func namedBarsAreInProportion() throws {
        let plot = NamedBars(
            "tokens per second", names: ["a", "a run with a name that is by far too long to be shown whole", "c", "d"],
            values: [100, 200, nil, .nan])
        let elements = try check(plot.svg)
        let widths = elements["rect"].compactMap { $0.number("width") }
        #expect(widths.count == 2 && abs(widths[1] / widths[0] - 2) < 0.01)  // placed to a tenth of hundreds
        #expect(elements["text"].map(\.text).filter { $0 == "–" }.count == 2)
        try check(NamedBars("none", names: [], values: []).svg)
        try check(NamedBars("zero", names: ["a"], values: [0]).svg)
    }
}
