/// Values over an axis, drawn as a line.
package struct Series: Sendable {
    /// The look of a series.
    package enum Style: Sendable {
        case line
        /// Thin and pale, for noise that another series smooths.
        case faint
        /// A line with its points marked, for few of them.
        case points
    }

    /// Written at the line's end; empty for none.
    package var name: String
    /// Ascending.
    package var x: [Double]
    /// As many as x; values that are not finite are gaps.
    package var y: [Double]
    /// The look of the line.
    package var style: Style
    /// The index of the color in the palette; nil for one of its own.
    package var color: Int?
    /// The index of the dash pattern, 0 for a solid line; nil for the color's own.
    package var dash: Int?
    /// The shape that marks points, and the line's label too: one for each of 0 to 6, beginning with a dot. nil for
    /// dots, and a label without one.
    package var marker: Int?

    /// Creates a series.
    package init(
        _ name: String, x: [Double], y: [Double], style: Style = .line, color: Int? = nil, dash: Int? = nil,
        marker: Int? = nil
    ) {
        self.name = name
        self.x = x
        self.y = y
        self.style = style
        self.color = color
        self.dash = dash
        self.marker = marker
    }
}

/// The look of one thing in all plots.
public struct PlotStyle: Hashable, Sendable {
    /// The index of the color in the palette.
    public var color: Int
    /// The index of the dash pattern, 0 for a solid line.
    public var dash: Int
    /// The shape that marks points, 0 to 6.
    public var marker: Int

    /// Creates a look.
    public init(color: Int, dash: Int, marker: Int) {
        self.color = color
        self.dash = dash
        self.marker = marker
    }
}

/// A line across a plot at a value that others are compared with.
package struct ReferenceLine: Sendable {
    /// The value, on the vertical axis.
    package var value: Double
    /// The text beside the line.
    package var label: String

    /// Creates a line at a value.
    package init(_ value: Double, _ label: String) {
        self.value = value
        self.label = label
    }
}

extension Series {
    /// Means over neighbors, which show the course of noisy values.
    ///
    /// Each value becomes the mean of those up to `radius` before and after it, missing ones left out. Near the beginning,
    /// where learning curves are steep, both sides are cut to the same length, so that the mean does not lag.
    /// - Parameter radius: nil for a hundredth of the values.
    package static func smoothed(_ values: [Double], radius: Int? = nil) -> [Double] {
        let radius = max(0, radius ?? values.count / 100)
        var (sums, counts) = ([0.0], [0])
        for value in values {
            let isUsable = abs(value) < 1e300
            sums.append(sums.last! + (isUsable ? value : 0))
            counts.append(counts.last! + (isUsable ? 1 : 0))
        }
        return values.indices.map { index in
            let before = min(radius, index)
            let (start, end) = (index - before, min(index + before, values.count - 1) + 1)
            let count = counts[end] - counts[start]
            return count > 0 && values[index].isFinite ? (sums[end] - sums[start]) / Double(count) : .nan
        }
    }
}
