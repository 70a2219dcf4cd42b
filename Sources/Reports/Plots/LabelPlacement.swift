/// Places labels in a column so that none covers another.
enum LabelPlacement {
    /// The centers of labels, each as near to where it should be as the others allow (least squares).
    /// - Parameters:
    ///   - wanted: where each label should be.
    ///   - height: the least distance of two centers.
    ///   - bounds: between which all centers lie; there must be room for them.
    static func spread(_ wanted: [Double], height: Double, within bounds: ClosedRange<Double>) -> [Double] {
        // With the heights of the labels before it taken off, each label only has to stay in order. Groups that
        // collide share the mean of what they want: pool adjacent violators.
        let order = wanted.indices.sorted { (wanted[$0], $0) < (wanted[$1], $1) }
        var groups: [(sum: Double, count: Int)] = []
        for (place, index) in order.enumerated() {
            groups.append((wanted[index] - Double(place) * height, 1))
            while groups.count > 1, mean(groups[groups.count - 1]) < mean(groups[groups.count - 2]) {
                let last = groups.removeLast()
                groups[groups.count - 1].sum += last.sum
                groups[groups.count - 1].count += last.count
            }
        }
        let top = bounds.lowerBound
        let bottom = max(top, bounds.upperBound - Double(wanted.count - 1) * height)
        let centers = groups.flatMap { Array(repeating: min(max(mean($0), top), bottom), count: $0.count) }
        var placed = wanted
        for (place, index) in order.enumerated() { placed[index] = centers[place] + Double(place) * height }
        return placed
    }

    private static func mean(_ group: (sum: Double, count: Int)) -> Double { group.sum / Double(group.count) }
}
