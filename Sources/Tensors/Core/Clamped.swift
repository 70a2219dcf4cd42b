// Sums and products of sizes that come from outside: what does not fit is the greatest number there is, so that it fits no
// limit either.

extension Int {
    /// The sum; `Int.max` where that is too small for it. For numbers of at least 0.
    public func plusClamped(_ other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }

    /// The product; `Int.max` where that is too small for it. For numbers of at least 0.
    public func timesClamped(_ other: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }

    /// The product of several numbers of at least 0, `Int.max` where that is too small; 1 for none.
    public static func clampedProduct(_ factors: some Sequence<Int>) -> Int {
        // 0 makes the product 0, whatever comes before it.
        let factors = Array(factors)
        return factors.contains(0) ? 0 : factors.reduce(1) { $0.timesClamped($1) }
    }

    /// A number of bytes for people: 640 bytes, 1.5 MB.
    public var byteText: String {
        let units = ["kB", "MB", "GB", "TB", "PB", "EB"]
        guard self >= 1000 else { return "\(self) byte\(self == 1 ? "" : "s")" }
        var (value, unit) = (Double(self) / 1000, 0)
        while value >= 999.5, unit + 1 < units.count { (value, unit) = (value / 1000, unit + 1) }
        let digits = value < 9.95 ? (value * 10).rounded() / 10 : value.rounded()
        let text = digits == digits.rounded() ? "\(Int(digits))" : "\(digits)"
        return (self == .max ? "more than " : "") + "\(text) \(units[unit])"
    }
}
