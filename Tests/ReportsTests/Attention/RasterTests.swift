import CZlib
import Foundation
import Tensors
import Testing

@testable import AttentionZooReports

/// A PNG file, taken apart by the standard's rules (ISO/IEC 15948, clauses 5, 7 and 11).
struct DecodedPNG {
    struct Problem: Error {
        let what: String
    }

    let width: Int
    let height: Int
    /// [height, width, 3]
    let bytes: [UInt8]
    private(set) var chunks: [String] = []

    init(_ file: [UInt8]) throws {
        func number(_ start: Int) -> Int { file[start..<start + 4].reduce(0) { $0 << 8 | Int($1) } }
        guard file.prefix(8) == [137, 80, 78, 71, 13, 10, 26, 10] else { throw Problem(what: "signature") }
        var (place, header, compressed): (Int, [UInt8], [UInt8]) = (8, [], [])
        while place < file.count {
            let (length, name) = (number(place), String(decoding: file[place + 4..<place + 8], as: UTF8.self))
            let named = Array(file[place + 4..<place + 8 + length])
            guard number(place + 8 + length) == Int(crc32(0, named, UInt32(named.count))) else {
                throw Problem(what: "CRC of \(name)")
            }
            if name == "IHDR" { header = Array(named.dropFirst(4)) }
            if name == "IDAT" { compressed += named.dropFirst(4) }
            chunks.append(name)
            place += 12 + length
        }
        guard header.count == 13, Array(header.suffix(5)) == [8, 2, 0, 0, 0] else { throw Problem(what: "IHDR") }
        (width, height) = (header[0..<4].reduce(0) { $0 << 8 | Int($1) }, header[4..<8].reduce(0) { $0 << 8 | Int($1) })
        var size = UInt(height * (1 + 3 * width))
        var rows = [UInt8](repeating: 255, count: Int(size))
        guard uncompress(&rows, &size, compressed, UInt(compressed.count)) == Z_OK, Int(size) == rows.count else {
            throw Problem(what: "deflate")
        }
        let line = 1 + 3 * width
        guard (0..<height).allSatisfy({ rows[$0 * line] == 0 }) else { throw Problem(what: "filter") }
        bytes = (0..<height).flatMap { [rows] row in rows[row * line + 1..<(row + 1) * line] }
    }
}

@Suite struct RasterTests {
    @Test("A PNG file holds the pixels", arguments: [(1, 1), (3, 2), (257, 130)])
    func aPNGHoldsTheDots(width: Int, height: Int) throws {
        var raster = Raster(width: width, height: height, color: Color(1, 2, 3))
        for (index, number) in RandomKey(seed: 1).integers(width * height).enumerated() where number % 3 > 0 {
            raster[index % width, index / width] = Color(
                UInt8(number % 251), UInt8(number / 251 % 251), UInt8(number / 65536 % 251))
        }
        let decoded = try DecodedPNG(raster.png)
        #expect(decoded.chunks == ["IHDR", "IDAT", "IEND"])
        #expect((decoded.width, decoded.height) == (width, height))
        #expect(decoded.bytes == raster.bytes)
        #expect(raster[0, 0] == Color(raster.bytes[0], raster.bytes[1], raster.bytes[2]))
    }

    @Test("Rectangles are clipped at the edge")
    func rectanglesAreCutOffAtTheEdge() {
        var raster = Raster(width: 5, height: 4)
        raster.fill(x: -3..<2, y: 2..<99, .black)
        raster.fill(x: 9..<12, y: 0..<4, .black)
        for y in 0..<4 { for x in 0..<5 { #expect((raster[x, y] == .black) == (x < 2 && y >= 2)) } }
        var framed = Raster(width: 6, height: 6)
        framed.frame(x: 2..<4, y: 2..<4, .black)
        let dark = (0..<36).filter { framed[$0 % 6, $0 / 6] == .black }
        #expect(dark.count == 12 && !dark.contains(2 * 6 + 2) && dark.contains(6 + 1) && dark.contains(4 * 6 + 4))
    }

    @Test("A file that cannot be written is named")
    func aFileThatCannotBeWrittenIsNamed() {
        let path = "/nonexistent/heads.png"
        #expect(throws: InputError("\(path): cannot be written: No such file or directory")) {
            try Raster(width: 1, height: 1).write(to: path)
        }
    }
}

@Suite struct PixelFontTests {
    private func drawn(_ text: String, upwards: Bool = false) -> Raster {
        var raster = Raster(width: 120, height: 120)
        raster.write(text, x: 60, y: 60, scale: 2, upwards: upwards)
        return raster
    }

    private func dark(_ raster: Raster) -> [(x: Int, y: Int)] {
        (0..<raster.width * raster.height).map { ($0 % raster.width, $0 / raster.width) }
            .filter { raster[$0.0, $0.1] != .white }
    }

    @Test("The font has every printable letter once")
    func everyLetterIsThereOnce() {
        let letters = PixelFont.bands.flatMap { Array($0.letters) }
        #expect(Set(letters).count == letters.count)
        let printable = (33...126).map { Character(UnicodeScalar($0)!) }
        #expect(Set(printable).isSubset(of: letters))
        for band in PixelFont.bands {
            let rows = band.art.split(separator: "\n")
            #expect(rows.count <= PixelFont.height)
            #expect(rows.allSatisfy { $0.count == band.letters.count * PixelFont.cell - 1 }, "\(band.letters)")
        }
        // Told apart, but for the dashes and the ticks.
        var pictures: [[Int]: Character] = [:]
        for letter in printable {
            var dots: [Int] = []
            PixelFont.forEachDot(of: String(letter)) { dots.append($0 * 16 + $1) }
            #expect(!dots.isEmpty)
            #expect(pictures.updateValue(letter, forKey: dots.sorted()) == nil, "\(letter)")
        }
    }

    @Test("Text is drawn at its place, across and upwards")
    func textStandsWhereItIsPut() {
        let across = dark(drawn("Li"))
        #expect(across.map(\.x).min() == 60 && across.map(\.y).min() == 60)
        #expect(across.map(\.x).max() == 60 + PixelFont.width(of: "Li") * 2 - 1)
        #expect(across.map(\.y).max() == 60 + PixelFont.capitalHeight * 2 - 1)
        // Turned by a quarter: what was to the right is above.
        let up = dark(drawn("Li", upwards: true))
        #expect(Set(up.map { $0.x * 1000 + $0.y }) == Set(across.map { $0.y * 1000 + 119 - $0.x }))
        // An l has an upright stroke: the letter is not a block.
        #expect(across.count < 14 * PixelFont.width(of: "Li") * 2 / 2)
    }

    @Test("Slanted strokes are smoothed")
    func slantsAreSmoothed() {
        let raster = drawn("v")
        let paler = dark(raster).filter { raster[$0.x, $0.y] != .black }
        #expect(!paler.isEmpty && paler.allSatisfy { raster[$0.x, $0.y] == Color(127, 127, 127) })
        let upright = drawn("E")
        #expect(dark(upright).allSatisfy { upright[$0.x, $0.y] == .black })
    }

    @Test("Accents are dropped, unknown letters replaced")
    func accentsAndUnknownLetters() {
        #expect(drawn("é") == drawn("e"))
        #expect(drawn("漢") == drawn("字") && drawn("漢") != drawn(""))
        #expect(PixelFont.width(of: "") == 0 && PixelFont.width(of: "ll") == 2 * PixelFont.width(of: "l") + 1)
    }

    @Test("Lines are broken between words")
    func linesAreBrokenBetweenWords() {
        let width = PixelFont.width(of: "one two")
        #expect(PixelFont.lines(of: "one two three  four", width: width) == ["one two", "three", "four"])
        #expect(PixelFont.lines(of: "  ", width: width).isEmpty)
        let cut = PixelFont.lines(of: "seventeenth", width: width)
        #expect(cut.count == 1 && cut[0].hasPrefix("seve") && cut[0].hasSuffix("…"))
        #expect(PixelFont.width(of: cut[0]) <= width)
    }
}
