// Gradients against central differences, for the tests of whoever declares an operation.

/// A gradient that is not what differences say: the worst element of an input.
public struct GradientMismatch: Sendable, Equatable, CustomStringConvertible {
    /// The number of the input.
    public let input: Int
    /// The place of the element in the input.
    public let index: [Int]
    /// What the pullback gave.
    public let gradient: Float
    /// What differences of the function say.
    public let difference: Double

    public var description: String {
        "gradient of input \(input) at \(index): \(gradient), by differences \(difference)"
    }
}

/// Compares the gradients of an operation with central differences of Σ output · w for random w, element by element.
///
///     #expect(checkGradients(of: { gatedResidual($0[0], $0[1], gate: $0[2]) }, at: [x, branch, gate]) == [])
///
/// Differences are Richardson's, (4 D(h) − D(2h)) / 3, whose truncation is h⁴ f⁽⁵⁾ / 30: with the usual step 3e-8 f⁽⁵⁾. The
/// forward pass rounds to 2⁻²⁴, which over such a step is some 4e-6 of the sum's size. So inputs of order 1, of a few hundred
/// elements, on a grid where x ± 2h is exact (multiples of 1/1024, say), away from kinks by more than 2h, are best.
/// - Parameters:
///   - function: the operation; called twice with the same inputs it must give the same.
///   - inputs: where to check. Elements that are NaN are taken for ones that the function does not read.
///   - step: h.
///   - tolerance: the largest error, as a share of the largest gradient of the input, or of 1 where that is smaller.
///   - key: draws w.
/// - Returns: the worst element of each input whose gradients are not within the tolerance; empty where all are.
public func checkGradients(
    of function: ([Tensor]) -> Tensor, at inputs: [Tensor], step: Float = 1 / 32, tolerance: Double = 5e-4,
    key: RandomKey = RandomKey(seed: 99)
) -> [GradientMismatch] {
    let leaves = inputs.map { $0.detached().contiguous().requiringGradient() }
    let output = function(leaves)
    let weights = Tensor.uniform(output.shape, low: -1, high: 1, key: key)
    let found = output.requiresGradient ? gradients(of: output, seed: weights) : Gradients()
    return leaves.indices.compactMap { input in
        let expected = centralDifferences(of: function, at: leaves, input: input, weights: weights, step: step)
        let got = found[leaves[input]] ?? .zeros(leaves[input].shape)
        return worstMismatch(input, got, expected, tolerance: tolerance)
    }
}

/// The gradients of Σ output · weights with respect to one input, by Richardson's central differences.
/// - Parameters:
///   - weights: of the output's shape.
///   - step: h.
/// - Returns: one number for each element of the input, 0 where the input is NaN.
public func centralDifferences(
    of function: ([Tensor]) -> Tensor, at inputs: [Tensor], input: Int, weights: Tensor, step: Float = 1 / 32
) -> [Double] {
    let weights = weights.values.map(Double.init)
    let values = inputs[input].values
    func sum(_ element: Int, _ shift: Float) -> Double {
        var (moved, changed) = (inputs.map { $0.detached() }, values)
        changed[element] += shift
        moved[input] = Tensor(changed, shape: inputs[input].shape)
        let output = withoutGradients { function(moved) }
        return zip(output.values, weights).reduce(0) { $0 + Double($1.0) * $1.1 }
    }
    func slope(_ element: Int, _ step: Float) -> Double {
        (sum(element, step) - sum(element, -step)) / (2 * Double(step))
    }
    return values.indices.map { element in
        values[element].isNaN ? 0 : (4 * slope(element, step) - slope(element, 2 * step)) / 3
    }
}

/// The element that is furthest out, where one is out of the tolerance. NaN is.
private func worstMismatch(
    _ input: Int, _ gradient: Tensor, _ expected: [Double], tolerance: Double
) -> GradientMismatch? {
    let limit = tolerance * expected.reduce(1) { max($0, abs($1)) }
    var worst: (place: Int, error: Double)?
    let values = gradient.values
    for (place, difference) in expected.enumerated() {
        let error = abs(Double(values[place]) - difference)
        if error <= limit { continue }
        if error.isNaN || error > worst?.error ?? 0 { worst = (place, error) }
        if error.isNaN { break }
    }
    return worst.map { worst in
        var (rest, index) = (worst.place, [Int]())
        for length in gradient.shape.reversed() {
            index.insert(rest % length, at: 0)
            rest /= length
        }
        return GradientMismatch(
            input: input, index: index, gradient: values[worst.place], difference: expected[worst.place])
    }
}
