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
    #expect(plain.values.map(\.name) == fused.values.map(\.name), "\(what)", sourceLocation: sourceLocation)
    for ((name, got), (_, expected)) in zip(fused.values, plain.values) {
        #expect(got.shape == expected.shape, "\(what): \(name)", sourceLocation: sourceLocation)
        expectClose(
            got.values, expected.values.map(Double.init),
            within: lengths.tolerance(largest: largest(expected.values)), "\(what): \(name)",
            sourceLocation: sourceLocation)
    }
    expectGradients(
        zip(model.trainable, zip(fused.gradients, plain.gradients)).map { ("\(what): \($0.key)", $1.0, $1.1) }, lengths,
        sourceLocation: sourceLocation)
}

/// What a form of a model computes.
private struct FormResults {
    /// Logits, loss and carries of each segment.
    var values: [(name: String, tensor: Tensor)] = []
    /// One for each trainable parameter.
    var gradients: [Tensor] = []

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
        gradients = model.trainable.map { all[$0.parameter] ?? .zeros($0.parameter.shape) }
    }
}
