import Tensors
import Testing

/// Decoding calls of a few rows agree with the general path, which the same operation takes with gradients.
@Suite("Operations on few rows") struct FewRowsTests {
    private static let rows = [1, 2, 7, 8, 9, 20]
    private static let norms = ["layer", "scale", "root mean square"]
    // Sums of at most 150 products of numbers below 1.5, in another order.
    private static let tolerance: Float = 1e-4

    private static func norm(_ name: String, _ d: Int) -> Norm {
        switch name {
        case "layer": .layer(weight: sample([d], seed: 20), bias: sample([d], seed: 21))
        case "scale": .scale(gain: Tensor([0.8]))
        default: .rootMeanSquare(weight: sample([d], seed: 20))
        }
    }

    /// Calls `body` without recording, and again with an input whose gradient is wanted.
    private func expectSame(_ x: Tensor, _ note: String, _ body: (Tensor) -> [Tensor]) {
        let few = withoutGradients { body(x) }
        let general = body(x.requiringGradient())
        #expect(few.map(\.shape) == general.map(\.shape), "\(note)")
        for (a, b) in zip(few, general) {
            #expect(zip(a.values, b.values).allSatisfy { abs($0 - $1) <= Self.tolerance }, "\(note)")
        }
    }

    @Test("A product, with or without bias, activation and residual", arguments: rows) func linear(_ rows: Int) {
        for (inputs, outputs) in [(1, 1), (5, 3), (64, 200), (150, 700)] {
            let (x, w) = (sample([rows, inputs], seed: 1), sample([outputs, inputs], seed: 2) * 0.2)
            let (bias, residual) = (sample([outputs], seed: 3), sample([rows, outputs], seed: 4))
            expectSame(x, "\(rows) × \(inputs) × \(outputs)") {
                [
                    Tensors.linear($0, weight: w), Tensors.linear($0, weight: w, bias: bias, activation: .silu),
                    Tensors.linear($0, weight: w, bias: bias, residual: residual),
                    Tensors.linear($0.unsqueezed(0), weight: w, residual: residual.unsqueezed(0)),
                ]
            }
        }
    }

    @Test("A norm before several products", arguments: rows, norms) func normLinear(_ rows: Int, _ norm: String) {
        for d in [1, 6, 128] {
            let x = sample([rows, d], seed: 1)
            let projections = [(3, true), (400, false), (17, true)].enumerated().map { index, part in
                Projection(
                    weight: sample([part.0, d], seed: 5 + UInt64(index)) * 0.2,
                    bias: part.1 ? sample([part.0], seed: 9) : nil)
            }
            expectSame(x, "\(norm), \(rows) × \(d)") {
                Tensors.normLinear($0, norm: Self.norm(norm, d), projections)
                    + Tensors.normLinear($0, norm: Self.norm(norm, d), [projections[1]])
            }
        }
    }

    @Test("A feed-forward block, gated or not", arguments: rows, [false, true])
    func feedForward(_ rows: Int, _ isGated: Bool) {
        for (d, inner, out) in [(1, 1, 1), (6, 10, 6), (64, 300, 64), (64, 300, 20)] {
            let x = sample([rows, d], seed: 1)
            let width = isGated ? 2 * inner : inner
            let up = Projection(weight: sample([width, d], seed: 2) * 0.2, bias: sample([width], seed: 3))
            let down = Projection(weight: sample([out, inner], seed: 4) * 0.1, bias: sample([out], seed: 5))
            let bare = Projection(weight: down.weight)
            expectSame(x, "\(rows) rows, \(d), \(inner), \(out)") { x in
                let norm = Self.norm("layer", d)
                let all = [
                    Tensors.feedForward(x, up: up, activation: .gelu, isGated: isGated, down: down),
                    Tensors.feedForward(
                        x, norm: norm, up: up, activation: .relu, isGated: isGated, down: bare,
                        residual: sample([rows, out], seed: 6)),
                ]
                guard out == d else { return all }
                return all + [
                    Tensors.feedForward(
                        x, norm: norm, up: up, activation: .gelu, isGated: isGated, down: down, residual: .input),
                    Tensors.feedForward(x, up: up, activation: .gelu, isGated: isGated, down: down, residual: .input),
                ]
            }
        }
    }

    @Test("Views and residuals that are not dense") func views() {
        let wide = sample([4, 20], seed: 1)
        let (w, residual) = (sample([5, 10], seed: 2), sample([5, 4], seed: 3))
        expectSame(wide, "views") { wide in
            let x = wide.sliced(1, from: 3, to: 13)
            return [
                Tensors.linear(x, weight: w, residual: residual.transposed()),
                Tensors.linear(x, weight: sample([10, 5], seed: 4).transposed()),
                Tensors.normLinear(x, norm: Self.norm("layer", 10), weight: w),
            ]
        }
    }
}
