import AttentionZooReports
import Testing

@Suite struct TableTests {
    private let table = Table(
        head: ["model", "bits", "speed"],
        rows: [["FLASH", "1.85", "12,345"], ["a | <b>", "1.9", "–"], ["short"]], numeric: [1, 2],
        marked: [.init(row: 0, column: 1)])

    @Test("Marked cells are bold")
    func markedCellsAreBold() {
        let elements = Elements(table.html.source)
        #expect(elements["strong"].map(\.text) == ["1.85"])
        #expect(elements["div"].map { $0.attributes["class"] } == ["table"])
        let many = Table(head: nil, rows: [(0..<12).map { "\($0)" }])
        #expect(Elements(many.html.source)["div"].map { $0.attributes["class"] } == ["table wide"])
    }

    @Test("Terminals show numbers at the right, with or without a star")
    func linesForTerminals() {
        #expect(
            table.text == """
                model    bits    speed
                FLASH    1.85*  12,345
                a | <b>   1.9        –
                short

                """)
        #expect(Table(rows: []).text == "")
        #expect(Table(rows: [["a", "1"], ["bb", "22"]], numeric: [1]).text == "a    1\nbb  22\n")
    }

    @Test("Markdown tables mark and escape their cells")
    func linesOfMarkdown() {
        #expect(
            table.markdown == """
                | model | bits | speed |
                | --- | ---: | ---: |
                | FLASH | **1.85** | 12,345 |
                | a \\| \\<b> | 1.9 | – |
                | short |  |  |

                """)
        #expect(Table(rows: []).markdown == "")
        #expect(Table(rows: [["a\nb"]]).markdown == "|  |\n| --- |\n| a b |\n")
    }

    @Test("Markdown's own characters are escaped")
    func markdownIsShownAsItIs() {
        #expect(
            Markdown.escape("a_b *c* `d` [e](f) <g> ~h~ \\ |\r\ni")
                == "a\\_b \\*c\\* \\`d\\` \\[e\\](f) \\<g> \\~h\\~ \\\\ \\| i")
    }

    @Test("List items have bold topics")
    func listsHaveTopics() {
        let elements = Elements(HTML.list([("For <a>:", "b & c."), ("", "d")]).source)
        #expect(elements["strong"].map(\.text) == ["For <a>:"])
        #expect(elements["li"].map(\.text) == [" b & c.", "d"])
    }
}
