import Foundation

/// T5's buckets of relative positions (Raffel et al., 1910.10683): one for each near distance, logarithmic ones for far
/// distances up to a largest.
public struct RelativePositionBuckets: Sendable, Equatable {
    /// The number of buckets.
    public let count: Int
    /// The distance from which all share the last bucket.
    public let maximumDistance: Int
    /// True if keys after a query share its own bucket; else both directions have half of the buckets each.
    public let isCausal: Bool

    /// Creates buckets, by default T5's 32 up to a distance of 128.
    public init(count: Int = 32, maximumDistance: Int = 128, isCausal: Bool) {
        (self.count, self.maximumDistance, self.isCausal) = (count, maximumDistance, isCausal)
    }

    /// Returns the bucket of a relative position, key − query. Single precision and truncation are those of PyTorch
    /// implementations: they decide where buckets end.
    public func bucket(of relative: Int) -> Int {
        let (buckets, base, distance): (Int, Int, Int)
        if isCausal {
            (buckets, base, distance) = (count, 0, max(-relative, 0))
        } else {
            (buckets, base, distance) = (count / 2, relative > 0 ? count / 2 : 0, abs(relative))
        }
        let exact = buckets / 2
        if distance < exact { return base + distance }
        let span = Float(Foundation.log(Double(maximumDistance) / Double(exact)))
        let step = Foundation.logf(Float(distance) / Float(exact)) / span * Float(buckets - exact)
        return base + min(exact + Int(step), buckets - 1)
    }
}
