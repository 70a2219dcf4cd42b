import CKernels
import Foundation
import Testing

// MARK: float64 references of one row

private func layerNorm(_ x: [Double], _ w: [Double]?, _ b: [Double]?, _ eps: Double) -> [Double] {
    let mean = x.reduce(0, +) / Double(x.count)
    let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
    return x.indices.map { (x[$0] - mean) / (variance + eps).squareRoot() * (w?[$0] ?? 1) + (b?[$0] ?? 0) }
}

private func length(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }

private func l2Norm(_ x: [Double], _ w: [Double]?, _ scale: Double, _ eps: Double, _ gain: Double) -> [Double] {
    let denominator = max(length(x) * scale, eps)
    return x.indices.map { x[$0] / denominator * gain * (w?[$0] ?? 1) }
}

private func rmsNorm(_ x: [Double], _ w: [Double]?, _ eps: Double) -> [Double] {
    let mean = length(x) * length(x) / Double(x.count)
    return x.indices.map { x[$0] / (mean + eps).squareRoot() * (w?[$0] ?? 1) }
}

/// Sum over the rows of f's gradient: x is cut in rows of d, as is dy.
private func overRows(_ d: Int, _ x: [Float], _ f: ([Double]) -> [Double]) -> [Double] {
    stride(from: 0, to: x.count, by: d).flatMap { f(x[$0..<$0 + d].map(Double.init)) }
}

/// A gradient that is added to: starts at a half.
private func accumulated(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
    output(count, initially: [Float](repeating: 0.5, count: count), body)
}

@Suite struct NormTests {
    static let sizes = [(1, 1), (2, 3), (5, 17), (3, 64), (2, 1000), (1, 2500)]
    static let small = [(1, 2), (2, 3), (4, 17), (3, 33)]
    /// Some ulps of a product of three factors, and of sums that grow with the root of the row.
    private static func tolerance(_ rows: Int, _ d: Int) -> Double { 2e-6 * Double(max(rows, 4)).squareRoot() }

    // MARK: Layer norm

    @Test("Layer norm agrees with float64", arguments: sizes)
    func layerNormForward(_ rows: Int, _ d: Int) {
        for offset in [Float(0), 100] {
            let x = values(rows * d, offset: offset)
            let (weight, bias) = (values(d, seed: 2), values(d, seed: 3))
            for (w, b) in [(weight, bias), (weight, nil), (nil, bias), (nil, nil)] as [([Float]?, [Float]?)] {
                var (mean, inverse) = ([Float](), [Float]())
                let y = output(rows * d) { y in
                    mean = output(rows) { mean in
                        inverse = output(rows) { az_layer_norm_forward(rows, d, 1e-5, x, w, b, y, mean, $0) }
                    }
                }
                // The mean is kept in float32: half an ulp of 100 is 4e-6, and divided by the deviation of 1.2, or by
                // eps^(1/2) where d = 1.
                let absolute = offset == 0 ? 2e-6 : d == 1 ? 3e-3 : 3e-5
                let expected = overRows(d, x) { layerNorm($0, w?.doubles, b?.doubles, Double(Float(1e-5))) }
                expectClose(y, expected, relative: 1e-6, absolute: absolute, "offset \(offset)")
                expectClose(mean, overRows(d, x) { [$0.reduce(0, +) / Double(d)] }, relative: 1e-7, absolute: 1e-7)
                #expect(inverse.allSatisfy { $0 > 0 && $0 <= 317 })
            }
        }
    }

    @Test("Gradients of layer norm agree with central differences", arguments: small)
    func layerNormBackward(_ rows: Int, _ d: Int) {
        let (x, dy, weight) = (values(rows * d), values(rows * d, seed: 5), values(d, seed: 2))
        let zeros = [Double](repeating: 0, count: d)
        for w in [weight, nil] {
            var (mean, inverse, dw, db) = ([Float](), [Float](), [Float](), [Float]())
            mean = output(rows) { mean in
                inverse = output(rows) { inverse in
                    _ = output(rows * d) { az_layer_norm_forward(rows, d, 1e-5, x, w, nil, $0, mean, inverse) }
                }
            }
            let dx = output(rows * d) { dx in
                dw = accumulated(d) { dw in
                    db = accumulated(d) { az_layer_norm_backward(rows, d, x, w, mean, inverse, dy, dx, dw, $0) }
                }
            }
            let eps = Double(Float(1e-5))
            let expected = (0..<rows).flatMap { r in
                let span = r * d..<(r + 1) * d
                return numericalGradient(
                    of: { layerNorm($0, w?.doubles, nil, eps) }, at: Array(x.doubles[span]), dy: Array(dy.doubles[span])
                )
            }
            // Times inverse_std, which is some tens where two neighbours are close.
            let bound = Self.tolerance(rows, d) * Double(inverse.max()!)
            expectClose(dx, expected, relative: 2e-6, absolute: bound, "dx")
            let normal = overRows(d, x) { layerNorm($0, nil, nil, eps) }
            let products = zip(normal, dy.doubles).map { $0 * $1 }
            expectClose(
                dw, columnSums(d, products, zeros.map { _ in 0.5 }), absolute: Self.tolerance(rows, d), "dweight")
            expectClose(
                db, columnSums(d, dy.doubles, zeros.map { _ in 0.5 }), absolute: Self.tolerance(rows, d), "dbias")
            let inPlace = output(rows * d, initially: dy) {
                az_layer_norm_backward(rows, d, x, w, mean, inverse, $0, $0, nil, nil)
            }
            expectSame(inPlace, dx, "in place, without dweight and dbias")
        }
    }

    private func columnSums(_ d: Int, _ x: [Double], _ start: [Double]) -> [Double] {
        (0..<d).map { c in stride(from: c, to: x.count, by: d).reduce(start[c]) { $0 + x[$1] } }
    }

    // MARK: l2 and RMS norm

    @Test("L2 norm and RMS norm agree with float64", arguments: sizes)
    func lengthNormsForward(_ rows: Int, _ d: Int) {
        let (x, weight) = (values(rows * d), values(d, seed: 2))
        let scale = 1 / Float(d).squareRoot()
        for w in [weight, nil] {
            for (normScale, gain) in [(scale, Float(1.25)), (1, 1)] {
                var statistics = [Float]()
                let y = output(rows * d) { y in
                    statistics = output(rows) { az_l2_norm_forward(rows, d, normScale, 1e-5, gain, x, w, y, $0) }
                }
                let expected = overRows(d, x) { l2Norm($0, w?.doubles, Double(normScale), 1e-5, Double(gain)) }
                expectClose(y, expected, relative: 1e-6, "l2")
                expectClose(statistics, overRows(d, x) { [1 / (length($0) * Double(normScale))] }, relative: 4e-7)
            }
            var inverse = [Float]()
            let y = output(rows * d) { y in
                inverse = output(rows) { az_rms_norm_forward(rows, d, 1e-5, x, w, y, $0) }
            }
            expectClose(y, overRows(d, x) { rmsNorm($0, w?.doubles, Double(Float(1e-5))) }, relative: 1e-6, "rms")
            #expect(inverse.allSatisfy { $0 > 0 })
        }
    }

    @Test("Gradients of L2 norm agree with central differences, clamped rows included", arguments: small)
    func l2NormBackward(_ rows: Int, _ d: Int) {
        let (x, dy, weight) = (values(rows * d), values(rows * d, seed: 5), values(d, seed: 2))
        // eps 1e-5 leaves rows as they are, eps 100 clamps them: the denominator is constant then.
        for (eps, w) in [(Float(1e-5), weight), (1e-5, nil), (100, weight)] as [(Float, [Float]?)] {
            let (normScale, gain) = (Float(0.6), Float(1.25))
            var (statistics, dgain, dw) = ([Float](), [Float](), [Float]())
            statistics = output(rows) { statistics in
                _ = output(rows * d) { az_l2_norm_forward(rows, d, normScale, eps, gain, x, w, $0, statistics) }
            }
            #expect(statistics.allSatisfy { ($0 < 0) == (eps == 100) })
            let dx = output(rows * d) { dx in
                dgain = accumulated(1) { dgain in
                    dw = accumulated(d) {
                        az_l2_norm_backward(rows, d, normScale, gain, x, w, statistics, dy, dx, dgain, $0)
                    }
                }
            }
            func reference(_ w: [Double]?, _ gain: Double) -> ([Double]) -> [Double] {
                { l2Norm($0, w, Double(normScale), Double(eps), gain) }
            }
            let expected = (0..<rows).flatMap { r in
                let span = r * d..<(r + 1) * d
                return numericalGradient(
                    of: reference(w?.doubles, Double(gain)), at: Array(x.doubles[span]), dy: Array(dy.doubles[span]))
            }
            let bound = Self.tolerance(rows, d) * Double(abs(statistics.max()!))
            expectClose(dx, expected, relative: 2e-6, absolute: bound, "dx, eps \(eps)")
            let unit = zip(overRows(d, x, reference(w?.doubles, 1)), dy.doubles).map { $0 * $1 }
            expectClose(dgain, [0.5 + unit.reduce(0, +)], relative: 2e-6, absolute: 4e-6, "dgain, eps \(eps)")
            let plain = zip(overRows(d, x, reference(nil, Double(gain))), dy.doubles).map { $0 * $1 }
            let half = [Double](repeating: 0.5, count: d)
            expectClose(dw, columnSums(d, plain, half), relative: 2e-6, absolute: 4e-6, "dweight, eps \(eps)")
            let inPlace = output(rows * d, initially: dy) {
                az_l2_norm_backward(rows, d, normScale, gain, x, w, statistics, $0, $0, nil, nil)
            }
            expectSame(inPlace, dx, "in place, without dgain and dweight")
        }
    }

    @Test("Gradients of RMS norm agree with central differences", arguments: small)
    func rmsNormBackward(_ rows: Int, _ d: Int) {
        let (x, dy, weight) = (values(rows * d), values(rows * d, seed: 5), values(d, seed: 2))
        let eps = Float(1e-3)
        for w in [weight, nil] {
            var (inverse, dw) = ([Float](), [Float]())
            inverse = output(rows) { inverse in
                _ = output(rows * d) { az_rms_norm_forward(rows, d, eps, x, w, $0, inverse) }
            }
            let dx = output(rows * d) { dx in
                dw = accumulated(d) { az_rms_norm_backward(rows, d, x, w, inverse, dy, dx, $0) }
            }
            let expected = (0..<rows).flatMap { r in
                let span = r * d..<(r + 1) * d
                return numericalGradient(
                    of: { rmsNorm($0, w?.doubles, Double(eps)) }, at: Array(x.doubles[span]),
                    dy: Array(dy.doubles[span]))
            }
            let bound = Self.tolerance(rows, d) * Double(inverse.max()!)
            expectClose(dx, expected, relative: 2e-6, absolute: bound, "dx")
            let products = zip(overRows(d, x) { rmsNorm($0, nil, Double(eps)) }, dy.doubles).map { $0 * $1 }
            let half = [Double](repeating: 0.5, count: d)
            expectClose(dw, columnSums(d, products, half), relative: 2e-6, absolute: 4e-6, "dweight")
        }
    }

    @Test("Rows of zeros stay zero, NaN stays in its row")
    func zeroRowsAndNaN() {
        let x: [Float] = [0, 0, 0, 1, .nan, 2]
        var statistics = [Float]()
        let l2 = output(6) { y in
            statistics = output(2) { az_l2_norm_forward(2, 3, 1, 1e-5, 1, x, nil, y, $0) }
        }
        expectClose(l2, [0, 0, 0, .nan, .nan, .nan], "l2")
        expectClose(statistics, [-1e5, .nan], relative: 1e-6, "a clamped row is marked by its sign")
        let rms = output(6) { y in _ = output(2) { az_rms_norm_forward(2, 3, 1e-5, x, nil, y, $0) } }
        expectClose(rms, [0, 0, 0, .nan, .nan, .nan], "rms")
        let layer = output(6) { y in
            _ = output(2) { mean in _ = output(2) { az_layer_norm_forward(2, 3, 1e-5, x, nil, nil, y, mean, $0) } }
        }
        expectClose(layer, [0, 0, 0, .nan, .nan, .nan], "layer")
    }
}
