extension Canvas {
    /// A bar in the color and hatching of its index, so that bars are told apart without colors too.
    mutating func bar(x: ClosedRange<Double>, y: ClosedRange<Double>, _ index: Int, title: String) {
        let color = Palette.color(index)
        // Six hatchings for seven colors: only after 42 bars both come again.
        let hatch = Hatch.allCases[index % Hatch.allCases.count]
        let isSolid = hatch == .solid
        rectangle(x: x, y: y, color: color, opacity: isSolid ? 1 : 0.3, outline: isSolid ? nil : color, title: title)
        for slope in hatch.slopes { path(Self.stripes(x, y, slope), color: color, width: 1.2) }
    }

    /// The filling of a bar.
    private enum Hatch: CaseIterable {
        case solid, rising, falling, plain, crossed, level

        /// The slopes of its stripes: y per x, upwards.
        var slopes: [Double] {
            switch self {
            case .solid, .plain: []
            case .rising: [1]
            case .falling: [-1]
            case .crossed: [1, -1]
            case .level: [0]
            }
        }
    }

    /// Lines through a rectangle, 5 apart.
    private static func stripes(_ x: ClosedRange<Double>, _ y: ClosedRange<Double>, _ slope: Double) -> [[Point]] {
        let (width, height) = (x.upperBound - x.lowerBound, y.upperBound - y.lowerBound)
        let reach = abs(slope) * width
        return stride(from: 5.0, to: height + reach, by: 5).compactMap { offset in
            // Measured upwards from the bottom: a stripe enters at the left (or right, where it falls) below or inside.
            let (low, high) = (max(offset - reach, 0), min(offset, height))
            guard high > low || slope == 0 && offset < height else { return nil }
            func place(_ rise: Double) -> Point {
                let along = slope == 0 ? 0 : width - (offset - rise) / abs(slope)
                return Point(
                    x: slope >= 0 ? x.lowerBound + along : x.upperBound - along, y: y.upperBound - rise)
            }
            return slope == 0
                ? [Point(x: x.lowerBound, y: y.upperBound - offset), Point(x: x.upperBound, y: y.upperBound - offset)]
                : [place(low), place(high)]
        }
    }
}
