import CKernels
import Foundation
import Testing

@Suite struct OptimizerTests {
    /// The formulas of torch.optim.
    @Test("Ten steps of Adam and AdamW agree with float64", arguments: [(0.0, false), (0.1, false), (0.1, true)])
    func adam(_ decay: Double, _ decoupled: Bool) {
        let (rate, beta1, beta2, eps, scale) = (1e-2, 0.9, 0.999, 1e-8, 0.5)
        for count in [1, 3, 17, 1000] {
            var (parameter, first, second) = (values(count), values(count).map { _ in Float(0) }, values(count))
            second = first
            var (p, m, v) = (parameter.doubles, first.doubles, second.doubles)
            for step in 1...10 {
                let gradient = values(count, seed: UInt64(step + 20))
                let (correction1, correction2) = (1 - pow(beta1, Double(step)), 1 - pow(beta2, Double(step)))
                az_adam(
                    count, rate, beta1, beta2, eps, decay, decoupled ? 1 : 0, correction1, correction2, scale, gradient,
                    &parameter, &first, &second)
                for i in 0..<count {
                    if decoupled { p[i] -= rate * decay * p[i] }
                    let g = scale * Double(gradient[i]) + (decoupled ? 0 : decay * p[i])
                    m[i] = beta1 * m[i] + (1 - beta1) * g
                    v[i] = beta2 * v[i] + (1 - beta2) * g * g
                    p[i] -= rate / correction1 * m[i] / ((v[i] / correction2).squareRoot() + eps)
                }
            }
            // Half an ulp of 2 and a few of the update, ten times.
            expectClose(parameter, p, absolute: 2e-6, "parameter, n = \(count)")
            expectClose(first, m, relative: 1e-6, absolute: 3e-7, "first moment")
            expectClose(second, v, relative: 2e-6, "second moment")
        }
    }

    /// 0 / (0 + eps).
    @Test("Adam does not move at a gradient of zero")
    func adamAtRest() {
        var (parameter, first, second) = (
            [Float](values(5)), [Float](repeating: 0, count: 5), [Float](repeating: 0, count: 5)
        )
        let before = parameter
        az_adam(5, 0.1, 0.9, 0.999, 1e-8, 0, 0, 0.1, 0.001, 1, [0, 0, 0, 0, 0], &parameter, &first, &second)
        expectSame(parameter, before)
    }

    @Test("Five steps of SGD agree with float64", arguments: [(0.0, 0.0), (0.9, 0.0), (0.9, 0.05)])
    func sgd(_ momentum: Double, _ decay: Double) {
        let (rate, scale) = (0.05, 2.0)
        for count in [1, 17, 1000] {
            var parameter = values(count)
            var plain = parameter
            // The first step must not read the buffer.
            var buffer = [Float](repeating: .nan, count: count)
            var (p, b) = (parameter.doubles, [Double](repeating: 0, count: count))
            for step in 0..<5 {
                let gradient = values(count, seed: UInt64(step + 20))
                az_sgd(count, rate, momentum, decay, step == 0 ? 1 : 0, scale, gradient, &parameter, &buffer)
                az_sgd(count, rate, 0, decay, step == 0 ? 1 : 0, scale, gradient, &plain, nil)
                for i in 0..<count {
                    let g = scale * Double(gradient[i]) + decay * p[i]
                    b[i] = step == 0 ? g : momentum * b[i] + g
                    p[i] -= rate * b[i]
                }
            }
            // A few half-ulps of 4 over five steps.
            expectClose(parameter, p, absolute: 3e-6, "n = \(count)")
            if momentum == 0 { expectClose(plain, p, absolute: 3e-6, "without a buffer") }
        }
    }
}
