import Testing

@testable import AttentionZooReports

@Suite struct HeatmapTests {
    @Test("Color maps darken steadily from white")
    func colorsGetDarkerFromWhiteOn() {
        for map in [ColorMap.reds, .blues] {
            let colors = (0...255).map { map(Double($0) / 255) }
            #expect(zip(colors, colors.dropFirst()).allSatisfy { $0.lightness > $1.lightness })
        }
        let colors = (0...255).map { ColorMap.reds(Double($0) / 255) }
        #expect(colors.first == .white && colors.last == Color(95, 0, 18))
        #expect(ColorMap.reds(-3) == colors.first && ColorMap.reds(7) == colors.last)
        for value in [Double.nan, .infinity, -.infinity] { #expect(ColorMap.reds(value) == ColorMap.reds.missing) }
        let two = ColorMap([Color(0, 10, 200), Color(100, 20, 0)], missing: .black)
        #expect(two(0) == Color(0, 10, 200) && two(1) == Color(100, 20, 0) && two(0.5).red == 50)
        #expect(Color(0, 114, 178).hex == "#0072b2")
    }

    @Test("Cells are colored by their values")
    func cellsAreColoredByTheirValues() throws {
        let plot = HeatmapPlot(
            "shares",
            rows: ["Layer 1", "a layer with <a name> that is by far too long to be shown beside its cells, whole"],
            columns: ["Head 1", "Head 2", "Head 3"], values: [[0.25, 1, .nan], [0.5]])
        let elements = Elements(plot.svg)
        let cells = elements["rect"]
        #expect(cells.count == 4)
        let fills = cells.compactMap { $0.attributes["fill"] }
        #expect(fills[1] == ColorMap.reds(1).hex && fills[2] == ColorMap.reds.missing.hex)
        #expect(Set(fills).count == 4)
        let texts = elements["text"]
        for text in ["Layer 1", "Head 3", "0.25", "1.00", "–", "0.50"] {
            #expect(texts.contains { $0.text == text }, "\(text)")
        }
        // Numbers can be read on what is below them.
        #expect(texts.first { $0.text == "1.00" }?.attributes["fill"] == "white")
        #expect(texts.first { $0.text == "0.25" }?.attributes["fill"] == "black")
        let width = 860.0
        #expect(cells.allSatisfy { $0.number("x")! + $0.number("width")! <= width })
    }

    @Test("Empty, constant, and missing values make a whole heatmap")
    func strangeHeatmaps() {
        for values in [[], [[]], [[3, 3]], [[.nan, .infinity]]] as [[[Double]]] {
            let rows = values.indices.map { "row \($0)" }
            let svg = HeatmapPlot("h", rows: rows, columns: ["a", "b"], values: values).svg
            #expect(!svg.contains("nan") && !svg.contains("inf"))
            #expect(Elements(svg)["rect"].count == (values.first ?? []).count)
        }
        // Cells too narrow for their numbers say them when pointed at.
        let many = HeatmapPlot(
            "h", rows: ["r"], columns: (0..<60).map { "c\($0)" }, values: [(0..<60).map { Double($0) / 60 }])
        let elements = Elements(many.svg)
        #expect(!elements["text"].contains { $0.text == "0.50" })
        #expect(elements["title"].contains { $0.text == "r, c30: 0.50" })
    }

    @Test("A plot as a document has a namespace and a visible title")
    func aPlotAsADocument() {
        let plot = LinePlot("a <plot>", x: Axis("x"), y: Axis("y"), series: [Series("s", x: [0, 1], y: [1, 2])])
        let document = plot.svgDocument
        #expect(document.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\""))
        let (elements, inner) = (Elements(document), Elements(plot.svg))
        #expect(elements["text"].first?.text == "a <plot>")
        #expect(elements["path"].count == inner["path"].count)
        #expect(elements["svg"][0].number("width")! >= 860)
    }
}
