import Testing

/// Expects every element within a bound of its own; NaN where NaN is expected, infinities where they are. Reports the
/// element that is furthest out, at the caller's line.
public func expectClose(
    _ got: [Float], _ expected: [Double], within bounds: [Double], _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    guard got.count == expected.count, bounds.count == expected.count else {
        Issue.record("\(what): \(got.count) values; expected \(expected.count)", sourceLocation: sourceLocation)
        return
    }
    let ratios = got.indices.map { excess(got[$0], expected[$0], bounds[$0]) }
    guard let worst = ratios.indices.max(by: { ratios[$0] < ratios[$1] }), ratios[worst] > 1 else { return }
    Issue.record(
        "\(what)[\(worst)] is \(got[worst]), not \(expected[worst]): off by \(ratios[worst]) times the bound",
        sourceLocation: sourceLocation)
}

/// Expects every element within one bound.
public func expectClose(
    _ got: [Float], _ expected: [Double], within bound: Double, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    expectClose(
        got, expected, within: Array(repeating: bound, count: expected.count), what, sourceLocation: sourceLocation)
}

/// Expects every element within `absolute + relative * |expected|`, as the error of an elementwise function is stated.
///
/// Numbers that float32 cannot hold are expected to be infinities.
public func expectClose(
    _ got: [Float], _ expected: [Double], relative: Double = 0, absolute: Double = 0, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let limit = Double(Float.greatestFiniteMagnitude)
    expectClose(
        got, expected.map { abs($0) > limit ? Double(Float($0)) : $0 },
        within: expected.map { absolute + relative * abs($0) }, what, sourceLocation: sourceLocation)
}

/// Expects two float32 results of sums of `terms` products to agree, each element to the roundings of both sides.
/// - Parameter magnitude: what the terms add up to without their signs; where it is not known, that of the largest
///   element expected.
public func expectClose(
    _ got: [Float], _ expected: [Float], terms: Int, magnitude: Double? = nil, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let magnitude = magnitude ?? largest(expected)
    expectClose(
        got, expected.map(Double.init), within: Rounding.bound(2 * terms, of: magnitude), what,
        sourceLocation: sourceLocation)
}

/// Expects two float32 computations of a loss's gradients to agree but for rounding.
public func expectGradients(
    _ pairs: [(name: String, got: [Float], expected: [Float])], _ lengths: SumLengths,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let overall = pairs.map { largest($0.expected) }.max() ?? 0
    for (name, got, expected) in pairs {
        let tolerance = lengths.gradientTolerance(
            count: expected.count, largest: largest(expected), overall: overall)
        expectClose(
            got, expected.map(Double.init), within: tolerance, "gradient of \(name)", sourceLocation: sourceLocation)
    }
}

/// The largest finite magnitude.
public func largest(_ values: [Float]) -> Double {
    Double(values.reduce(0) { $1.isFinite ? max($0, abs($1)) : $0 })
}

/// The difference in units of the bound; infinite where a value that is not finite is on one side alone.
private func excess(_ got: Float, _ expected: Double, _ bound: Double) -> Double {
    guard expected.isFinite else {
        return (expected.isNaN ? got.isNaN : Double(got) == expected) ? 0 : .infinity
    }
    let difference = abs(Double(got) - expected)
    guard difference > 0 else { return difference == 0 ? 0 : .infinity }
    return difference / bound
}
