import Foundation

/// Letters of dots for labels: ASCII and a few signs, proportionally spaced. Accents are left off, and a box stands for
/// what there is no letter for.
enum PixelFont {
    /// Dots from the top of a capital to the bottom of a j.
    static let height = 9
    /// Dots from the top of a capital to the base line.
    static let capitalHeight = 7

    private static let spacing = 1
    private static let spaceWidth = 3

    /// The lit dots of a letter, by column and row.
    private struct Glyph {
        let width: Int
        let dots: [(column: Int, row: Int)]

        func isLit(_ column: Int, _ row: Int) -> Bool { dots.contains { $0 == (column, row) } }
    }

    private static let glyphs: [Character: Glyph] = {
        var glyphs: [Character: Glyph] = [" ": Glyph(width: spaceWidth, dots: [])]
        for band in bands {
            let rows = band.art.split(separator: "\n", omittingEmptySubsequences: false).map(Array.init)
            for (index, letter) in band.letters.enumerated() { glyphs[letter] = glyph(rows, from: index * cell) }
        }
        return glyphs
    }()

    /// The cell of a letter in the art, less the empty columns around it.
    private static func glyph(_ rows: [[Character]], from start: Int) -> Glyph {
        var dots: [(column: Int, row: Int)] = []
        for (row, line) in rows.enumerated() {
            for column in start..<start + cell where column < line.count && line[column] == "#" {
                dots.append((column, row))
            }
        }
        let (first, last) = (dots.map(\.column).min() ?? 0, dots.map(\.column).max() ?? 0)
        return Glyph(width: last - first + 1, dots: dots.map { ($0.column - first, $0.row) })
    }

    private static let unknown = Glyph(
        width: 4,
        dots: (0..<4).flatMap { column in [(column, 0), (column, 6)] } + (1..<6).flatMap { [(0, $0), (3, $0)] })

    private static func glyph(_ character: Character) -> Glyph {
        if let known = glyphs[character] { return known }
        let plain = String(character).decomposedStringWithCanonicalMapping.unicodeScalars.first.map(Character.init)
        return plain.flatMap { glyphs[$0] } ?? unknown
    }

    // MARK: Lines

    /// Calls `body` with each lit dot of a line of text.
    static func forEachDot(of text: String, _ body: (_ column: Int, _ row: Int) -> Void) {
        var start = 0
        for character in text {
            let glyph = glyph(character)
            for dot in glyph.dots { body(start + dot.column, dot.row) }
            start += glyph.width + spacing
        }
    }

    /// Calls `body` with each dark corner of a slanting stroke: a dot that is not lit between two that are and meet
    /// at their corners, and towards which of its corners they lie.
    static func forEachStep(
        of text: String, _ body: (_ column: Int, _ row: Int, _ toRight: Bool, _ toBottom: Bool) -> Void
    ) {
        var start = 0
        for character in text {
            let glyph = glyph(character)
            for (column, row) in glyph.dots {
                for side in [-1, 1] where glyph.isLit(column + side, row + 1) {
                    // Two dots that touch at a corner only: the two beside them have that corner too.
                    guard !glyph.isLit(column + side, row), !glyph.isLit(column, row + 1) else { continue }
                    body(start + column + side, row, side < 0, true)
                    body(start + column, row + 1, side > 0, false)
                }
            }
            start += glyph.width + spacing
        }
    }

    /// The width of a line of text.
    static func width(of text: String) -> Int {
        max(text.reduce(0) { $0 + glyph($1).width + spacing } - spacing, 0)
    }

    /// Breaks a text between words into lines that are no wider than `width` dots; a word that is too long is cut.
    static func lines(of text: String, width: Int) -> [String] {
        var lines: [String] = []
        for word in text.split(whereSeparator: \.isWhitespace) {
            if let line = lines.last, Self.width(of: "\(line) \(word)") <= width {
                lines[lines.count - 1] = "\(line) \(word)"
            } else {
                lines.append(fitting(String(word), width: width))
            }
        }
        return lines
    }

    private static func fitting(_ word: String, width: Int) -> String {
        var kept = word
        while !kept.isEmpty, Self.width(of: kept == word ? word : kept + "…") > width { kept.removeLast() }
        return kept == word ? word : kept + "…"
    }
}
