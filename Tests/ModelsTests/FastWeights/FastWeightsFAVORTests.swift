import AttentionZooTestSupport
import FastWeightTransformers
import NN
import Tensors
import Testing

@Suite struct FastWeightsFAVORTests {
    /// Some |x| up to 2, so that exponents stay below 10.
    private func inputs(_ shape: [Int], _ m: Int, seed: UInt64 = 1) -> (x: Tensor, projection: Tensor) {
        let key = RandomKey(seed: seed)
        let d = shape.last!
        return (
            Tensor.normal(shape, standardDeviation: 1 / Float(d).squareRoot(), key: key.child(0)),
            favorProjection(d, features: m, key: key.child(1))
        )
    }

    /// Compares features and gradients of both inputs, each alone too, with an expanded gradient.
    @Test(
        "Plain and fused features agree",
        arguments: [([7], 3), ([2, 3, 5], 17), ([1, 64], 64), ([300, 3], 200), ([0, 4], 2)] as [([Int], Int)])
    func formsAgree(_ shape: [Int], _ m: Int) throws {
        let (x, w) = inputs(shape, m, seed: 2)
        let (fused, plain) = (favorFeatures(x, projection: w), favorFeatures(x, projection: w, implementation: .plain))
        #expect(fused.shape == plain.shape && plain.shape == shape.dropLast() + [2 * m])
        // A relative error of an exponential is the absolute one of its argument, a sum of d products of at most 10.
        expectClose(fused, plain, roundings: 10 * x.length(-1), "features")
        let full = Tensor.normal(shape.dropLast() + [2 * m], key: RandomKey(seed: 3))
        let expanded = Tensor.normal([2 * m], key: RandomKey(seed: 4)).expanded(to: full.shape)
        for (wantsX, wantsW, seed) in [(true, true, full), (true, false, expanded), (false, true, full)] {
            func run(_ implementation: Implementation) -> [Tensor?] {
                let (a, b) = (wantsX ? x.requiringGradient() : x, wantsW ? w.requiringGradient() : w)
                let y = favorFeatures(a, projection: b, implementation: implementation)
                let all = gradients(of: y, seed: seed)
                return [all[a], all[b]]
            }
            for (got, expected) in zip(run(.fused), run(.plain)) {
                #expect((got == nil) == (expected == nil))
                guard let got, let expected else { continue }
                #expect(got.shape == expected.shape)
                // Exponentials as above, and sums over 2 m features and all rows.
                expectClose(got, expected, roundings: 100 * x.length(-1) + 2 * m + x.count / x.length(-1), "gradient")
            }
        }
    }

    /// The products of features stand for exp(x·y). An estimate from one pair of features has a relative variance below
    /// e^|x+y|² ≤ e: of 4096 pairs, five deviations are 5 · √(e / 4096) = 0.13, and orthogonal ones have less.
    @Test("Products of features estimate exp(x·y)")
    func productsAreExponentials() {
        let (d, m) = (16, 4096)
        let w = favorProjection(d, features: m, key: RandomKey(seed: 5))
        func unit(_ seed: UInt64) -> Tensor {
            let x = Tensor.normal([d], key: RandomKey(seed: seed))
            return x * (0.5 / sqrt((x * x).sum()))
        }
        for pair in 0..<8 as Range<UInt64> {
            let (x, y) = (unit(2 * pair), unit(2 * pair + 1))
            let estimate = (favorFeatures(x, projection: w) * favorFeatures(y, projection: w)).sum().item
            let exact = exp((x * y).sum()).item
            #expect(abs(estimate / exact - 1) < 0.13, "\(estimate), \(exact)")
        }
    }

    @Test("Directions are orthogonal in blocks", arguments: [(5, 13), (8, 8), (7, 3), (1, 4)])
    func directionsAreOrthogonalInBlocks(_ d: Int, _ m: Int) {
        let w = favorProjection(d, features: m, key: RandomKey(seed: 6))
        #expect(w.shape == [d, m])
        let products = matrixProduct(w, w, transposeA: true).values
        for i in 0..<m {
            for j in 0..<m where i != j && i / d == j / d {
                let scale = (products[i * m + i] * products[j * m + j]).squareRoot()
                #expect(abs(products[i * m + j]) < 1e-5 * scale)  // rounding of a QR factorization in float32
            }
        }
    }

    /// The squares of the lengths follow χ² with d degrees of freedom: mean d, variance 2 d.
    @Test("Directions are as long as normal vectors")
    func lengthsAreThoseOfNormalVectors() {
        let (d, m) = (8, 4000)
        let w = favorProjection(d, features: m, key: RandomKey(seed: 7))
        let squares = (w * w).sum(axes: [0]).values.map(Double.init)
        let mean = squares.reduce(0, +) / Double(m)
        #expect(abs(mean - 8) < 5 * (16.0 / 4000).squareRoot(), "\(mean)")
        let variance = squares.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(m)
        // The fourth central moment of χ²(8) is 3 · 16² + 48 · 8 + … = 1536: a deviation of √((1536 − 256) / 4000).
        #expect(abs(variance - 16) < 5 * (1280.0 / 4000).squareRoot(), "\(variance)")
    }

    @Test("The key decides the directions")
    func theKeyDecides() {
        func draw(_ seed: UInt64) -> [Float] { favorProjection(6, features: 20, key: RandomKey(seed: seed)).values }
        #expect(draw(1) == draw(1))
        #expect(draw(1) != draw(2))
        // Blocks of one matrix are drawn apart.
        let w = draw(1)
        #expect(abs(w[0] / w[6]) != abs(w[20] / w[26]))
    }

    @Test("Features of long vectors vanish")
    func longVectorsVanish() throws {
        let x = Tensor([40, 0, 0, 0], shape: [2, 2]).requiringGradient()
        let y = favorFeatures(x, projection: Tensor([1, -1, 0, 0], shape: [2, 2]))
        #expect(y.values == [0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5])
        #expect(try #require(gradients(of: y.sum())[x]).values == [0, 0, 0, 0])
    }

    @Test("Shapes that do not fit stop with a message")
    func shapesThatDoNotFitStop() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = favorFeatures(.zeros([2, 3]), projection: .zeros([4, 5]))
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("favorFeatures: x [2, 3] and projection [4, 5]: expected a projection [3, m]"))
    }
}
