import CKernels
import Foundation
import Testing

private func logSoftmax(_ x: [Double]) -> [Double] {
    let largest = x.reduce(-.infinity) { $1.isNaN ? .nan : max($0, $1) }
    let total = log(x.reduce(0) { $0 + exp($1 - largest) })
    return x.map { ($0 - largest) - total }
}

private func softmax(_ x: [Double]) -> [Double] { logSoftmax(x).map(exp) }

private func rows(_ n: Int, _ x: [Float], _ f: ([Double]) -> [Double]) -> [Double] {
    stride(from: 0, to: x.count, by: n).flatMap { f(x[$0..<$0 + n].map(Double.init)) }
}

@Suite struct SoftmaxTests {
    static let sizes = [(1, 1), (3, 3), (4, 17), (2, 64), (3, 1000), (1, 5001)]

    @Test("Softmax and its logarithm agree with float64, also in place", arguments: sizes)
    func forward(_ count: Int, _ n: Int) {
        for scale in [Float(1), 30, 1e4] {
            let x = values(count * n, scale: scale)
            let y = output(count * n) { az_softmax_forward(count, n, x, $0) }
            // 1 ulp of exp, the argument x - max is exact to half an ulp of up to 87 (5e-6), the sum, the scaling.
            expectClose(y, rows(n, x, softmax), relative: scale > 1 ? 1e-5 : 6e-7, absolute: 1e-37, "scale \(scale)")
            let inPlace = output(count * n, initially: x) { az_softmax_forward(count, n, $0, $0) }
            expectSame(inPlace, y, "in place")
            let logs = output(count * n) { az_log_softmax_forward(count, n, x, $0) }
            expectClose(logs, rows(n, x, logSoftmax), relative: 2e-7, absolute: 1e-6, "log, scale \(scale)")
        }
    }

    /// Lengths with a vector and a remainder.
    @Test("Masked entries have no weight, undefined rows are NaN", arguments: [3, 17, 80])
    func specialRows(_ n: Int) {
        let plain = values(n)
        func row(_ changes: [Int: Float]) -> [Float] { plain.enumerated().map { changes[$0.offset] ?? $0.element } }
        let masked = row([0: -.infinity, n - 1: -.infinity])
        let undefined: [[Float]] = [
            [Float](repeating: -.infinity, count: n), row([1: .nan]), row([n - 1: .nan]), row([1: .infinity]),
            row([0: .nan, 2: -.infinity]),
        ]
        let x = masked + undefined.flatMap { $0 }
        let nan = [Double](repeating: .nan, count: n * undefined.count)
        let y = output(x.count) { az_softmax_forward(x.count / n, n, x, $0) }
        expectClose(y, softmax(masked.doubles) + nan, relative: 6e-7, "softmax")
        let logs = output(x.count) { az_log_softmax_forward(x.count / n, n, x, $0) }
        expectClose(Array(logs[..<n]), logSoftmax(masked.doubles), relative: 2e-7, absolute: 1e-6)
        #expect(logs[n...].allSatisfy { !$0.isFinite })
    }

    @Test("Gradients agree with central differences", arguments: [(1, 1), (2, 3), (3, 17), (2, 40)])
    func backward(_ count: Int, _ n: Int) {
        let x = values(count * n)
        let dy = values(count * n, seed: 7)
        for (forward, backward, reference) in [
            (az_softmax_forward, az_softmax_backward, softmax),
            (az_log_softmax_forward, az_log_softmax_backward, logSoftmax),
        ] {
            let y = output(count * n) { forward(count, n, x, $0) }
            let dx = output(count * n) { backward(count, n, y, dy, $0) }
            let expected = (0..<count).flatMap { r in
                let span = r * n..<(r + 1) * n
                return numericalGradient(of: reference, at: Array(x.doubles[span]), dy: Array(dy.doubles[span]))
            }
            // Some ulps of |dy| = 2 summed over the row.
            expectClose(dx, expected, relative: 1e-6, absolute: 2e-7 * Double(n).squareRoot() + 1e-6)
            let inPlace = output(count * n, initially: dy) { backward(count, n, y, $0, $0) }
            expectSame(inPlace, dx, "in place")
        }
    }

    @Test("Cross-entropy and its gradient agree with float64", arguments: sizes)
    func crossEntropy(_ count: Int, _ n: Int) {
        for scale in [Float(2), 200] {
            let x = values(count * n, scale: scale)
            let targets = (0..<count).map { Int32(($0 * 7 + n / 2) % n) }
            var dx = [Float]()
            let losses = output(count) { losses in
                dx = output(count * n) { az_cross_entropy(count, n, -100, x, targets, losses, $0) }
            }
            let logs = rows(n, x, logSoftmax)
            let expected = (0..<count).map { -logs[$0 * n + Int(targets[$0])] }
            // The sum's relative error is an absolute one of its logarithm.
            expectClose(losses, expected, relative: 2e-7, absolute: 5e-7, "losses")
            var gradient = rows(n, x, softmax)
            for r in 0..<count { gradient[r * n + Int(targets[r])] -= 1 }
            expectClose(dx, gradient, relative: scale > 2 ? 1e-5 : 1e-6, absolute: 3e-7, "gradient")
            let alone = output(count) { az_cross_entropy(count, n, -100, x, targets, $0, nil) }
            expectClose(alone, expected, relative: 2e-7, absolute: 5e-7, "without a gradient")
        }
    }

    @Test("Cross-entropy ignores, passes NaN on, and is infinite for the impossible")
    func crossEntropyOfSpecialRows() {
        let x: [Float] = [1, 2, 3, .nan, 0, 1, -.infinity, 0, 0, 0, -.infinity, 1000]
        var dx = [Float]()
        let losses = output(4) { losses in
            dx = output(12) { az_cross_entropy(4, 3, -1, x, [-1, 2, 1, 1], losses, $0) }
        }
        expectClose(losses, [0, .nan, log(2), .infinity], relative: 2e-7, "ignored, NaN, masked, impossible")
        expectClose(Array(dx[..<3]), [0, 0, 0], "an ignored row has no gradient")
        #expect(dx[3..<6].allSatisfy { $0.isNaN })
        expectClose(Array(dx[6...]), [0, -0.5, 0.5, 0, -1, 1], relative: 2e-7)
        // An ignored row is not looked at, even where it is all NaN; here the ignored target is also a valid class.
        let unread = output(1) { az_cross_entropy(1, 2, 1, [.nan, .nan], [1], $0, nil) }
        expectClose(unread, [0])
    }
}
