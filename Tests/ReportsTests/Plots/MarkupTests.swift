import AttentionZooReports
import Testing

@Suite struct MarkupTests {
    @Test("Characters with a meaning are escaped")
    func whatHasAMeaningBecomesReferences() {
        #expect(
            Markup.escape("<script>alert(\"a\" & 'b')</script>")
                == "&lt;script&gt;alert(&quot;a&quot; &amp; &#39;b&#39;)&lt;/script&gt;")
        #expect(Markup.escape("naïve €\t\n\r𝄞") == "naïve €\t\n\r𝄞")
        // A combining mark after a character with a meaning must not hide it.
        #expect(Markup.escape("<\u{301}") == "&lt;\u{301}")
    }

    @Test("Characters that are not allowed are replaced")
    func whatIsNotAllowedBecomesTheReplacementCharacter() {
        #expect(
            Markup.escape("a\0b\u{1B}c\u{7F}\u{85}\u{FFFE}\u{1FFFF}d") == "a\u{FFFD}b\u{FFFD}c"
                + String(repeating: "\u{FFFD}", count: 4) + "d")
        let bytes: [UInt8] = [0x61, 0xFF, 0xC3, 0x28, 0xED, 0xA0, 0x80]
        #expect(Markup.escape(String(decoding: bytes, as: UTF8.self)).hasPrefix("a\u{FFFD}\u{FFFD}(\u{FFFD}"))
    }

    private static let hostile = "</pre></title><script>x</script>&amp;\"'\0]]><!--"

    @Test("A page is well-formed, whatever text it shows")
    func pageIsWellFormedWhateverIsShown() throws {
        let text = Self.hostile
        var page = Page(text, subtitle: text)
        let plot = LinePlot(
            text, x: Axis(text), y: Axis(text), series: [Series(text, x: [0, 1], y: [1, 2], style: .points)],
            references: [ReferenceLine(1, text)])
        let bars = BarPlot(
            text, categories: [text], categoryLabel: text, y: Axis(text), bars: [.init(text, [1]), .init(text, [2])],
            references: [ReferenceLine(1, text)], valueText: { _ in text })
        let named = NamedBars(text, names: [text], values: [1], valueText: { _ in text })
        page.add(
            text,
            .paragraph(text) + .heading(text) + .code(text) + .continuation(of: text, text)
                + .pairs([.figure(text, caption: text, svg: plot.svg), .figure(text, svg: bars.svg)])
                + .figure(text, svg: named.svg) + Table(head: [text], rows: [[text]]).html)
        let elements = Elements(page.html)
        let shown = text.replacing("\0", with: "\u{FFFD}")
        #expect(elements["script"].isEmpty)
        #expect(elements["h1"].map(\.text) == [shown])
        #expect(elements["h2"].map(\.text) == [shown])
        #expect(elements["pre"].count == 2)
        #expect(elements["b"].map(\.text) == [shown])
        #expect(
            elements["svg"].filter { $0.attributes["role"] == "img" }.map { $0.attributes["aria-label"] }
                == Array(repeating: shown, count: 3))
    }

    @Test("A page refers to nothing outside itself")
    func pageIsSelfContained() {
        var page = Page("A run")
        page.add("Plot", .figure("a", svg: LinePlot("a", x: Axis(), y: Axis(), series: []).svg))
        let elements = Elements(page.html)
        let names = Set(elements.all.map(\.name))
        #expect(names.isDisjoint(with: ["script", "link", "img", "image", "iframe", "object", "a", "use"]))
        let attributes = Set(elements.all.flatMap(\.attributes.keys))
        #expect(attributes.isDisjoint(with: ["href", "src", "xlink:href", "xmlns", "style", "onload"]))
        #expect(!page.html.contains("://") && !page.html.contains("url(") && !page.html.contains("@import"))
    }

    @Test("Tables hold their cells")
    func tablesHoldTheirCells() {
        let table = Table(head: ["run", "bits"], rows: [["a", "1.25"], ["b & c", "2"]], numeric: [1]).html
        let elements = Elements(table.source)
        #expect(elements["th"].map(\.text) == ["run", "bits", "a", "b & c"])
        #expect(elements["td"].map(\.text) == ["1.25", "2"])
        #expect(elements["td"].allSatisfy { $0.attributes["class"] == "number" })
        #expect(Elements(Table(rows: [["a", "b"]]).html.source)["thead"].isEmpty)
    }

    @Test("A prompt is set apart and keeps its line ends")
    func promptIsSetApartAndLineEndsStay() {
        let elements = Elements(HTML.continuation(of: "\nOnce", " upon\n a time").source)
        #expect(elements["b"].map(\.text) == ["\nOnce"])
        #expect(elements["span"].map(\.text) == [" upon\n a time"])
    }
}
