import CKernels
import Foundation
import Testing

/// Exponentials in pairs of opposite sign.
@Suite struct ExponentialTests {
    static let sizes = [(1, 1, 1), (3, 5, 2), (2, 64, 17), (2, 16, 64), (5, 3, 33)]

    /// [exp(u − h), exp(−u − h)] of one row, in float64.
    private func pairs(_ x: [Double], _ u: [Double], _ scale: Double) -> [Double] {
        let h = x.reduce(0) { $0 + $1 * $1 } / 2
        return u.map { scale * exp($0 - h) } + u.map { scale * exp(-$0 - h) }
    }

    private func row(_ index: Int, _ width: Int, _ x: [Float]) -> [Double] {
        x[index * width..<(index + 1) * width].map { Double($0) }
    }

    /// The error of the argument, some 2e-6 where it is about 10, becomes a relative one.
    @Test("Pairs of exponentials agree with float64", arguments: sizes)
    func forward(_ rows: Int, _ d: Int, _ m: Int) {
        let (x, u) = (values(rows * d, scale: 0.5), values(rows * m, seed: 2))
        let y = output(rows * 2 * m) { az_exponential_pairs_forward(rows, d, m, 0.25, x, u, $0) }
        let expected = (0..<rows).flatMap { pairs(row($0, d, x), row($0, m, u), 0.25) }
        expectClose(y, expected, relative: 4e-6)
    }

    /// Sums of up to 128 products, relative to the largest of a few units.
    @Test("Gradients agree with float64", arguments: sizes)
    func backward(_ rows: Int, _ d: Int, _ m: Int) {
        let (x, u) = (values(rows * d, scale: 0.5), values(rows * m, seed: 2))
        let dy = values(rows * 2 * m, seed: 3)
        let y = output(rows * 2 * m) { az_exponential_pairs_forward(rows, d, m, 0.5, x, u, $0) }
        var du: [Float] = []
        let initial = [Float](repeating: 0.5, count: rows * d)
        let dx = output(rows * d, initially: initial) { dx in
            du = output(rows * m) { az_exponential_pairs_backward(rows, d, m, x, y, dy, 1, dx, $0) }
        }
        for index in 0..<rows {
            let (xs, us) = (row(index, d, x), row(index, m, u))
            let weights = row(index, 2 * m, dy)
            let gx = numericalGradient(of: { pairs($0, us, 0.5) }, at: xs, dy: weights)
            let gu = numericalGradient(of: { pairs(xs, $0, 0.5) }, at: us, dy: weights)
            let (gotX, gotU) = (Array(dx[index * d..<(index + 1) * d]), Array(du[index * m..<(index + 1) * m]))
            expectClose(gotX, gx.map { $0 + 0.5 }, relative: 1e-5, absolute: 2e-5, "dx")
            expectClose(gotU, gu, relative: 1e-5, absolute: 1e-5, "du")
        }
        // Each alone, and written over instead of added to.
        let alone = output(rows * d) { az_exponential_pairs_backward(rows, d, m, x, y, dy, 0, $0, nil) }
        expectClose(alone, dx.map { Double($0) - 0.5 }, absolute: 1e-5, "dx alone")
        expectSame(output(rows * m) { az_exponential_pairs_backward(rows, d, m, x, y, dy, 0, nil, $0) }, du, "du alone")
    }

    @Test("Infinities, NaN, and large arguments have their limits")
    func specialValues() {
        let x: [Float] = [0, .infinity, .nan, 40]
        let u = [Float](repeating: 1, count: 4)
        let y = output(8) { az_exponential_pairs_forward(4, 1, 1, 1, x, u, $0) }
        expectClose(y, [exp(1), exp(-1), 0, 0, .nan, .nan, 0, 0], relative: 1e-6)
    }
}
