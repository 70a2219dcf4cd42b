import Foundation

/// The spread of values over an axis.
package enum AxisScale: Sendable {
    case linear
    /// Values that are not above 0 are missing.
    case logarithmic
}

/// One axis of a plot.
package struct Axis: Sendable {
    /// The quantity it shows, with the unit; may be empty.
    package var label: String
    /// The spread of values.
    package var scale: AxisScale
    /// The values it covers; what lies outside is cut off. nil for those of the data.
    package var range: ClosedRange<Double>?
    /// True if a range taken from the data is widened to 0.
    package var includesZero: Bool
    /// The form of the numbers at the ticks.
    package var format: TickFormat

    /// Creates an axis.
    package init(
        _ label: String = "", scale: AxisScale = .linear, range: ClosedRange<Double>? = nil, includesZero: Bool = false,
        format: TickFormat = .automatic
    ) {
        self.label = label
        self.scale = scale
        self.range = range
        self.includesZero = includesZero
        self.format = format
    }

    /// Tells whether a value can be shown at all.
    func accepts(_ value: Double) -> Bool {
        // Beyond 1e300 the arithmetic of ranges would overflow.
        abs(value) < 1e300 && (scale == .linear || value > 1e-300)
    }

    /// The values from end to end.
    /// - Parameters:
    ///   - values: those of the data, in any order, any of them missing.
    ///   - padding: the share of the range to leave free at both ends, where the range is the data's.
    func domain(of values: some Sequence<Double>, padding: Double) -> ClosedRange<Double> {
        if let range, accepts(range.lowerBound), accepts(range.upperBound) { return widened(range) }
        var (least, greatest) = (Double.infinity, -Double.infinity)
        for value in values where accepts(value) {
            least = min(least, value)
            greatest = max(greatest, value)
        }
        guard least <= greatest else { return scale == .linear ? 0...1 : 1...10 }
        if scale == .logarithmic {
            let factor = pow(greatest / least, padding)
            return widened(max(least / factor, 1e-300)...min(greatest * factor, 1e300))
        }
        if includesZero { (least, greatest) = (min(least, 0), max(greatest, 0)) }
        let room = (greatest - least) * padding
        // Zero itself is a good end.
        let isFromZero = includesZero && least == 0
        let isToZero = includesZero && greatest == 0
        return widened((isFromZero ? 0 : least - room)...(isToZero ? 0 : greatest + room))
    }

    /// A range wide enough to be divided, around one that is hardly more than a value.
    private func widened(_ range: ClosedRange<Double>) -> ClosedRange<Double> {
        let (lower, upper) = (range.lowerBound, range.upperBound)
        let size = max(abs(lower), abs(upper))
        if size < 1e-300 { return 0...1 }
        guard upper - lower <= size * 1e-9 else { return range }
        return scale == .linear ? lower - size * 0.05...upper + size * 0.05 : lower / 1.5...upper * 1.5
    }

    /// The room of a tick and its label along a horizontal axis, with some air.
    var tickRoom: Double { format == .binary ? 44 : 78 }

    func ticks(_ domain: ClosedRange<Double>, count: Int) -> Ticks {
        switch scale {
        case .linear: Ticks(linear: domain, count: count, format: format)
        case .logarithmic: Ticks(logarithmic: domain, count: count, format: format)
        }
    }
}

/// From values to places in a drawing.
struct Scale {
    private let kind: AxisScale
    private let domain: (lower: Double, upper: Double)
    private let places: (start: Double, end: Double)

    /// - Parameter places: where the ends of the domain are drawn; the start may be the greater.
    init(_ kind: AxisScale, _ domain: ClosedRange<Double>, from start: Double, to end: Double) {
        self.kind = kind
        self.domain =
            kind == .linear ? (domain.lowerBound, domain.upperBound) : (log(domain.lowerBound), log(domain.upperBound))
        places = (start, end)
    }

    /// The place of a value, also of one outside the domain (but not unreasonably far away); NaN for a missing one.
    func callAsFunction(_ value: Double) -> Double {
        let value = kind == .linear ? value : value > 0 ? log(value) : .nan
        guard value.isFinite else { return .nan }
        let share = (value - domain.lower) / (domain.upper - domain.lower)
        return places.start + min(max(share, -100), 100) * (places.end - places.start)
    }
}
