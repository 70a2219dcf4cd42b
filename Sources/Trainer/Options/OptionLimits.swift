import Foundation

/// The numbers that an option takes.
struct OptionLimits: Sendable {
    /// Returns the words for what was expected in place of a number; nil where it is fine.
    let expectation: @Sendable (Double) -> String?

    private init(_ expected: String, _ contains: @escaping @Sendable (Double) -> Bool) {
        expectation = { contains($0) ? nil : expected }
    }

    /// Above 0.
    static let positive = OptionLimits("a number above 0") { $0 > 0 && $0.isFinite }

    /// Above 0 and at most a power of ten; only the bound that is broken is named.
    static func positive(atMostTenTo power: Int) -> OptionLimits {
        let most = pow(10, Double(power))
        return OptionLimits { $0 > most ? "a number of at most 1e\(power)" : $0 > 0 ? nil : "a number above 0" }
    }

    private init(expectation: @escaping @Sendable (Double) -> String?) { self.expectation = expectation }

    /// A share of something, and not nothing of it.
    static let share = OptionLimits("a number above 0 and at most 1") { $0 > 0 && $0 <= 1 }

    /// From 0 to 1.
    static let fraction = OptionLimits("a number from 0 to 1") { $0 >= 0 && $0 <= 1 }

    /// A share that leaves something of the rest.
    static let rate = OptionLimits("a number of at least 0 and below 1") { $0 >= 0 && $0 < 1 }

    /// Finite numbers from a least one on.
    static func atLeast(_ least: Int) -> OptionLimits {
        OptionLimits("a number of at least \(least)") { $0 >= Double(least) && $0.isFinite }
    }

    /// - Throws: `OptionError` that names the property.
    func check(_ property: String, _ value: Double) throws {
        if let expected = expectation(value) { throw OptionError(property, "expected \(expected), found \(value)") }
    }
}

extension ClosedRange<Int> {
    /// - Throws: `OptionError` that names the property, and the bound that the value is beyond.
    package func check(_ property: String, _ value: Int) throws {
        guard !contains(value) else { return }
        let bound = value < lowerBound ? "at least \(lowerBound)" : "at most \(upperBound)"
        throw OptionError(property, "expected a whole number of \(bound), found \(value)")
    }
}
