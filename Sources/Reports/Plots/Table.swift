/// Rows of text under the names of their columns, for pages, terminals and documents.
package struct Table: Sendable {
    /// The place of a cell; the head is no row.
    package struct Cell: Hashable, Sendable {
        /// The row, from 0.
        package var row: Int
        /// The column, from 0.
        package var column: Int

        /// Creates the place of a cell.
        package init(row: Int, column: Int) { (self.row, self.column) = (row, column) }
    }

    /// nil for a table without a head.
    package var head: [String]?
    /// The rows of cells; short ones are filled up.
    package var rows: [[String]]
    /// The columns that hold numbers, which are aligned at the right.
    package var numeric: Set<Int>
    /// Cells that stand out: bold, or with a star in a terminal.
    package var marked: Set<Cell>

    /// Creates a table.
    package init(head: [String]? = nil, rows: [[String]], numeric: Set<Int> = [], marked: Set<Cell> = []) {
        self.head = head
        self.rows = rows
        self.numeric = numeric
        self.marked = marked
    }

    private func isMarked(_ row: Int, _ column: Int) -> Bool { marked.contains(Cell(row: row, column: column)) }

    // MARK: Pages

    /// With more columns, cells stand closer together and names may take several lines.
    private static let mostWideColumns = 8

    /// The first column names the rows.
    package var html: HTML {
        func cells(_ row: [String], _ name: (Int) -> String, isMarked: (Int) -> Bool) -> HTML {
            row.enumerated().reduce(HTML.empty) { html, cell in
                let text = isMarked(cell.0) ? HTML.element("strong", .text(cell.1)) : .text(cell.1)
                return html + .element(name(cell.0), class: numeric.contains(cell.0) ? "number" : "", text)
            }
        }
        let head = head.map {
            HTML.element("thead", .element("tr", cells($0, { _ in "th" }, isMarked: { _ in false })))
        }
        let body = rows.enumerated().reduce(HTML.empty) { html, row in
            html + .element("tr", cells(row.1, { $0 == 0 ? "th" : "td" }, isMarked: { isMarked(row.0, $0) })) + .newline
        }
        let columns = rows.map(\.count).max() ?? 0
        return .element(
            "div", class: columns > Self.mostWideColumns ? "table wide" : "table",
            .element("table", (head ?? .empty) + .element("tbody", body))) + .newline
    }

    // MARK: Terminals

    /// Lines of aligned columns with two spaces between them, each ended by a line end; empty where there is nothing.
    package var text: String {
        let shown = rows.enumerated().map { row, cells in
            cells.enumerated().map { column, cell in cell + (isMarked(row, column) ? "*" : room(row, column)) }
        }
        let head = head.map { cells in [cells.enumerated().map { $1 + room(nil, $0) }] } ?? []
        let lines = head + shown
        let count = lines.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in
            lines.map { $0.indices.contains(column) ? $0[column].count : 0 }.max() ?? 0
        }
        return lines.map { Self.line($0, widths, numeric) + "\n" }.joined()
    }

    /// Numbers stand below each other, with and without a star.
    private func room(_ row: Int?, _ column: Int) -> String {
        numeric.contains(column) && marked.contains { $0.column == column } ? " " : ""
    }

    private static func line(_ cells: [String], _ widths: [Int], _ numeric: Set<Int>) -> String {
        var line = cells.enumerated().map { column, cell in
            let space = String(repeating: " ", count: widths[column] - cell.count)
            return numeric.contains(column) ? space + cell : cell + space
        }.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line
    }

    // MARK: Documents

    /// A table of GitHub's markdown, each line ended by a line end. Short rows are filled up.
    package var markdown: String {
        let columns = max(rows.map(\.count).max() ?? 0, head?.count ?? 0)
        guard columns > 0 else { return "" }
        func line(_ cells: [String]) -> String {
            "| " + (cells + Array(repeating: "", count: columns - cells.count)).joined(separator: " | ") + " |\n"
        }
        let body = rows.enumerated().map { row, cells in
            line(
                cells.enumerated().map { column, cell in
                    let text = Markdown.escape(cell)
                    return isMarked(row, column) && !text.isEmpty ? "**\(text)**" : text
                })
        }
        return line((head ?? []).map(Markdown.escape))
            + line((0..<columns).map { numeric.contains($0) ? "---:" : "---" }) + body.joined()
    }
}

/// Text for documents of GitHub's markdown.
package enum Markdown {
    /// Text that is shown as it is, in one line, also within a cell of a table.
    package static func escape(_ text: String) -> String {
        text.reduce(into: "") { escaped, character in
            if character.isNewline {
                escaped += " "
            } else {
                if "\\`*_[]<|~".contains(character) { escaped += "\\" }
                escaped.append(character)
            }
        }
    }
}
