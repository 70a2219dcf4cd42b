/// A color of the screen (sRGB).
public struct Color: Sendable, Hashable {
    /// The share of red, 0 to 255.
    public var red: UInt8
    /// The share of green, 0 to 255.
    public var green: UInt8
    /// The share of blue, 0 to 255.
    public var blue: UInt8

    /// Creates a color from its shares of red, green and blue.
    public init(_ red: UInt8, _ green: UInt8, _ blue: UInt8) { (self.red, self.green, self.blue) = (red, green, blue) }

    /// White.
    public static let white = Color(255, 255, 255)
    /// Black.
    public static let black = Color(0, 0, 0)

    /// As SVG and HTML write it, such as "#0072b2".
    var hex: String {
        let digits = Array("0123456789abcdef")
        return [red, green, blue].reduce(into: "#") { text, part in
            text.append(digits[Int(part / 16)])
            text.append(digits[Int(part % 16)])
        }
    }

    /// The perceived lightness, 0 to 1: the weights of red, green, and blue are those of Rec. 709.
    var lightness: Double { (0.2126 * Double(red) + 0.7152 * Double(green) + 0.0722 * Double(blue)) / 255 }
}

/// Colors for numbers.
public struct ColorMap: Sendable {
    /// From 0 to 1 in even steps.
    private let colors: [Color]
    /// The color of values that are not numbers.
    public let missing: Color

    /// - Parameters:
    ///   - stops: at even distances; between two of them colors are mixed.
    ///   - missing: of what is no number.
    public init(_ stops: [Color], missing: Color) {
        self.missing = missing
        let last = Double(stops.count - 1)
        colors = (0...255).map { index in
            let place = Double(index) / 255 * last
            let (from, to) = (stops[Int(place)], stops[min(Int(place) + 1, stops.count - 1)])
            func mix(_ part: KeyPath<Color, UInt8>) -> UInt8 {
                let (a, b) = (Double(from[keyPath: part]), Double(to[keyPath: part]))
                return UInt8((a + (b - a) * (place - place.rounded(.down))).rounded())
            }
            return Color(mix(\.red), mix(\.green), mix(\.blue))
        }
    }

    /// White over red to a dark red: the more, the darker, in black and white too.
    public static let reds = ColorMap(
        [
            .white, Color(254, 220, 203), Color(250, 165, 135), Color(237, 100, 75), Color(205, 45, 42),
            Color(160, 15, 30), Color(95, 0, 18),
        ], missing: Color(150, 150, 150))

    /// White over blue to a dark blue, likewise.
    public static let blues = ColorMap(
        [
            .white, Color(214, 230, 244), Color(160, 202, 228), Color(90, 158, 208), Color(36, 112, 180),
            Color(8, 70, 140), Color(6, 38, 86),
        ], missing: Color(150, 150, 150))

    /// The color of a number; below 0 that of 0, above 1 that of 1.
    public func callAsFunction(_ value: Double) -> Color {
        value.isFinite ? colors[Int((min(max(value, 0), 1) * 255).rounded())] : missing
    }
}
