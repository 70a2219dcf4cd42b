import NN
import Tensors
import Testing

/// Expects the plain and the fused form of a language model to agree but for rounding: logits, loss, what passes from
/// segment to segment, and the gradient of every parameter.
/// - Parameters:
///   - inputs, targets: [b, n].
///   - segments: consecutive parts of the rows, each read with what the one before has left.
///   - key: what dropout draws from, the same for both; nil for none.
public func expectFormsAgree<Model: LanguageModel>(
    of model: Model, _ inputs: TokenTensor, _ targets: TokenTensor, segments: Int = 1, dropout key: RandomKey? = nil,
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation
) {
    let lengths = SumLengths(shapes: model.state.map(\.parameter.shape) + [inputs.shape], rows: inputs.count)
    let plain = FormResults(model, inputs, targets, segments, key, .plain)
    let fused = FormResults(model, inputs, targets, segments, key, .fused)
    #expect(plain.all.map(\.name) == fused.all.map(\.name), "\(what)", sourceLocation: sourceLocation)
    let pairs = zip(fused.all, plain.all).map { (name: $0.name, got: $0.tensor, expected: $1.tensor) }
    // The condition of the problem: measured only where the sums alone do not explain a difference.
    let isClose = pairs.allSatisfy { largestDifference($0.got, $0.expected) <= plain.bound($0.name, lengths) }
    let response =
        isClose
        ? [:]
        : roundingResponse(of: model) {
            let results = FormResults(model, inputs, targets, segments, key, .plain).all
            return Dictionary(uniqueKeysWithValues: results.map { ($0.name, $0.tensor) })
        }
    for (name, got, expected) in pairs {
        #expect(got.shape == expected.shape, "\(what): \(name)", sourceLocation: sourceLocation)
        expectClose(
            got.values, expected.values.map(Double.init),
            within: plain.bound(name, lengths, response: response[name] ?? 0), "\(what): \(name)",
            sourceLocation: sourceLocation)
    }
}

/// The largest difference of two elements; infinite for tensors of other sizes, or where one is not a number.
func largestDifference(_ one: Tensor, _ other: Tensor) -> Double {
    guard one.count == other.count else { return .infinity }
    return zip(one.values, other.values).reduce(0) {
        let difference = abs(Double($1.0) - Double($1.1))
        return difference.isNaN ? .infinity : max($0, difference)
    }
}

/// The results of one form of a model.
private struct FormResults {
    /// Logits, loss and carries of each segment.
    var values: [(name: String, tensor: Tensor)] = []
    /// One for each trainable parameter.
    var gradients: [(name: String, tensor: Tensor)] = []

    var all: [(name: String, tensor: Tensor)] { values + gradients }

    init<Model: LanguageModel>(
        _ model: Model, _ inputs: TokenTensor, _ targets: TokenTensor, _ segments: Int, _ key: RandomKey?,
        _ implementation: Implementation
    ) {
        let n = inputs.shape[1]
        var carries = [Model.Carry?](repeating: nil, count: inputs.shape[0])
        var total = Tensor.zeros([1])
        for segment in 0..<segments {
            let columns = n * segment / segments..<n * (segment + 1) / segments
            let (part, expected) = (inputs.columns(columns), targets.columns(columns))
            let mode = (key.map { .training($0.child(segment)) } ?? ForwardMode.inference).using(implementation)
            let logits = withoutGradients { model.logits(part, carries: carries, mode: mode).logits }
            let result = model.loss(part, expected, carries: carries, mode: mode)
            total = total + result.loss
            carries = result.carries
            values += [("logits \(segment)", logits), ("loss \(segment)", result.loss.detached())]
            for (row, carry) in carries.enumerated() {
                for (name, tensor) in (carry?.tensors ?? [:]).sorted(by: { $0.key < $1.key }) {
                    values.append(("carry \(segment), row \(row), \(name)", tensor))
                }
            }
        }
        let all = Tensors.gradients(of: total.sum())
        gradients = model.trainable.map {
            ("gradient of \($0.key)", all[$0.parameter] ?? .zeros($0.parameter.shape))
        }
    }

    /// Returns how far rounding can put a result of another form from this one.
    /// - Parameter response: what one more rounding of each weight changes in it, where that has been measured.
    func bound(_ name: String, _ lengths: SumLengths, response: Double = 0) -> Double {
        if let gradient = gradients.first(where: { $0.name == name })?.tensor {
            let overall = gradients.map { largest($0.tensor.values) }.max() ?? 0
            return lengths.gradientTolerance(
                count: gradient.count, largest: largest(gradient.values), overall: overall, response: response)
        }
        let value = values.first { $0.name == name }?.tensor
        return lengths.tolerance(largest: largest(value?.values ?? []), response: response)
    }
}
