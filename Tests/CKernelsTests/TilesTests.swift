import CKernels
import Foundation
import Testing

private func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }

/// The first `cols` columns of a matrix with row stride `stride`.
private func dense<T>(_ x: [T], _ cols: Int, _ stride: Int) -> [T] {
    Swift.stride(from: 0, to: x.count, by: stride).flatMap { x[$0..<$0 + cols] }
}

@Suite struct TilesTests {
    static let sizes = [(1, 1), (3, 17), (17, 3), (5, 64)]

    @Test("Affine rows and their gradients agree with float64", arguments: sizes)
    func affineRows(_ rows: Int, _ cols: Int) {
        let (x, dy) = (values(rows * cols), values(rows * cols, seed: 2))
        let (gain, shift, start) = (values(cols, seed: 3), values(cols, seed: 4), values(rows * cols, seed: 5))
        let y = output(rows * cols) { az_affine_rows_forward(rows, cols, x, gain, shift, $0) }
        let expected = x.indices.map { Double(x[$0]) * Double(gain[$0 % cols]) + Double(shift[$0 % cols]) }
        // Half an ulp of a product and of a sum of numbers up to 6.
        expectClose(y, expected, absolute: 5e-7)
        var (dgain, dshift) = ([Float](), [Float]())
        let dx = output(rows * cols, initially: start) { dx in
            dgain = output(cols, initially: gain) { dgain in
                dshift = output(cols, initially: shift) {
                    az_affine_rows_backward(rows, cols, x, gain, dy, dx, dgain, $0)
                }
            }
        }
        expectClose(dx, x.indices.map { Double(start[$0]) + Double(dy[$0]) * Double(gain[$0 % cols]) }, absolute: 5e-7)
        func sums(_ start: [Float], _ f: (Int) -> Double) -> [Double] {
            (0..<cols).map { c in (0..<rows).reduce(Double(start[c])) { $0 + f($1 * cols + c) } }
        }
        // One addition a row to a sum of up to 20.
        expectClose(dgain, sums(gain) { Double(dy[$0]) * Double(x[$0]) }, absolute: 1e-6 * Double(rows))
        expectClose(dshift, sums(shift) { Double(dy[$0]) }, absolute: 1e-6 * Double(rows))
    }

    @Test("SiLU of rows and its gate agree with float64, leaving gaps between rows alone", arguments: sizes)
    func siluRowsAndGate(_ rows: Int, _ cols: Int) {
        let stride = cols + 2
        let count = rows * stride
        let (y, z, g) = (values(count), values(count, seed: 2, scale: 6), values(count, seed: 3))
        /// Returns a kernel's output in the columns it owns; those between rows must stay NaN.
        func run(_ body: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
            let whole = output(count, body)
            #expect((0..<count).allSatisfy { $0 % stride < cols || whole[$0].isNaN })
            return dense(whole, cols, stride)
        }
        let slope = z.doubles.map { (silu($0 + 1e-5) - silu($0 - 1e-5)) / 2e-5 }
        func expected(_ f: (Int) -> Double) -> [Double] { dense((0..<count).map(f), cols, stride) }
        // silu has 4e-7, its slope up to 1.1 some ulps and a difference quotient of 1e-9; factors are up to 2.
        let value = run { az_silu_rows_forward(rows, cols, z, stride, $0, stride) }
        expectClose(value, expected { silu(Double(z[$0])) }, relative: 4e-7)
        let gradient = run { az_silu_rows_backward(rows, cols, z, stride, g, stride, $0, stride) }
        expectClose(gradient, expected { Double(g[$0]) * slope[$0] }, absolute: 1e-6)
        let gated = run { az_silu_gate_forward(rows, cols, y, stride, z, stride, $0, stride) }
        expectClose(gated, expected { Double(y[$0]) * silu(Double(z[$0])) }, relative: 5e-7)
        var dz = [Float]()
        let dy = run { dy in
            dz = run { az_silu_gate_backward(rows, cols, y, stride, z, stride, g, stride, dy, stride, $0, stride) }
        }
        expectClose(dy, expected { Double(g[$0]) * silu(Double(z[$0])) }, relative: 6e-7)
        expectClose(dz, expected { Double(g[$0]) * Double(y[$0]) * slope[$0] }, absolute: 2e-6)
    }

    // MARK: Masked activation

    /// rows, cols, diagonal: nothing visible at first, a triangle, a shifted one, everything.
    static let tiles = [(1, 1, 0), (5, 17, -2), (17, 17, 0), (6, 40, 20), (4, 9, 50), (3, 5, -9)]

    @Test("Masked activations and their gradients agree with float64, also in place", arguments: tiles)
    func maskedActivation(_ rows: Int, _ cols: Int, _ diagonal: Int) {
        let (scale, stride) = (Float(0.37), cols + 3)
        let (x, g) = (values(rows * stride, scale: 4), values(rows * stride, seed: 2))
        let diagonals = values(rows + cols, seed: 3)
        let someColumns = (0..<cols).map { Float($0 % 3 == 1 ? 0 : 1) }
        let functions: [(az_row_function, az_row_gradient_function, (Double) -> Double)] = [
            (az_relu2_forward, az_relu2_backward, { reluReference($0) * reluReference($0) }),
            (az_laplace_forward, az_laplace_backward, laplaceReference),
        ]
        for (forward, backward, f) in functions {
            for (biased, mask) in [(false, nil), (true, nil), (false, someColumns), (true, someColumns)]
                as [(Bool, [Float]?)]
            {
                func visible(_ r: Int, _ c: Int) -> Bool { c <= diagonal + r && mask?[c] != 0 }
                func argument(_ r: Int, _ c: Int) -> Double {
                    Double(scale) * Double(x[r * stride + c]) + (biased ? Double(diagonals[rows + c - r]) : 0)
                }
                func slope(_ z: Double) -> Double { (f(z + 1e-5) - f(z - 1e-5)) / 2e-5 }
                let places = (0..<rows).flatMap { r in (0..<cols).map { (r, $0) } }
                diagonals.withUnsafeBufferPointer { diagonals in
                    let bias = biased ? diagonals.baseAddress! + rows : nil
                    let y = output(rows * cols) {
                        az_masked_activation_forward(
                            rows, cols, diagonal, scale, bias, mask, forward, x, stride, $0, cols)
                    }
                    // Some ulps of an argument up to 3.5, times a slope up to 7.
                    let expected = places.map { visible($0, $1) ? f(argument($0, $1)) : 0 }
                    expectClose(y, expected, relative: 6e-7, absolute: 1e-6)
                    let inPlace = output(x.count, initially: x) {
                        az_masked_activation_forward(
                            rows, cols, diagonal, scale, bias, mask, forward, $0, stride, $0, stride)
                    }
                    expectSame(dense(inPlace, cols, stride), y, "in place")

                    var (dbias, scratch) = ([Float](), [Float](repeating: .nan, count: 2 * cols))
                    let dx = output(g.count, initially: g) { dy in
                        dbias = output(rows + cols, initially: Array(diagonals)) {
                            az_masked_activation_backward(
                                rows, cols, diagonal, scale, bias, mask, forward, backward, x, stride, dy, stride,
                                biased ? $0 + rows : nil, &scratch)
                        }
                    }
                    let gradients = places.map { r, c in
                        visible(r, c) ? Double(g[r * stride + c]) * slope(argument(r, c)) : 0
                    }
                    expectClose(
                        dense(dx, cols, stride), gradients.map { Double(scale) * $0 }, relative: 2e-6, absolute: 2e-6)
                    var sums = diagonals.map(Double.init)
                    if biased { for (i, (r, c)) in places.enumerated() { sums[rows + c - r] += gradients[i] } }
                    expectClose(dbias, sums, relative: 2e-6, absolute: 3e-6 * Double(rows).squareRoot(), "dbias")
                }
            }
        }
    }
}
