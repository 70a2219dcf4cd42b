/// A place in a drawing.
struct Point: Equatable {
    var x: Double
    var y: Double
}

/// As much of a line as a drawing can show.
enum Thinning {
    /// Cuts points into runs without gaps, and thins them where there are more than two for each column of the drawing: of
    /// each column, the lowest and the highest point stay, in their order, as do the first and the last point of all.
    /// - Parameters:
    ///   - points: x ascending; a gap where y is not finite.
    ///   - column: the width of a column, in the drawing's unit.
    static func runs(_ points: [Point], column: Double = 1) -> [[Point]] {
        guard let first = points.first, let last = points.last else { return [] }
        let columns = max((last.x - first.x) / column, 1)
        guard Double(points.count) > 2 * columns + 2 else { return split(points) }
        var kept = [first]
        var start = points.startIndex
        while start < points.endIndex {
            let place = (points[start].x / column).rounded(.down)
            var end = start + 1
            while end < points.endIndex && (points[end].x / column).rounded(.down) == place { end += 1 }
            kept += extremes(points[start..<end])
            start = end
        }
        return split(kept + [last])
    }

    /// The lowest and the highest of some points, in their order; one that is missing if all are.
    private static func extremes(_ points: ArraySlice<Point>) -> [Point] {
        var (low, high): (Int?, Int?)
        for index in points.indices where points[index].y.isFinite {
            if low == nil || points[index].y < points[low!].y { low = index }
            if high == nil || points[index].y > points[high!].y { high = index }
        }
        guard let low, let high else { return [points.first!] }
        return low == high ? [points[low]] : [points[min(low, high)], points[max(low, high)]]
    }

    private static func split(_ points: [Point]) -> [[Point]] {
        var (runs, run): ([[Point]], [Point]) = ([], [])
        for point in points {
            guard point.x.isFinite && point.y.isFinite else {
                if !run.isEmpty { runs.append(run) }
                run = []
                continue
            }
            if run.last != point { run.append(point) }
        }
        return run.isEmpty ? runs : runs + [run]
    }
}
