import AttentionZooTestSupport
import Tensors
import Testing

/// The fused operations against their composition.
@Suite struct LinearTests {
    private let x = sample([2, 3, 5])
    private let weight = sample([4, 5], seed: 2)
    private let bias = sample([4], seed: 3)

    private func composed(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
        let product = matrixProduct(x, weight, transposeB: true)
        return bias.map { product + $0 } ?? product
    }

    /// Expects two float32 computations of a layer to agree but for rounding; an activation of a small sum has that sum's
    /// terms, so they are measured by the largest element.
    private func expectSame(
        _ fused: Tensor, _ composed: Tensor, inputs: Int = 5, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(fused.shape == composed.shape, sourceLocation: sourceLocation)
        let lengths = SumLengths(shapes: [[inputs], [inputs, 1], [inputs]], rows: 1)
        expectClose(
            fused.values, composed.values.map(Double.init),
            within: lengths.tolerance(largest: largest(composed.values)), sourceLocation: sourceLocation)
    }

    private func expectSameGradients(
        _ leaves: [Tensor], _ first: Gradients, _ others: [Tensor], _ second: Gradients, rows: Int,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let pairs = zip(leaves, others).map { ("\($0.shape)", first[$0]!.values, second[$1]!.values) }
        expectGradients(
            pairs, SumLengths(shapes: leaves.map { $0.rank == 2 ? $0.shape : [$0.count] }, rows: rows),
            sourceLocation: sourceLocation)
    }

    /// Away from the kinks of relu: none of these 24 sums is within 1/16 · 1.5 of 0, or its gradient would be off.
    @Test("A linear layer with any activation equals its composition", arguments: Activation.allCases)
    func activations(_ activation: Activation) {
        expectSame(linear(x, weight: weight, bias: bias, activation: activation), activation(composed(x, weight, bias)))
        expectSame(linear(x, weight: weight, activation: activation), activation(composed(x, weight, nil)))
        if activation == .relu || activation == .reluSquared {
            sameGradients([x, weight, bias]) {
                (
                    linear($0[0], weight: $0[1], bias: $0[2], activation: activation),
                    activation(composed($0[0], $0[1], $0[2]))
                )
            }
        } else {
            checkGradients([x, weight, bias]) {
                linear($0[0], weight: $0[1], bias: $0[2], activation: activation)
            }
            checkGradients([x, weight], layouts: [.dense]) { linear($0[0], weight: $0[1], activation: activation) }
        }
    }

    /// For functions with kinks: gradients of the fused operation and of the composition.
    private func sameGradients(_ inputs: [Tensor], _ both: ([Tensor]) -> (Tensor, Tensor)) {
        let leaves = inputs.map { $0.requiringGradient() }
        let (fused, composed) = both(leaves)
        let seed = sample(fused.shape, seed: 9)
        let (a, b) = (gradients(of: fused, seed: seed), gradients(of: composed, seed: seed))
        expectSameGradients(leaves, a, leaves, b, rows: 6)
    }

    @Test("A gated linear layer equals its composition", arguments: Activation.allCases)
    func gates(_ activation: Activation) {
        func reference(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
            let parts = composed(x, weight, bias).split(count: 2)
            return parts[0] * activation(parts[1])
        }
        expectSame(gatedLinear(x, weight: weight, bias: bias, gate: activation), reference(x, weight, bias))
        expectSame(gatedLinear(x, weight: weight, gate: activation), reference(x, weight, nil))
        sameGradients([x, weight, bias]) {
            (gatedLinear($0[0], weight: $0[1], bias: $0[2], gate: activation), reference($0[0], $0[1], $0[2]))
        }
        if activation != .relu && activation != .reluSquared {
            checkGradients([x, weight, bias]) { gatedLinear($0[0], weight: $0[1], bias: $0[2], gate: activation) }
        }
    }

    @Test("A linear layer adds its residual")
    func residuals() {
        let residual = sample([2, 3, 4], seed: 4)
        expectSame(
            linear(x, weight: weight, bias: bias, residual: residual), composed(x, weight, bias) + residual)
        checkGradients([x, weight, bias, residual]) { linear($0[0], weight: $0[1], bias: $0[2], residual: $0[3]) }
        checkGradients([sample([4]), sample([4, 4], seed: 2)]) { linear($0[0], weight: $0[1], residual: $0[0]) }
    }

    @Test("One row equals a batch of one")
    func oneRow() {
        expectSame(
            linear(sample([5]), weight: weight, bias: bias), composed(sample([1, 5]), weight, bias).reshaped([4]))
        expectSame(linear(sample([1, 5]), weight: weight), composed(sample([1, 5]), weight, nil))
    }

    /// Several panels for each thread.
    @Test("Several panels a thread equal the composition", arguments: [Activation.identity, .silu, .gelu])
    func manyRows(_ activation: Activation) {
        let inputs = [sample([1100, 37]), sample([20, 37], seed: 2), sample([20], seed: 3)]
        let (a, b) = (inputs.map { $0.requiringGradient() }, inputs.map { $0.requiringGradient() })
        let fused = linear(a[0], weight: a[1], bias: a[2], activation: activation)
        let plain = activation(composed(b[0], b[1], b[2]))
        expectSame(fused, plain, inputs: 37)
        let seed = sample([1100, 20], seed: 4)
        let (first, second) = (gradients(of: fused, seed: seed), gradients(of: plain, seed: seed))
        expectSameGradients(a, first, b, second, rows: 1100)
    }

    // MARK: Norm and linear

    enum Kind: CaseIterable {
        case layer, scale, rootMeanSquare

        var parameters: [Tensor] {
            switch self {
            case .layer: [sample([5], seed: 6), sample([5], seed: 7)]
            case .scale: [Tensor([0.75])]
            case .rootMeanSquare: [sample([5], seed: 6)]
            }
        }

        func norm(_ parameters: ArraySlice<Tensor>) -> Norm {
            let p = Array(parameters)
            return switch self {
            case .layer: .layer(weight: p[0], bias: p[1], epsilon: 0.01)
            case .scale: .scale(gain: p[0])
            case .rootMeanSquare: .rootMeanSquare(weight: p[0], epsilon: 0.01)
            }
        }

        func apply(_ x: Tensor, _ parameters: ArraySlice<Tensor>) -> Tensor {
            let p = Array(parameters)
            return switch self {
            case .layer: layerNorm(x, weight: p[0], bias: p[1], epsilon: 0.01)
            case .scale: scaleNorm(x, gain: p[0])
            case .rootMeanSquare: rmsNorm(x, weight: p[0], epsilon: 0.01)
            }
        }
    }

    private func delayed(_ x: Tensor, columns: Int) -> Tensor {
        let parts = x.split(sizes: [columns, x.length(-1) - columns])
        return concatenate([parts[0].padded(axis: -2, before: 1, after: -1), parts[1]], axis: -1)
    }

    @Test("A norm with projections equals its composition", arguments: Kind.allCases, [0, 1, 3, 5])
    func normLinears(_ kind: Kind, _ columns: Int) {
        let n = kind.parameters.count
        func fused(_ p: [Tensor]) -> [Tensor] {
            normLinear(
                p[0], norm: kind.norm(p[1...n]), delayedColumns: columns,
                [Projection(weight: p[n + 1], bias: p[n + 2]), Projection(weight: p[n + 3])])
        }
        let inputs = [x] + kind.parameters + [weight, bias, sample([3, 5], seed: 8)]
        let outputs = fused(inputs)
        let plain = kind.apply(x, inputs[1...n])
        let normalized = delayed(plain, columns: columns)
        expectSame(outputs[0], composed(normalized, weight, bias))
        expectSame(outputs[1], composed(normalized, inputs[n + 3], nil))
        // Norm parameters and biases must be dense; so they are in `Parameter`.
        checkGradients(inputs, layouts: [.dense]) { concatenate(fused($0), axis: -1) }
        // One output without a gradient.
        checkGradients(Array(inputs.prefix(n + 3)), layouts: [.dense]) { fused($0 + [inputs[n + 3]])[0] }
    }

    /// Panels whose first row needs the row before, sequences of 70 rows.
    @Test("A norm with projections over many rows equals its composition", arguments: Kind.allCases, [0, 2, 5])
    func normLinearOfManyRows(_ kind: Kind, _ columns: Int) {
        let n = kind.parameters.count
        let inputs = [sample([14, 70, 5])] + kind.parameters + [weight, bias]
        let (a, b) = (inputs.map { $0.requiringGradient() }, inputs.map { $0.requiringGradient() })
        let fused = normLinear(
            a[0], norm: kind.norm(a[1...n]), delayedColumns: columns, [Projection(weight: a[n + 1], bias: a[n + 2])])[0]
        let normalized = kind.apply(b[0], b[1...n])
        let plain = composed(delayed(normalized, columns: columns), b[n + 1], b[n + 2])
        expectSame(fused, plain)
        let seed = sample(plain.shape, seed: 4)
        let (first, second) = (gradients(of: fused, seed: seed), gradients(of: plain, seed: seed))
        expectSameGradients(a, first, b, second, rows: 980)
    }
}
