import CZlib
import Tensors

/// A picture of dots, from the top left, that can be drawn on.
public struct Raster: Sendable, Equatable {
    /// Dots in a row.
    public let width: Int
    /// The number of rows.
    public let height: Int
    /// Red, green and blue of each dot: [height, width, 3].
    public private(set) var bytes: [UInt8]

    /// Creates a raster of one color.
    public init(width: Int, height: Int, color: Color = .white) {
        require(width > 0 && height > 0, "Raster: \(width) × \(height) dots, expected at least 1 × 1")
        (self.width, self.height) = (width, height)
        bytes = []
        bytes.reserveCapacity(width * height * 3)
        for _ in 0..<width * height { bytes += [color.red, color.green, color.blue] }
    }

    /// Returns or sets the color of a dot.
    public subscript(x: Int, y: Int) -> Color {
        get {
            let place = 3 * (y * width + x)
            return Color(bytes[place], bytes[place + 1], bytes[place + 2])
        }
        set {
            let place = 3 * (y * width + x)
            (bytes[place], bytes[place + 1], bytes[place + 2]) = (newValue.red, newValue.green, newValue.blue)
        }
    }

    /// Colors a rectangle; what lies outside the picture is left out.
    public mutating func fill(x: Range<Int>, y: Range<Int>, _ color: Color) {
        for row in y.clamped(to: 0..<height) {
            for column in x.clamped(to: 0..<width) { self[column, row] = color }
        }
    }

    /// A line of one dot around a rectangle, outside of it.
    mutating func frame(x: Range<Int>, y: Range<Int>, _ color: Color) {
        let (wide, high) = (x.lowerBound - 1..<x.upperBound + 1, y.lowerBound - 1..<y.upperBound + 1)
        for row in [y.lowerBound - 1, y.upperBound] { fill(x: wide, y: row..<row + 1, color) }
        for column in [x.lowerBound - 1, x.upperBound] { fill(x: column..<column + 1, y: high, color) }
    }

    /// Writes a line of text whose top left is (x, y), or turned to run upwards from its bottom left (x, y).
    /// - Parameter scale: dots a dot of the font, which has `PixelFont.height` of them.
    mutating func write(_ text: String, x: Int, y: Int, scale: Int, color: Color = .black, upwards: Bool = false) {
        PixelFont.forEachDot(of: text) { column, row in
            let (right, down) = upwards ? (row * scale, -(column + 1) * scale) : (column * scale, row * scale)
            fill(x: x + right..<x + right + scale, y: y + down..<y + down + scale, color)
        }
        // Half the steps of slanting strokes are filled with a paler color.
        let paler = mixed(color, with: .white)
        let part = scale / 2
        PixelFont.forEachStep(of: text) { column, row, toRight, toBottom in
            let (across, along) = (
                column * scale + (toRight ? scale - part : 0), row * scale + (toBottom ? scale - part : 0)
            )
            let (left, top) = upwards ? (x + along, y - across - part) : (x + across, y + along)
            fill(x: left..<left + part, y: top..<top + part, paler)
        }
    }

    private func mixed(_ a: Color, with b: Color) -> Color {
        func middle(_ a: UInt8, _ b: UInt8) -> UInt8 { UInt8((Int(a) + Int(b)) / 2) }
        return Color(middle(a.red, b.red), middle(a.green, b.green), middle(a.blue, b.blue))
    }
}

extension Raster {
    /// The picture as a PNG file (ISO/IEC 15948): 8 bits a color, no transparency, compressed by zlib.
    public var png: [UInt8] {
        var header = Self.bigEndian(width) + Self.bigEndian(height)
        header += [8, 2, 0, 0, 0]  // bits, red green blue, deflate, filters by row, not interlaced
        var rows: [UInt8] = []
        rows.reserveCapacity(height * (1 + 3 * width))
        for row in 0..<height {
            rows.append(0)  // no filter: rows of the same dots as the one before are short in deflate as they are
            rows += bytes[row * 3 * width..<(row + 1) * 3 * width]
        }
        let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        return signature + Self.chunk("IHDR", header) + Self.chunk("IDAT", Self.deflated(rows)) + Self.chunk("IEND", [])
    }

    /// Writes the PNG file.
    /// - Throws: `InputError` that names the path and the system's reason.
    public func write(to path: String) throws { try AtomicFile.write(png, to: path) }

    /// Length, name, contents and their CRC.
    private static func chunk(_ name: String, _ contents: [UInt8]) -> [UInt8] {
        let named = Array(name.utf8) + contents
        return bigEndian(contents.count) + named + bigEndian(Int(crc32(0, named, UInt32(named.count))))
    }

    private static func bigEndian(_ number: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
    }

    private static func deflated(_ bytes: [UInt8]) -> [UInt8] {
        var size = compressBound(UInt(bytes.count))
        var result = [UInt8](repeating: 0, count: Int(size))
        let status = compress2(&result, &size, bytes, UInt(bytes.count), 9)
        require(status == Z_OK, "Raster.png: zlib refused \(bytes.count) bytes with \(status)")
        return Array(result.prefix(Int(size)))
    }
}
