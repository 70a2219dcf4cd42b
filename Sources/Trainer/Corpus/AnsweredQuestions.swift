/// How many questions of a corpus were answered right, by how far back the fact lies.
public struct AnsweredQuestions: Sendable {
    /// The largest distances of the groups in bytes. A group has the questions whose fact lies up to so many bytes back,
    /// and farther than the bound before.
    public static let distanceBounds = [100, 300, 1000, 3000, 10_000, 100_000]

    /// The index in `distanceBounds` of a distance's group; the last for what lies farther still.
    public static func group(ofDistance distance: Int) -> Int {
        distanceBounds.firstIndex { distance <= $0 } ?? distanceBounds.count - 1
    }

    private var asked = [Int](repeating: 0, count: distanceBounds.count)
    private var right = [Int](repeating: 0, count: distanceBounds.count)

    public init() {}

    /// Counts a question.
    /// - Parameter isRight: whether it was answered right.
    public mutating func add(_ question: Corpus.Question, isRight: Bool) {
        let group = Self.group(ofDistance: question.distance)
        asked[group] += 1
        if isRight { right[group] += 1 }
    }

    /// The share of right answers over all questions; nil when none was asked.
    public var share: Double? { share(of: Self.distanceBounds.indices) }

    /// The share in one group; nil when none of it was asked.
    public func share(inGroup group: Int) -> Double? { share(of: group..<group + 1) }

    /// The shares by their names in `metrics.jsonl`: `answered`, and `answered_to_100` … for the groups of which questions
    /// were asked.
    public var metrics: [String: Double] {
        var metrics: [String: Double] = [:]
        metrics["answered"] = share
        for (group, bound) in Self.distanceBounds.enumerated() {
            metrics["answered_to_\(bound)"] = share(inGroup: group)
        }
        return metrics
    }

    private func share(of groups: Range<Int>) -> Double? {
        let count = asked[groups].reduce(0, +)
        return count > 0 ? Double(right[groups].reduce(0, +)) / Double(count) : nil
    }
}
