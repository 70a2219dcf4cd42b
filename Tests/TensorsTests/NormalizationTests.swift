import AttentionZooTestSupport
import Tensors
import Testing

@Suite struct NormalizationTests {
    /// Rows of the last axis, by a function of one row.
    private func byRows(_ x: Tensor, _ f: ([Double]) -> [Double]) -> [Double] {
        let (d, values) = (x.length(-1), x.values.map(Double.init))
        return stride(from: 0, to: values.count, by: d).flatMap { f(Array(values[$0..<$0 + d])) }
    }

    /// x / max(|x| · scale, eps) · gain
    private func lengthNormReference(_ x: Tensor, _ scale: Double, _ eps: Double, gain: Double = 1) -> [Double] {
        byRows(x) { row in
            let length = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return row.map { $0 / max(length * scale, eps) * gain }
        }
    }

    private func layerNormReference(_ x: Tensor, _ weight: Tensor?, _ bias: Tensor?, _ eps: Double) -> [Double] {
        byRows(x) { row in
            let mean = row.reduce(0, +) / Double(row.count)
            let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
            return row.enumerated().map { i, value in
                (value - mean) / (variance + eps).squareRoot() * (weight?.element([i]) ?? 1) + (bias?.element([i]) ?? 0)
            }
        }
    }

    /// Statistics of a row in float32: a few units of 2⁻²⁴. 150 rows of 701 need several ranges.
    static let shapes = [[1], [17], [3, 5], [2, 3, 4], [150, 701], [0, 4]]

    @Test("Layer norm agrees with float64", arguments: shapes)
    func layerNorms(_ shape: [Int]) {
        let x = sample(shape, low: -3, high: 4)
        let (w, b) = (sample([shape.last!], seed: 2), sample([shape.last!], seed: 3))
        expectClose(layerNorm(x, weight: w, bias: b), layerNormReference(x, w, b, 1e-5), shape: shape, tolerance: 2e-6)
        expectClose(layerNorm(x, weight: w), layerNormReference(x, w, nil, 1e-5), tolerance: 2e-6)
        expectClose(layerNorm(x, bias: b, epsilon: 0.1), layerNormReference(x, nil, b, 0.1), tolerance: 2e-6)
        expectClose(layerNorm(x), layerNormReference(x, nil, nil, 1e-5), tolerance: 2e-6)
    }

    @Test("RMS norm agrees with float64", arguments: shapes)
    func rmsNorms(_ shape: [Int]) {
        let x = sample(shape, low: -3, high: 4)
        let w = sample([shape.last!], seed: 2)
        func reference(_ weight: Tensor?, _ eps: Double) -> [Double] {
            byRows(x) { row in
                let factor = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(row.count) + eps).squareRoot()
                return row.enumerated().map { $1 * factor * (weight?.element([$0]) ?? 1) }
            }
        }
        expectClose(rmsNorm(x, weight: w), reference(w, 0x1p-23), shape: shape, tolerance: 1e-6)
        expectClose(rmsNorm(x, epsilon: 0.1), reference(nil, 0.1), tolerance: 1e-6)
    }

    @Test("Scale norm and L2 norm agree with float64", arguments: shapes)
    func lengthNorms(_ shape: [Int]) {
        let x = sample(shape, low: -3, high: 4)
        let scale = 1 / Double(shape.last!).squareRoot()
        expectClose(
            scaleNorm(x, gain: Tensor([1.25])), lengthNormReference(x, scale, 1e-5, gain: 1.25), shape: shape,
            tolerance: 1e-6)
        expectClose(x.l2Normalized(), lengthNormReference(x, 1, 1e-12), shape: shape, tolerance: 1e-6)
    }

    @Test("L2 norm works along any axis")
    func l2NormalizedOverOtherAxes() {
        let x = sample([2, 3, 4])
        for axis in [0, 1, -2] {
            let position = axis < 0 ? axis + 3 : axis
            let reference = expected(x.shape) { index in
                let square = (0..<x.shape[position]).reduce(0.0) { sum, i in
                    var other = index
                    other[position] = i
                    return sum + x.element(other) * x.element(other)
                }
                return x.element(index) / square.squareRoot()
            }
            expectClose(x.l2Normalized(axis: axis), reference, shape: x.shape, tolerance: 1e-6)
            checkGradients([sample([2, 3, 4], margin: 0.2)]) { $0[0].l2Normalized(axis: axis) }
        }
    }

    @Test("Gradients agree with central differences", arguments: [[5], [3, 5], [2, 3, 4]])
    func gradients(_ shape: [Int]) {
        let (x, w, b) = (sample(shape), sample([shape.last!], seed: 2), sample([shape.last!], seed: 3))
        checkGradients([x, w, b]) { layerNorm($0[0], weight: $0[1], bias: $0[2], epsilon: 0.01) }
        checkGradients([x, b]) { layerNorm($0[0], bias: $0[1], epsilon: 0.01) }
        checkGradients([x, w]) { rmsNorm($0[0], weight: $0[1]) }
        checkGradients([x]) { rmsNorm($0[0], epsilon: 0.5) }
        checkGradients([x, Tensor([0.75])]) { scaleNorm($0[0], gain: $0[1]) }
        checkGradients([x]) { $0[0].l2Normalized() }
    }

    @Test("Rows shorter than epsilon have a constant denominator")
    func clampedRows() {
        checkGradients([sample([3, 4]), Tensor([0.75])]) { scaleNorm($0[0], gain: $0[1], epsilon: 10) }
        checkGradients([sample([3, 4])]) { $0[0].l2Normalized(epsilon: 10) }
        let zero = Tensor.zeros([2, 3]).requiringGradient()
        expectEqual(zero.l2Normalized(), Array(repeating: 0, count: 6))
        let result = Tensors.gradients(of: scaleNorm(zero, gain: Tensor([2])).sum())
        // 1 / 1e-5 · 2, rounded twice.
        expectClose(result[zero]!, Array(repeating: 2e5, count: 6), tolerance: 1e-6)
    }

    /// Rows in several ranges.
    @Test("Parameter gradients over many rows agree with float64")
    func parameterGradientsOfManyRows() {
        let (rows, d) = (900, 301)
        let (x, dy) = (sample([rows, d], seed: 4), sample([rows, d], seed: 5))
        let w = Tensor.ones([d]).requiringGradient()
        let b = Tensor.zeros([d]).requiringGradient()
        let g = Tensor.ones([1]).requiringGradient()
        let normalized = layerNormReference(x, nil, nil, 1e-5)
        let upstream = dy.values.map(Double.init)
        let result = Tensors.gradients(of: layerNorm(x, weight: w, bias: b), seed: dy)
        func columns(_ term: (Int) -> Double) -> [Double] {
            (0..<d).map { j in (0..<rows).reduce(0) { $0 + term($1 * d + j) } }
        }
        // A normalized element has some four roundings of its own.
        expectClose(
            result[w]!.values, columns { normalized[$0] * upstream[$0] },
            within: columns { abs(normalized[$0] * upstream[$0]) }.map { Rounding.bound(rows + 4, of: $0) }, "weight")
        expectClose(
            result[b]!.values, columns { upstream[$0] },
            within: columns { abs(upstream[$0]) }.map { Rounding.bound(rows, of: $0) }, "bias")
        let scaled = lengthNormReference(x, 1 / Double(d).squareRoot(), 1e-5)
        expectClose(
            Tensors.gradients(of: scaleNorm(x, gain: g), seed: dy)[g]!.values,
            [zip(scaled, upstream).reduce(0) { $0 + $1.0 * $1.1 }],
            within: Rounding.bound(rows * d + 4, of: zip(scaled, upstream).reduce(0) { $0 + abs($1.0 * $1.1) }), "gain")
    }

    @Test("NaN stays in its row")
    func notANumberStaysInItsRow() {
        let x = Tensor([1, .nan, 3, 1, 2, 4], shape: [2, 3])
        for y in [layerNorm(x), rmsNorm(x), x.l2Normalized(), scaleNorm(x, gain: Tensor([1]))] {
            #expect(y.values.prefix(3).allSatisfy(\.isNaN) && y.values.suffix(3).allSatisfy(\.isFinite))
        }
    }
}
