import Foundation
import Tensors
import Testing

/// A function of two arguments with its definition in float64.
struct Binary: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let function: @Sendable (Tensor, Tensor) -> Tensor
    let reference: @Sendable (Double, Double) -> Double
    /// The smallest first and second argument that differences are tried on.
    var low: Float = -1.5
    var secondLow: Float = -1.5
    var high: Float = 4

    static let all = [
        Binary(testDescription: "+", function: { $0 + $1 }, reference: { $0 + $1 }),
        Binary(testDescription: "-", function: { $0 - $1 }, reference: { $0 - $1 }),
        Binary(testDescription: "*", function: { $0 * $1 }, reference: { $0 * $1 }),
        Binary(testDescription: "/", function: { $0 / $1 }, reference: { $0 / $1 }, secondLow: 0.5),
        Binary(testDescription: "power", function: { $0.power($1) }, reference: { pow($0, $1) }, low: 0.75, high: 2),
        Binary(testDescription: "maximum", function: { maximum($0, $1) }, reference: { max($0, $1) }),
        Binary(testDescription: "minimum", function: { minimum($0, $1) }, reference: { min($0, $1) }),
    ]
}

/// Pairs of shapes that broadcast.
let broadcastPairs: [([Int], [Int])] = [
    ([2, 3, 5], [2, 3, 5]), ([2, 3, 5], [5]), ([5], [2, 3, 5]), ([2, 3, 5], [3, 1]), ([2, 3, 5], [2, 1, 5]),
    ([2, 1, 5], [3, 1]), ([2, 3, 1], [1, 3, 4]), ([7], [1]), ([1], [7]), ([], [2, 3]), ([2, 3], []), ([], []),
    ([2, 1, 2, 1, 2], [1, 3, 1, 3, 1]), ([3, 4, 1], [3, 4, 1]), ([0, 3], [1]), ([1, 3], [0, 1]),
]

@Suite struct ArithmeticTests {
    private func common(_ a: [Int], _ b: [Int]) -> [Int] {
        let rank = max(a.count, b.count)
        let (x, y) = (Array(repeating: 1, count: rank - a.count) + a, Array(repeating: 1, count: rank - b.count) + b)
        return zip(x, y).map { $0 == 1 ? $1 : $0 }
    }

    /// One rounding (two for the power): a few units of 2⁻²⁴ = 6e-8.
    @Test("Values of all broadcast shapes agree with float64", arguments: Binary.all)
    func values(_ f: Binary) {
        for (left, right) in broadcastPairs {
            let a = sample(left, low: f.low, seed: 3)
            let b = sample(right, low: f.secondLow, seed: 4)
            let shape = common(left, right)
            expectClose(
                f.function(a, b), expected(shape) { f.reference(a.element($0), b.element($0)) }, shape: shape,
                tolerance: 5e-7)
        }
    }

    /// Rows and columns that need several ranges and odd ends.
    @Test("Values of large tensors agree with float64", arguments: Binary.all)
    func largeValues(_ f: Binary) {
        for (left, right) in [
            ([70_001], [70_001]), ([260, 300], [300]), ([260, 300], [260, 1]), ([2, 70_001], [2, 1]),
        ] {
            let a = sample(left, low: f.low, seed: 3)
            let b = sample(right, low: f.secondLow, seed: 4)
            let (x, y) = (a.values.map(Double.init), b.values.map(Double.init))
            let columns = left.last!
            let reference = x.indices.map { i in
                f.reference(x[i], y.count == x.count ? y[i] : right.last == 1 ? y[i / columns] : y[i % columns])
            }
            expectClose(f.function(a, b), reference, shape: left, tolerance: 5e-7)
        }
    }

    @Test("Gradients agree with central differences", arguments: Binary.all)
    func gradients(_ f: Binary) {
        for (left, right) in broadcastPairs where !left.contains(0) && !right.contains(0) {
            // Distinct elements, so that neither is on the kink of maximum.
            let a = distinct(left, gap: 0.125, seed: 5).clamped(f.low < 0 ? -4 : f.low, f.high)
            let b = (distinct(right, gap: 0.25, seed: 6) + 0.0625).clamped(
                f.secondLow < 0 ? -f.high : f.secondLow, f.high)
            checkGradients([a, b]) { f.function($0[0], $0[1]) }
        }
    }

    /// The kernels do not take this step, on either side.
    @Test("Columns of wider tensors are read with their step", arguments: Binary.all)
    func columnsOfWiderTensors(_ f: Binary) {
        let wide = sample([4, 3], low: f.low, seed: 7)
        let narrow = sample([4, 5], low: f.secondLow, seed: 8)
        let (a, b) = (wide.sliced(1, from: 1, to: 2), narrow.sliced(1, from: 3, to: 4))
        let reference = expected([4, 1]) { f.reference(wide.element([$0[0], 1]), narrow.element([$0[0], 3])) }
        expectClose(f.function(a, b), reference, shape: [4, 1], tolerance: 5e-7)
        expectClose(
            f.function(a.reshaped([4]), b.squeezed(1).unsqueezed(-1).squeezed(1)), reference, shape: [4],
            tolerance: 5e-7)
        expectClose(f.function(a, b.contiguous()), reference, tolerance: 5e-7)
        let backwards = wide.sliced(0, from: 3, by: -1).sliced(1, from: 1, to: 2)
        expectClose(
            f.function(backwards, b), expected([4, 1]) { f.reference(wide.element([3 - $0[0], 1]), b.element($0)) },
            tolerance: 5e-7)
    }

    @Test("Infinities and NaN follow IEEE 754")
    func infinitiesAndNotANumber() {
        let a = Tensor([.infinity, 0, 0, 1, -1, .nan, .infinity])
        let b = Tensor([.infinity, 0, .infinity, 0, 0, 1, 0])
        expectEqual(a + b, [.infinity, 0, .infinity, 1, -1, .nan, .infinity])
        expectEqual(a - b, [.nan, 0, -.infinity, 1, -1, .nan, .infinity])
        expectEqual(a * b, [.infinity, 0, .nan, 0, 0, .nan, .nan])
        expectEqual(a / b, [.nan, .nan, 0, .infinity, -.infinity, .nan, .infinity])
        expectEqual(maximum(a, b), [.infinity, 0, .infinity, 1, 0, .nan, .infinity])
        expectEqual(minimum(b, a), [.infinity, 0, 0, 0, -1, .nan, 0])
        expectEqual(maximum(Tensor([1, .nan]), Tensor([.nan, 1])), [.nan, .nan])
        expectEqual(Tensor([0, 0, -8, -8, .nan]).power(Tensor([0, -1, 3, 0.5, 0])), [1, .infinity, -512, .nan, 1])
    }

    @Test("A number may be on either side")
    func scalars() {
        let x = Tensor([1, 2, 4])
        expectEqual(x + 1, [2, 3, 5])
        expectEqual(1 - x, [0, -1, -3])
        expectEqual(x * 0.5, [0.5, 1, 2])
        expectEqual(1 / x, [1, 0.5, 0.25])
        expectEqual(x / 0, [.infinity, .infinity, .infinity])
        expectEqual(-x, [-1, -2, -4])
    }

    @Test("A tensor on both sides gets both gradients")
    func theSameTensorOnBothSides() {
        let x = Tensor([1, 2, 3]).requiringGradient()
        #expect(Tensors.gradients(of: (x * x).sum())[x]!.values == [2, 4, 6])
        #expect(Tensors.gradients(of: (x + x).sum())[x]!.values == [2, 2, 2])
        #expect(Tensors.gradients(of: (x - x).sum())[x]!.values == [0, 0, 0])
        #expect(Tensors.gradients(of: (x / x).sum())[x]!.values == [0, 0, 0])
    }

    @Test("The gradients of a power at zero are those of PyTorch")
    func powerAtZero() {
        func gradient(_ base: Float, _ exponent: Float) -> [Float] {
            let (a, b) = (Tensor(base).requiringGradient(), Tensor(exponent).requiringGradient())
            let result = Tensors.gradients(of: a.power(b))
            return [result[a]!.item, result[b]!.item]
        }
        #expect(gradient(0, 2) == [0, 0])
        #expect(gradient(0, 1) == [1, 0])
        #expect(gradient(0, 0) == [0, 0])
        #expect(gradient(2, 0) == [0, Foundation.log(Float(2))])
        #expect(gradient(0, 0.5) == [.infinity, 0])
    }

    @Test("Equal elements share the gradient of maximum and minimum")
    func equalsShareTheGradient() {
        let (a, b) = (Tensor([1, 2, 3]).requiringGradient(), Tensor([3, 2, 1]).requiringGradient())
        let upper = Tensors.gradients(of: (maximum(a, b) * Tensor([1, 10, 100])).sum())
        #expect(upper[a]!.values == [0, 5, 100] && upper[b]!.values == [1, 5, 0])
        let lower = Tensors.gradients(of: (minimum(a, b) * Tensor([1, 10, 100])).sum())
        #expect(lower[a]!.values == [1, 5, 0] && lower[b]!.values == [0, 5, 100])
    }
}
