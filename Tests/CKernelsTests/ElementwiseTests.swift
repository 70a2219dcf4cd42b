import CKernels
import Foundation
import Testing

typealias Forward = @Sendable (Int, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?) -> Void
typealias Backward =
    @Sendable (Int, UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?)
    ->
    Void

/// A function with its float64 reference, the arguments it is tested on, and the error it may have.
struct UnaryCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let forward: Forward
    let backward: Backward
    let reference: @Sendable (Double) -> Double
    let range: ClosedRange<Float>
    let relative: Double
    let absolute: Double
}

@Sendable func normalCDF(_ z: Double) -> Double { erfc(-z / 2.0.squareRoot()) / 2 }

@Sendable func laplaceReference(_ x: Double) -> Double {
    normalCDF((x - 0.5.squareRoot()) / (1 / (4 * Double.pi)).squareRoot())
}

@Sendable func reluReference(_ x: Double) -> Double { x < 0 ? 0 : x }

// exp and log: 2 ulp are 2.4e-7 of a result just above a power of 2, 1.2e-7 below one. tanh and sigmoid: a polynomial,
// a division and two roundings, 4e-7. gelu and laplace: 2e-7 absolute, as erf has; gelu's relative error is that of
// z^2 / 2 in the exponent. The absolute 1.2e-38 is a result below the smallest normal number given as 0.
private let tiny = 1.2e-38
private let unaryCases: [UnaryCase] = [
    .init("exp", az_exp_forward, az_exp_backward, exp, -100...88, relative: 1.2e-7, absolute: tiny),
    .init("log", az_log_forward, az_log_backward, log, 1e-3...50, relative: 1.2e-7, absolute: 0),
    .init("sqrt", az_sqrt_forward, az_sqrt_backward, { $0.squareRoot() }, 1e-3...50, relative: 6e-8, absolute: 0),
    .init(
        "rsqrt", az_rsqrt_forward, az_rsqrt_backward, { 1 / $0.squareRoot() }, 0.01...50, relative: 1.2e-7,
        absolute: 0),
    .init("tanh", az_tanh_forward, az_tanh_backward, tanh, -10...10, relative: 4e-7, absolute: 0),
    .init(
        "sigmoid", az_sigmoid_forward, az_sigmoid_backward, { 1 / (1 + exp(-$0)) }, -87...30, relative: 4e-7,
        absolute: tiny),
    // Below -88.4 sigmoid is 0, there x times it has lost up to 3.7e-37.
    .init(
        "silu", az_silu_forward, az_silu_backward, { $0 / (1 + exp(-$0)) }, -87...30, relative: 4e-7, absolute: 4e-37),
    // An exponential, a logarithm, a quotient, a product and a sum.
    .init(
        "softplus", az_softplus_forward, az_softplus_backward, { reluReference($0) + log1p(exp(-abs($0))) }, -87...50,
        relative: 4e-7, absolute: tiny),
    .init("gelu", az_gelu_forward, az_gelu_backward, { $0 * normalCDF($0) }, -12...12, relative: 5e-6, absolute: tiny),
    .init("relu", az_relu_forward, az_relu_backward, reluReference, -5...5, relative: 0, absolute: 0),
    .init(
        "relu2", az_relu2_forward, az_relu2_backward, { reluReference($0) * reluReference($0) }, -5...5, relative: 6e-8,
        absolute: tiny),
    .init("laplace", az_laplace_forward, az_laplace_backward, laplaceReference, -3...4, relative: 0, absolute: 2e-7),
    .init("sin", az_sin_forward, az_sin_backward, sin, -50...50, relative: 1.2e-7, absolute: tiny),
    .init("cos", az_cos_forward, az_cos_backward, cos, -50...50, relative: 1.2e-7, absolute: 0),
    .init("abs", az_abs_forward, az_abs_backward, { abs($0) }, -5...5, relative: 0, absolute: 0),
]

extension UnaryCase {
    init(
        _ name: String, _ forward: @escaping Forward, _ backward: @escaping Backward,
        _ reference: @escaping @Sendable (Double) -> Double, _ range: ClosedRange<Float>, relative: Double,
        absolute: Double
    ) {
        self.init(
            testDescription: name, forward: forward, backward: backward, reference: reference, range: range,
            relative: relative, absolute: absolute)
    }

    func arguments(_ count: Int) -> [Float] {
        let half = (range.upperBound - range.lowerBound) / 2
        return values(count, seed: UInt64(count), scale: half, offset: range.lowerBound + half)
    }
}

@Suite struct ElementwiseTests {
    @Test("Values agree with float64, also in place", arguments: unaryCases)
    func forward(_ unary: UnaryCase) {
        for count in [1, 3, 17, 1000, 4099] {
            let x = unary.arguments(count)
            let expected = x.map { unary.reference(Double($0)) }
            let y = output(count) { unary.forward(count, x, $0) }
            expectClose(y, expected, relative: unary.relative, absolute: unary.absolute, "n = \(count)")
            let inPlace = output(count, initially: x) { unary.forward(count, $0, $0) }
            expectSame(inPlace, y, "in place, n = \(count)")
        }
    }

    @Test("Special values of IEEE 754 are right in every lane and in the remainder", arguments: unaryCases)
    func specialValues(_ unary: UnaryCase) {
        for position in [0, 5, 16, 32] {
            var x = [Float](repeating: 0.5, count: position) + specials
            x.append(contentsOf: [Float](repeating: 0.5, count: 3))
            let expected = x.map { unary.reference(Double($0)) }
            let y = output(x.count) { unary.forward(x.count, x, $0) }
            expectClose(y, expected, relative: unary.relative, absolute: unary.absolute, "from \(position)")
        }
    }

    @Test("Gradients agree with central differences", arguments: unaryCases)
    func backward(_ unary: UnaryCase) {
        for count in [1, 17, 1000] {
            let x = unary.arguments(count)
            let dy = values(count, seed: 9)
            let y = output(count) { unary.forward(count, x, $0) }
            let expected = zip(x.doubles, dy.doubles).map { point, weight in
                let h = 1e-6 * max(1e-3, abs(point))
                return weight * (unary.reference(point + h) - unary.reference(point - h)) / (2 * h)
            }
            // Central differences are good to about 1e-8 here. tanh and sigmoid have theirs from y, whose last digit is
            // all that is left of 1 - y^2 far out; the gradient of exp has no such scale.
            let absolute = unary.testDescription == "exp" ? tiny : 1e-6
            let dx = output(count) { unary.backward(count, x, y, dy, $0) }
            expectClose(dx, expected, relative: 2e-6, absolute: absolute, "n = \(count)")
            let inPlace = output(count, initially: dy) { unary.backward(count, x, y, $0, $0) }
            expectSame(inPlace, dx, "in place, n = \(count)")
        }
    }

    /// Some 450,000 floats over the whole range, denormals included.
    @Test("Errors are at most two units in the last place", arguments: [unaryCases[0], unaryCases[1]])
    func twoUlp(_ unary: UnaryCase) {
        let x = stride(from: UInt32(0), to: .max - 9973, by: 9973).map { Float(bitPattern: $0) }
        let y = output(x.count) { unary.forward(x.count, x, $0) }
        let wrong = x.indices.first { i in
            let exact = unary.reference(Double(x[i]))
            if exact.isNaN { return !y[i].isNaN }
            let ulp = Double(Float(exact).ulp)
            let flushed = abs(exact) < Double(Float.leastNormalMagnitude) && y[i] == 0
            return !(Float(exact) == y[i] || flushed || abs(Double(y[i]) - exact) <= 2 * ulp)
        }
        #expect(wrong == nil, "at \(x[wrong ?? 0])")
    }

    @Test("Tanh keeps its relative accuracy towards zero")
    func tanhIsRelativeTowardsZero() {
        let x = (1...38).flatMap { [pow(10, -Float($0)), -3 * pow(10, -Float($0))] }
        let y = output(x.count) { az_tanh_forward(x.count, x, $0) }
        expectClose(y, x.map { tanh(Double($0)) }, relative: 4e-7)
    }

    @Test("Gradients are right at zero, infinity, and NaN")
    func gradientsAtSpecialPoints() {
        let x: [Float] = [0, -0.0, .nan, .infinity, -.infinity]
        let ones = [Float](repeating: 1, count: 5)
        let relu = output(5) { az_relu_backward(5, x, x, ones, $0) }
        expectSame(relu, [0, 0, 1, 1, 0], "relu")
        let abs = output(5) { az_abs_backward(5, x, x, ones, $0) }
        expectClose(abs, [0, 0, .nan, 1, -1], "abs")
        let relu2 = output(5) { az_relu2_backward(5, x, x, ones, $0) }
        expectClose(relu2, [0, 0, .nan, .infinity, 0], "relu2")
    }

    @Test(
        "Clamping and its gradient agree with plain code",
        arguments: [(-0.5, 0.75), (0, .infinity), (-.infinity, 1)] as [(Float, Float)])
    func clamp(_ low: Float, _ high: Float) {
        for count in [1, 3, 17, 1000] {
            let x = Array((values(1000) + specials + [low, high]).suffix(count))
            let y = output(count) { az_clamp_forward(count, low, high, x, $0) }
            expectSame(y, x.map { $0.isNaN ? $0 : $0 < low ? low : $0 > high ? high : $0 })
            let dy = values(count, seed: 4)
            let dx = output(count) { az_clamp_backward(count, low, high, x, dy, $0) }
            expectSame(dx, zip(x, dy).map { $0 >= low && $0 <= high ? $1 : 0 })
        }
    }

    /// The stated error of the polynomial, 3e-9, is a twentieth of the rounding of a result. Averaged over so many results the
    /// rounding, whose root mean square is at most 3.5e-8, comes to 2.7e-10.
    @Test("The polynomial of exp errs by no more than it states, once rounding is averaged out")
    func exponentialPolynomial() {
        let (bins, count) = (16, 1 << 14)
        let half: Double = Foundation.log(2.0) / 2
        let step: Double = 2 * half / Double(bins * count)
        for bin in 0..<bins {
            let low: Double = -half + step * Double(bin * count)
            let x = (0..<count).map { (i: Int) -> Float in Float(low + step * (Double(i) + 0.5)) }
            let y = output(count) { az_exp_forward(count, x, $0) }
            var sum = 0.0
            for (point, value) in zip(x, y) { sum += Double(value) / Foundation.exp(Double(point)) - 1 }
            let mean = abs(sum) / Double(count)
            #expect(mean < 3e-9 + 5 * 2.7e-10, "from \(x[0]) to \(x[count - 1])")
        }
    }

    /// Exponents with a loop of their own, and others.
    @Test(
        "Powers and their gradients agree with float64",
        arguments: [0, 1, 2, 3, 4, -1, -2, 0.5, -0.5, 1.5, 2.5, -0.3] as [Float])
    func powers(_ exponent: Float) {
        for count in [1, 17, 1000] {
            let x = values(count, scale: 2, offset: 2.1)
            let y = output(count) { az_pow_forward(count, exponent, x, $0) }
            expectClose(y, x.map { pow(Double($0), Double(exponent)) }, relative: 2.4e-7)
            let dy = values(count, seed: 8)
            let dx = output(count) { az_pow_backward(count, exponent, x, dy, $0) }
            let expected = zip(x.doubles, dy.doubles).map { x, dy in
                exponent == 0 ? 0 : dy * Double(exponent) * pow(x, Double(exponent) - 1)
            }
            expectClose(dx, expected, relative: 4e-7)
        }
        let y = output(specials.count) { az_pow_forward(specials.count, exponent, specials, $0) }
        let expected = specials.map { pow(Double($0), Double(exponent)) }
        // x^2 of 1e20 overflows on the way to x^-2: 0, where the power is 1e-40.
        expectClose(y, expected, relative: 2.4e-7, absolute: tiny, "special values")
    }

    @Test("The power of zero has no gradient")
    func zeroPowerHasNoGradient() {
        let dx = output(3) { az_pow_backward(3, 0, [0, 1, -1], [1, 1, 1], $0) }
        expectSame(dx, [0, 0, 0])
    }
}
