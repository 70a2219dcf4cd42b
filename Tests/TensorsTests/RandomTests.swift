import Foundation
import Tensors
import Testing

@Suite struct RandomTests {
    private let key = RandomKey(seed: 42)

    /// Seeds must mean the same in every version and on every machine.
    @Test("Keys agree with a separate program in Python")
    func keysAreFixed() {
        #expect(RandomKey(seed: 0).value == 0xf2ee_2134_306f_f565)
        #expect(RandomKey(seed: 7).value == 0xf23c_2419_f251_fb29)
        #expect(RandomKey(seed: 7).child(0).value == 0xe4a8_82d4_5ef0_f9be)
        #expect(RandomKey(seed: 7).child(-3).value == 0x32b7_05e9_c15f_ae7e)
        #expect(RandomKey(seed: 7).child(1).child(2).value == 0x1742_18e1_dded_8743)
    }

    @Test("Keys of different seeds and paths differ")
    func keysAreDifferent() {
        var seen = Set<RandomKey>()
        var count = 0
        for seed in 0..<20 as Range<UInt64> {
            let root = RandomKey(seed: seed)
            seen.insert(root)
            count += 1
            for i in -20..<20 {
                let child = root.child(i)
                seen.insert(child)
                for j in 0..<20 { seen.insert(child.child(j)) }
                count += 21
            }
        }
        #expect(seen.count == count)
        #expect(RandomKey(seed: 3) == RandomKey(seed: 3) && key.child(5) == key.child(5))
        #expect(Set(key.integers(1000)).count == 1000 && key.integers(3) == Array(key.integers(10).prefix(3)))
    }

    /// Bounds are five standard errors of 200,000 draws: wrong once in two million tests, and the key is fixed.
    @Test("Uniform numbers have their range, mean, and variance")
    func uniformMoments() {
        let n = 200_000
        let values = Tensor.uniform([n], low: -2, high: 6, key: key).values.map(Double.init)
        #expect(values.min()! >= -2 && values.max()! <= 6 && values.min()! < -1.99 && values.max()! > 5.99)
        let mean = values.reduce(0, +) / Double(n)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n)
        #expect(abs(mean - 2) < 5 * 8 / (12 * Double(n)).squareRoot())
        // The variance of (x − mean)² is 8⁴ / 180.
        #expect(abs(variance - 64.0 / 12) < 5 * (4096 / 180 / Double(n)).squareRoot())
    }

    @Test("Normal numbers have their moments and tails")
    func normalMoments() {
        let n = 200_000
        let values = Tensor.normal([n], mean: 3, standardDeviation: 2, key: key).values.map { (Double($0) - 3) / 2 }
        func moment(_ power: Double) -> Double { values.reduce(0) { $0 + pow($1, power) } / Double(n) }
        // Variances of x, x², x³, x⁴ are 1, 2, 15, 96.
        #expect(abs(moment(1)) < 5 * (1 / Double(n)).squareRoot())
        #expect(abs(moment(2) - 1) < 5 * (2 / Double(n)).squareRoot())
        #expect(abs(moment(3)) < 5 * (15 / Double(n)).squareRoot())
        #expect(abs(moment(4) - 3) < 5 * (96 / Double(n)).squareRoot())
        let beyond = Double(values.filter { abs($0) > 1.959964 }.count) / Double(n)
        #expect(abs(beyond - 0.05) < 5 * (0.05 * 0.95 / Double(n)).squareRoot())
    }

    /// Correlations of independent streams of n are 0 ± 1/√n.
    @Test("Streams of different keys are uncorrelated")
    func streamsAreIndependent() {
        let n = 100_000
        func correlation(_ a: [Float], _ b: [Float]) -> Double {
            zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } / Double(n)
        }
        let draws = [key, key.child(0), key.child(1), key.child(0).child(0), RandomKey(seed: 43)]
            .map { Tensor.normal([n], key: $0).values }
        for i in draws.indices {
            for j in 0..<i { #expect(abs(correlation(draws[i], draws[j])) < 5 / Double(n).squareRoot()) }
            for lag in [1, 2, 16, 64] {
                let later = Array(draws[i].dropFirst(lag) + draws[i].prefix(lag))
                #expect(abs(correlation(draws[i], later)) < 5 / Double(n).squareRoot())
            }
        }
    }

    /// Not on the shape, so not on where threads cut.
    @Test("An element depends on the key and its number alone")
    func elementsDependOnTheirNumberAlone() {
        for draw in [{ Tensor.uniform($0, key: $1) }, { Tensor.normal($0, key: $1) }] as [([Int], RandomKey) -> Tensor]
        {
            let long = draw([200_001], key).values
            #expect(draw([7, 11], key).values == Array(long.prefix(77)))
            #expect(draw([70_001], key).values == Array(long.prefix(70_001)))
            #expect(draw([], key).item == long[0] && draw([0], key).values.isEmpty)
            #expect(draw([200_001], key).values == long && draw([10], key.child(0)).values != Array(long.prefix(10)))
        }
    }

    // MARK: Dropout

    @Test("Dropout keeps its share and scales it")
    func dropsAndScales() {
        let x = Tensor.ones([100, 1000])
        for p: Float in [0.1, 0.5, 0.9] {
            let values = dropout(x, probability: p, key: key).values
            let kept = values.filter { $0 != 0 }
            #expect(kept.allSatisfy { abs($0 - 1 / (1 - p)) < 1e-6 / (1 - p) })
            // Five standard errors of 100,000 draws.
            let bound = 5 * (Double(p) * Double(1 - p) * 1e5).squareRoot()
            #expect(abs(Double(kept.count) - 1e5 * Double(1 - p)) < bound)
        }
        expectEqual(dropout(Tensor([1, .infinity]), probability: 1, key: key), [0, 0])
    }

    @Test("Dropout without a key or probability is the identity")
    func inferenceIsTheIdentity() {
        let x = sample([3, 4])
        #expect(dropout(x, probability: 0.5, key: nil).pointer == x.pointer)
        #expect(dropout(x, probability: 0, key: key).pointer == x.pointer)
    }

    @Test("The gradients of dropout are its mask")
    func dropoutGradients() {
        checkGradients([sample([5, 7])]) { dropout($0[0], probability: 0.4, key: RandomKey(seed: 9)) * 2 }
        let x = Tensor.ones([140_001]).requiringGradient()
        let y = dropout(x, probability: 0.25, key: key)
        #expect(gradients(of: y.sum())[x]!.values == y.values)
        #expect(dropout(x, probability: 0.25, key: key.child(0)).values != y.values)
    }
}
