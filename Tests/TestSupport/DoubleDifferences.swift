import Testing

/// Expects the gradients of a loss in float64 to be its central differences, element by element within 1e-7: a step of 1e-5
/// leaves an error of some 1e-10 of the third derivative and 1e-11 of rounding.
/// - Parameters:
///   - analytic: the gradient of each input.
///   - x: the inputs.
public func expectCentralDifferences(
    _ analytic: [[Double]], of loss: ([[Double]]) -> Double, at x: [[Double]],
    sourceLocation: SourceLocation = #_sourceLocation
) {
    for input in x.indices {
        for element in x[input].indices {
            func shifted(_ step: Double) -> Double {
                var moved = x
                moved[input][element] += step
                return loss(moved)
            }
            let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5
            #expect(
                abs(slope - analytic[input][element]) < 1e-7, "input \(input), element \(element)",
                sourceLocation: sourceLocation)
        }
    }
}
