import AttentionZooTestSupport
import NN
import Tensors
import Testing

/// The fused norm + token shift + projections against the same from single operations.
@Suite struct NormLinearTests {
    static let norms = ["layer", "scale", "rms"]

    private func random(_ shape: [Int], _ seed: UInt64) -> Tensor {
        Tensor.normal(shape, key: RandomKey(seed: seed)).requiringGradient()
    }

    private func shift(_ x: Tensor) -> Tensor {
        let (n, half) = (x.length(-2), (x.length(-1) + 1) / 2)
        var first = x.shape
        (first[x.rank - 2], first[x.rank - 1]) = (1, half)
        let before = concatenate([.zeros(first), x.sliced(-2, to: n - 1).sliced(-1, to: half)], axis: -2)
        return concatenate([before, x.sliced(-1, from: half)], axis: -1)
    }

    @Test("The fused operation equals its parts, outputs and gradients", arguments: norms, [true, false])
    func equalsItsParts(_ kind: String, shifts: Bool) throws {
        // 70 rows cross the boundaries of panels and threads; an odd width splits unevenly in the shift.
        for shape in [[2, 35, 7], [1, 1, 7], [3, 70, 6]] {
            let d = shape[2]
            let x = random(shape, 1)
            let (gain, bias) = (random([d], 2), random([d], 3))
            let scale = random([1], 4)
            let projections = [
                Projection(weight: random([5, d], 5), bias: random([5], 6)), Projection(weight: random([3, d], 7)),
            ]
            let (norm, plain, parameters): (Norm, Tensor, [Tensor]) =
                switch kind {
                case "layer": (.layer(weight: gain, bias: bias), layerNorm(x, weight: gain, bias: bias), [gain, bias])
                case "scale": (.scale(gain: scale), scaleNorm(x, gain: scale), [scale])
                default:
                    (.rootMeanSquare(weight: gain, epsilon: 1e-5), rmsNorm(x, weight: gain, epsilon: 1e-5), [gain])
                }
            let rows = shifts ? shift(plain) : plain
            let expected = projections.map { p in
                let product = matrixProduct(rows, p.weight, transposeB: true)
                return p.bias.map { product + $0 } ?? product
            }
            let fused = normLinear(x, norm: norm, delayedColumns: shifts ? (d + 1) / 2 : 0, projections)
            let leaves = [x] + parameters + projections.flatMap { [$0.weight] + ($0.bias.map { [$0] } ?? []) }
            func total(_ outputs: [Tensor]) -> Tensor {
                zip(outputs, [11, 12]).map { output, seed in
                    (output * Tensor.normal(output.shape, key: RandomKey(seed: UInt64(seed)))).sum()
                }.reduce(Tensor(0), +)
            }
            let lengths = SumLengths(shapes: leaves.map(\.shape), rows: shape[0] * shape[1])
            for (a, b) in zip(fused, expected) {
                #expect(a.shape == b.shape)
                expectClose(
                    a.values, b.values.map(Double.init), within: lengths.tolerance(largest: largest(b.values)), "output"
                )
            }
            // x is used a second time, so its gradient is added to one that is there already.
            func extra() -> Tensor { (x * random(shape, 8)).sum() }
            let (one, other) = (
                gradients(of: total(fused) + extra()), gradients(of: total(expected) + extra())
            )
            expectGradients(
                try leaves.enumerated().map { index, leaf in
                    let (gradient, reference) = (try #require(one[leaf]), try #require(other[leaf]))
                    #expect(gradient.shape == reference.shape)
                    return ("\(kind), input \(index) for \(shape)", gradient.values, reference.values)
                }, lengths)
        }
    }

    @Test("An unused projection gets no gradient")
    func oneUnusedProjectionGetsNoGradient() throws {
        let x = random([1, 4, 6], 1)
        let gain = random([1], 2)
        let used = random([3, 6], 3)
        let unused = random([2, 6], 4)
        let outputs = normLinear(
            x, norm: .scale(gain: gain), [Projection(weight: used), Projection(weight: unused)])
        let all = gradients(of: outputs[0].sum())
        #expect(all[unused] == nil)
        #expect(all[used] != nil && all[x] != nil && all[gain] != nil)
    }
}
