/// What becomes of the separators where a text is split.
enum SplitBehavior: String, CaseIterable, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    init(_ component: Component) throws {
        let name = try component.string()
        guard let behavior = Self(rawValue: name) else {
            throw component.unknown(name, known: Self.allCases.map(\.rawValue))
        }
        self = behavior
    }

    /// The pieces of a text, none empty.
    /// - Parameters:
    ///   - separators: ranges of the text, in order.
    ///   - inverted: whether what is between the ranges separates instead.
    func pieces(of count: Int, at separators: [Range<Int>], inverted: Bool = false) -> [Range<Int>] {
        var parts: [(range: Range<Int>, separates: Bool)] = []
        parts.reserveCapacity(2 * separators.count + 1)
        var end = 0
        for separator in separators {
            if separator.lowerBound > end { parts.append((end..<separator.lowerBound, inverted)) }
            parts.append((separator, !inverted))
            end = separator.upperBound
        }
        if end < count { parts.append((end..<count, inverted)) }
        return merged(parts).filter { !$0.isEmpty }
    }

    private func merged(_ parts: [(range: Range<Int>, separates: Bool)]) -> [Range<Int>] {
        switch self {
        case .removed: parts.filter { !$0.separates }.map(\.range)
        case .isolated: parts.map(\.range)
        case .contiguous: joined(parts) { $0 == $1 }
        case .mergedWithPrevious: joined(parts) { !$0 && $1 }
        case .mergedWithNext:
            joined(parts.reversed()) { !$0 && $1 }.reversed()
        }
    }

    /// Joins each part to the one before it where a rule says so of the two. There is a part that does not separate before the
    /// first.
    private func joined(
        _ parts: [(range: Range<Int>, separates: Bool)], _ isJoined: (_ previous: Bool, _ current: Bool) -> Bool
    ) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var previous = false
        for (range, separates) in parts {
            if isJoined(previous, separates), let last = ranges.popLast() {
                ranges.append(min(last.lowerBound, range.lowerBound)..<max(last.upperBound, range.upperBound))
            } else {
                ranges.append(range)
            }
            previous = separates
        }
        return ranges
    }
}
