import NN
import Tensors
import Testing

extension Fixture {
    /// The lengths of the sums, from the shapes of weights, inputs and outputs.
    public var sumLengths: SumLengths {
        let results = ["gradients/", "final/", "loss", "losses", "gradient_norms", "probe"]
        let shapes = file.entries.filter { entry in !results.contains { entry.key.hasPrefix($0) } }.map(\.value.shape)
        let inputs = shapes.isEmpty ? [] : file.entries.filter { !$0.key.contains("/") }.map(\.value.shape)
        // Tokens are [b, n], features [b, n, d] or [b, h, n, d]: the most rows of any.
        let rows = inputs.map { $0.count < 3 ? $0.reduce(1, *) : $0.dropLast().reduce(1, *) }.max() ?? 1
        return SumLengths(shapes: shapes, rows: rows)
    }

    /// Expects values (logits, a loss, states) to agree with the file's but for rounding.
    /// - Parameter response: what one more rounding of each weight changes in it, where the problem is badly conditioned.
    public func expectValues(
        _ got: Tensor, _ expected: Tensor, _ what: String, response: Double = 0,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(got.count == expected.count, "\(name): \(what)", sourceLocation: sourceLocation)
        let tolerance = sumLengths.tolerance(largest: largest(expected.values), response: response)
        expectClose(
            got.values, expected.values.map(Double.init), within: tolerance, "\(name): \(what)",
            sourceLocation: sourceLocation)
    }

    /// Expects a gradient to agree with the file's but for rounding.
    /// - Parameter response: what one more rounding of each weight changes in it, where the problem is badly conditioned.
    public func expectGradient(
        _ got: Tensor, _ expected: Tensor, _ key: String, response: Double = 0,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(got.shape == expected.shape, "\(name): gradient of \(key)", sourceLocation: sourceLocation)
        let tolerance = sumLengths.gradientTolerance(
            count: expected.count, largest: largest(expected.values), overall: largestGradient, response: response)
        expectClose(
            got.values, expected.values.map(Double.init), within: tolerance, "\(name): gradient of \(key)",
            sourceLocation: sourceLocation)
    }

    /// Expects what some training steps have led to (losses, gradient norms, weights) to agree with the file's.
    public func expectTrained(
        _ got: Tensor, _ key: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let expected = try tensor(key)
        let steps = try tensor("losses").count
        #expect(got.count == expected.count, "\(name): \(key)", sourceLocation: sourceLocation)
        expectClose(
            got.values, expected.values.map(Double.init),
            within: sumLengths.tolerance(afterSteps: steps, largest: largest(expected.values)), "\(name): \(key)",
            sourceLocation: sourceLocation)
    }
}

/// Measures how much one more rounding of each weight changes results: the largest change of any element in several
/// draws. Where terms far larger than the result cancel inside a model, this shows how far rounding can put two correct
/// results apart.
public func roundingResponse(
    of module: any Module, _ results: () throws -> [String: Tensor]
) rethrows -> [String: Double] {
    let exact = try results()
    // Copies, as `assign` writes into the tensor that the parameter has.
    let values = module.trainable.map { ($0.parameter, $0.parameter.value.detached() * 1) }
    defer { for (parameter, value) in values { parameter.assign(value) } }
    var response: [String: Double] = [:]
    for draw in 0..<4 {
        for (index, (parameter, value)) in values.enumerated() {
            let signs = Tensor.uniform(value.shape, low: -1, high: 1, key: RandomKey(seed: UInt64(draw)).child(index))
            // A last place up or down is two roundings.
            let moved = zip(value.values, signs.values).map { $1 < 0 ? $0.nextDown : $0.nextUp }
            parameter.assign(Tensor(moved, shape: value.shape))
        }
        for (key, result) in try results() {
            guard let expected = exact[key] else { continue }
            let change = Double(Fixture.difference(result, expected).difference) / 2
            response[key] = max(response[key] ?? 0, change)
        }
    }
    return response
}

/// Expects two ways through a module (token by token and all at once, padded and cut) to give the same values but for
/// rounding.
/// - Parameter positions: the longest sum over tokens.
public func expectClose(
    _ got: Tensor, _ expected: Tensor, through module: any Module, positions: Int, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let lengths = SumLengths(shapes: module.state.map(\.parameter.shape) + [[1, positions]], rows: 1)
    expectClose(got, expected, roundings: lengths.path, what, sourceLocation: sourceLocation)
}

/// Expects two ways through a module to give the same values but for rounding, where a value may hang on terms that cancel
/// inside the module: where the sums alone do not explain a difference, the response to rounding the weights is measured.
/// - Parameters:
///   - positions: the longest sum over tokens.
///   - again: computes `expected` with the weights as they are when it is called.
public func expectClose(
    _ got: Tensor, _ expected: Tensor, through module: any Module, positions: Int, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation, again: () throws -> Tensor
) rethrows {
    #expect(got.shape == expected.shape, "\(what)", sourceLocation: sourceLocation)
    let lengths = SumLengths(shapes: module.state.map(\.parameter.shape) + [[1, positions]], rows: 1)
    let magnitude = largest(expected.values)
    let isClose = largestDifference(got, expected) <= lengths.tolerance(largest: magnitude)
    let response = isClose ? 0 : try roundingResponse(of: module) { ["": try again()] }[""] ?? 0
    expectClose(
        got.values, expected.values.map(Double.init),
        within: lengths.tolerance(largest: magnitude, response: response), what, sourceLocation: sourceLocation)
}

/// Expects two float32 computations of the same values to agree but for rounding.
/// - Parameters:
///   - roundings: those on the way to an element, on each side.
///   - magnitude: what the terms of an element add up to without signs, if it is more than the largest element.
public func expectClose(
    _ got: Tensor, _ expected: Tensor, roundings: Int, magnitude: Double = 0, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(got.count == expected.count, "\(what)", sourceLocation: sourceLocation)
    expectClose(
        got.values, expected.values, terms: roundings, magnitude: max(magnitude, largest(expected.values)), what,
        sourceLocation: sourceLocation)
}

/// Expects two float32 computations of a loss's gradients to agree but for rounding.
public func expectGradients(
    _ pairs: [(name: String, got: Tensor, expected: Tensor)], _ lengths: SumLengths,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    for (name, got, expected) in pairs {
        #expect(got.shape == expected.shape, "gradient of \(name)", sourceLocation: sourceLocation)
    }
    expectGradients(pairs.map { ($0.name, $0.got.values, $0.expected.values) }, lengths, sourceLocation: sourceLocation)
}
