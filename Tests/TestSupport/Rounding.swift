/// The one rule for comparing results of float32 sums: how far rounding alone may put two correct results apart, whatever
/// the order of summation, and so whatever kernel adds.
///
/// A result that n roundings lead to, each of at most a relative u = 2⁻²⁴, is off by
///
///     |ŷ − y| ≤ min(n, λ √n) · u · Σ|terms|
///
/// - n u is the worst case (Higham, Accuracy and Stability, section 3.1: γ_n to first order): every rounding is as large
///   as can be and errs to the same side. A sum of n products, in any order and with or without fused multiply-add, has at
///   most n roundings on the way of each term.
/// - λ √n u holds for roundings that err to both sides independently (Higham and Mary 2019, theorem 2.4): all but
///   2 exp(−λ²/2) of the results stay within it even if each rounding is of the largest size. Real ones are spread over
///   ±u evenly, of standard deviation u/√3, so λ = 4 is 4√3 = 6.9 standard deviations: one result in 10¹¹.
///
/// Two float32 computations of one number differ by the roundings of both, 2 n of them; so does a value whose reference is
/// float64 with n. The magnitude Σ|terms| is what the terms add up to without their signs. Where a test does not see the
/// terms, `SumLengths` says what stands in for them.
public enum Rounding {
    /// u, float32's rounding unit.
    public static let unit = 0x1p-24
    /// λ
    static let confidence = 4.0

    /// The bound for n roundings on the way of terms that add up to `magnitude` without signs. At least the smallest
    /// normal number, below which float32 has no relative precision.
    public static func bound(_ roundings: Int, of magnitude: Double) -> Double {
        let n = Double(max(roundings, 1))
        let factor = min(n, confidence * n.squareRoot())
        return factor * unit * magnitude + Double(Float.leastNormalMagnitude)
    }
}

/// The lengths of the sums of a whole computation, a layer or model, as far as they can be seen from outside: from the
/// shapes of its weights, inputs and outputs.
public struct SumLengths: Sendable {
    /// Roundings on the way from the inputs to a value: each matrix is a product whose sums are at most as long as its
    /// longer axis, and is followed by a function of each element (an activation, a norm's factor, a softmax) of some four
    /// roundings; so is each vector. All lie behind each other.
    public let path: Int
    /// Rows (tokens of all sequences) that a parameter's gradient is a sum over.
    public let rows: Int
    /// The longest axis of all.
    public let widest: Int

    /// - Parameters:
    ///   - shapes: those of weights, inputs and outputs.
    ///   - rows: tokens of all sequences.
    public init(shapes: [[Int]], rows: Int) {
        path = shapes.reduce(0) { $0 + 4 + ($1.count < 2 ? 0 : $1.max()!) }
        widest = shapes.reduce(1) { max($0, $1.max() ?? 1) }
        self.rows = rows
    }

    /// Lengths that are known otherwise than from shapes.
    public init(path: Int, rows: Int, widest: Int) {
        self.path = path
        self.rows = rows
        self.widest = widest
    }

    /// Returns the largest difference of two float32 computations of a tensor of values by rounding. Its largest
    /// element stands in for the magnitudes: an element has sums of terms as large as those of its neighbors.
    /// - Parameter response: as for gradients.
    public func tolerance(largest: Double, response: Double = 0) -> Double {
        Rounding.bound(2 * path, of: largest) + Rounding.bound(2 * widest, of: response / Rounding.unit)
    }

    /// Returns the largest difference of two float32 computations of a gradient by rounding: there and back again, and
    /// over all rows.
    ///
    /// Sums that cancel have terms far larger than what is left: of a score's gradient if a query sees one key, of
    /// features that are divided by their own sum, of a scale over all streams and tokens. Those terms are products of
    /// other gradients, so the largest gradient of all stands in for them, with the roundings of the last sums alone: over
    /// rows (a parameter with fewer elements than a row also sums over the features that share an element) and along an
    /// axis.
    /// - Parameters:
    ///   - count: elements of the gradient.
    ///   - largest: its largest element.
    ///   - overall: the largest element of all gradients of the computation.
    ///   - response: what one more rounding of each weight changes in it, where that has been measured: the condition of
    ///     the problem, whatever computes it. A sum has as many roundings as terms.
    public func gradientTolerance(
        count: Int, largest: Double, overall: Double, response: Double = 0
    ) -> Double {
        let last = rows * max(1, widest / max(count, 1)) + widest
        return Rounding.bound(2 * (2 * path + rows), of: largest) + Rounding.bound(2 * last, of: overall)
            + Rounding.bound(2 * widest, of: response / Rounding.unit)
    }

    /// Returns the largest difference of two trainings after some steps, each of which adds the roundings of a
    /// gradient.
    public func tolerance(afterSteps steps: Int, largest: Double) -> Double {
        Rounding.bound(2 * steps * (2 * path + rows), of: largest)
    }
}
