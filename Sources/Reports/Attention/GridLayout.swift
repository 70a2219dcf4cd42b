import Foundation

/// The layout of the pictures and the texts of a grid.
struct GridLayout {
    private static let margin = 28, gap = 12
    /// Narrower grids get room beside them, for the texts.
    private static let leastWidth = 420
    /// Dots a dot of the font: of the title, and of all other texts.
    private static let large = 3, small = 2
    private static let line = PixelFont.height + 3
    private static let soft = Color(95, 95, 95), edge = Color(185, 185, 185)
    private static let barWidth = 150, barHeight = 14

    private let grid: AttentionGrid
    private let rows: [AttentionGrid.Row]
    private let columnWidth: Int, columns: Int
    private let names: [[String]], captions: [[[String]]]
    private let title: [String], note: [String]
    private let width: Int
    /// The room of the names at the left.
    private let nameRoom: Int
    private let commonRange: ClosedRange<Float>?

    init(_ grid: AttentionGrid, _ rows: [AttentionGrid.Row]) {
        (self.grid, self.rows) = (grid, rows)
        columns = rows.map(\.panels.count).max() ?? 0
        let columnWidth = rows.flatMap(\.panels).map(\.width).max() ?? 0
        self.columnWidth = columnWidth
        names = rows.map { row in
            row.name.map { PixelFont.lines(of: $0, width: row.height / Self.small) } ?? []
        }
        captions = rows.map { $0.captions.map { PixelFont.lines(of: $0, width: columnWidth / Self.small) } }
        nameRoom = Self.height(names.map(\.count).max() ?? 0, Self.small)
        let pictures = columns * (columnWidth + Self.gap) - (columns > 0 ? Self.gap : 0)
        width = max(nameRoom + pictures, Self.leastWidth)
        title = PixelFont.lines(of: grid.title, width: width / Self.large)
        note = PixelFont.lines(of: grid.note, width: width / Self.small)
        let ranges = rows.flatMap(\.panels).compactMap(\.range)
        let least = ranges.map(\.lowerBound).min()
        commonRange = grid.sharesScale ? least.map { $0...ranges.map(\.upperBound).max()! } : nil
    }

    private static func height(_ lines: Int, _ scale: Int) -> Int { lines * line * scale }

    private func captionHeight(_ row: Int) -> Int {
        let lines = captions[row].map(\.count).max() ?? 0
        return lines > 0 ? Self.height(lines, Self.small) + Self.gap / 2 : 0
    }

    func draw() -> Raster {
        let head = Self.height(title.count, Self.large) + Self.height(note.count, Self.small)
        let body = rows.indices.reduce(0) { $0 + rows[$1].height + captionHeight($1) + Self.gap }
        let foot = Self.gap + Self.barHeight
        var raster = Raster(
            width: width + 2 * Self.margin, height: head + Self.gap + body + foot + 2 * Self.margin)
        var y = Self.margin
        write(title, y: &y, scale: Self.large, .black, on: &raster)
        write(note, y: &y, scale: Self.small, Self.soft, on: &raster)
        y += Self.gap
        for row in rows.indices { draw(row, &y, on: &raster) }
        drawKey(y: y + Self.gap, on: &raster)
        return raster
    }

    /// Centred lines.
    private func write(_ lines: [String], y: inout Int, scale: Int, _ color: Color, on raster: inout Raster) {
        for line in lines {
            write(line, middle: Self.margin + width / 2, y: y, scale, color, on: &raster)
            y += Self.line * scale
        }
    }

    private func write(
        _ line: String, middle: Int, y: Int, _ scale: Int, _ color: Color, on raster: inout Raster
    ) {
        raster.write(line, x: middle - PixelFont.width(of: line) * scale / 2, y: y, scale: scale, color: color)
    }

    private func draw(_ row: Int, _ y: inout Int, on raster: inout Raster) {
        let pictures = nameRoom + columns * (columnWidth + Self.gap) - Self.gap
        let left = Self.margin + (width - pictures) / 2
        for (index, line) in names[row].enumerated() {
            let length = PixelFont.width(of: line) * Self.small
            raster.write(
                line, x: left + index * Self.line * Self.small, y: y + (rows[row].height + length) / 2,
                scale: Self.small, upwards: true)
        }
        for (column, panel) in rows[row].panels.enumerated() {
            let start = left + nameRoom + column * (columnWidth + Self.gap) + (columnWidth - panel.width) / 2
            panel.draw(on: &raster, x: start, y: y, range: commonRange ?? panel.range, grid.colors)
            raster.frame(x: start..<start + panel.width, y: y..<y + panel.height, Self.edge)
            var below = y + rows[row].height + Self.gap / 2 + Self.small
            for line in captions[row][column] {
                write(line, middle: start + panel.width / 2, y: below, Self.small, .black, on: &raster)
                below += Self.line * Self.small
            }
        }
        y += rows[row].height + captionHeight(row) + Self.gap
    }

    /// Draws the key of the colors.
    private func drawKey(y: Int, on raster: inout Raster) {
        let ends = commonRange.map { [Self.number($0.lowerBound), Self.number($0.upperBound)] }
        let texts = ends ?? ["least", "greatest of each picture"]
        let widths = texts.map { PixelFont.width(of: $0) * Self.small }
        let whole = widths[0] + Self.barWidth + widths[1] + 2 * Self.gap
        let left = Self.margin + (width - whole) / 2
        let bar = left + widths[0] + Self.gap
        let text = y + (Self.barHeight - PixelFont.capitalHeight * Self.small) / 2
        raster.write(texts[0], x: left, y: text, scale: Self.small, color: Self.soft)
        for step in 0..<Self.barWidth {
            let color = grid.colors(Double(step) / Double(Self.barWidth - 1))
            raster.fill(x: bar + step..<bar + step + 1, y: y..<y + Self.barHeight, color)
        }
        raster.frame(x: bar..<bar + Self.barWidth, y: y..<y + Self.barHeight, Self.edge)
        raster.write(
            texts[1], x: bar + Self.barWidth + Self.gap, y: text, scale: Self.small, color: Self.soft)
    }

    private static func number(_ value: Float) -> String { String(format: "%.3g", value) }
}
