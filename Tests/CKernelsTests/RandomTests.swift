import CKernels
import Foundation
import Testing

/// Philox 4x32-10, written from the paper independently of the kernel.
private func philox(_ counter: [UInt32], _ key: UInt64) -> [UInt32] {
    var c = counter
    var k = [UInt32(truncatingIfNeeded: key), UInt32(key >> 32)]
    for _ in 0..<10 {
        let a = UInt32(0xd251_1f53).multipliedFullWidth(by: c[0])
        let b = UInt32(0xcd9e_8d57).multipliedFullWidth(by: c[2])
        c = [b.high ^ c[1] ^ k[0], b.low, a.high ^ c[3] ^ k[1], a.low]
        k = [k[0] &+ 0x9e37_79b9, k[1] &+ 0xbb67_ae85]
    }
    return c
}

/// The documented mapping: the word of element `index`, and the words of its counter.
private func words(_ index: UInt64, _ key: UInt64) -> (word: Int, all: [UInt32]) {
    let counter = index / 64 * 16 + index % 16
    return (Int(index / 16 % 4), philox([UInt32(truncatingIfNeeded: counter), UInt32(counter >> 32), 0, 0], key))
}

private func moments(_ x: [Float]) -> (mean: Double, variance: Double, skewness: Double, kurtosis: Double) {
    let n = Double(x.count)
    let mean = x.doubles.reduce(0, +) / n
    func central(_ k: Double) -> Double { x.doubles.reduce(0) { $0 + pow($1 - mean, k) } / n }
    let variance = central(2)
    return (mean, variance, central(3) / pow(variance, 1.5), central(4) / (variance * variance))
}

@Suite struct RandomTests {
    static let key: UInt64 = 0x0123_4567_89ab_cdef

    /// kat_vectors.
    @Test(
        "Philox gives the vectors that Random123 is published with",
        arguments: [
            ([0, 0, 0, 0], 0, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([.max, .max, .max, .max], .max, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], 0x299f_31d0_a409_3822,
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
            ),
        ] as [([UInt32], UInt64, [UInt32])])
    func knownAnswers(_ counter: [UInt32], _ key: UInt64, _ expected: [UInt32]) {
        var result = [UInt32](repeating: 0, count: 4)
        az_philox4x32(counter, key, &result)
        #expect(result == expected)
        #expect(philox(counter, key) == expected)
    }

    @Test(
        "A uniform number is its word of the stream",
        arguments: [0, 5, 1 << 32 - 3, 1 << 37 + 11, 1 << 63] as [UInt64])
    func uniformIsTheWord(_ first: UInt64) {
        let y = output(200) { az_random_uniform(200, Self.key, first, $0) }
        let expected = (0..<200).map { i in
            let (word, all) = words(first + UInt64(i), Self.key)
            return Float(all[word] >> 8) * 0x1p-24
        }
        expectSame(y, expected)
    }

    @Test("A normal number is the Box-Muller transform of its words", arguments: [0, 5, 1 << 40 + 17] as [UInt64])
    func normalIsBoxMuller(_ first: UInt64) {
        let y = output(200) { az_random_normal(200, Self.key, first, $0) }
        let expected = (0..<200).map { i in
            let (word, all) = words(first + UInt64(i), Self.key)
            let (radius, turn) = (all[word & 2], all[word | 1])
            let angle = 2 * Double.pi * Double(turn) * 0x1p-32
            let length = (-2 * log((Double(radius) + 1) * 0x1p-32)).squareRoot()
            return length * (word % 2 == 0 ? cos(angle) : sin(angle))
        }
        // The radius word rounded to float32 is relatively wrong by 6e-8, which the root of a logarithm near 0 (radius
        // near 0) amplifies to 2.5e-4 at most, so absolutely; elsewhere sine and radius are good to 1e-6.
        expectClose(y, expected, relative: 1e-6, absolute: 3e-4)
        let near = zip(y, expected).filter { abs(Double($0) - $1) > 3e-6 }
        #expect(near.count <= 2, "errors are rare as well as small")
    }

    @Test("Any part of a stream is the same, wherever it begins")
    func partsOfAStream() {
        let count = 500
        for kernel in [az_random_uniform, az_random_normal] {
            let whole = output(count) { kernel(count, Self.key, 1000, $0) }
            for start in [0, 1, 15, 16, 63, 64, 65, 200] {
                for length in [1, 3, 17, 64, 130] {
                    let part = output(length) { kernel(length, Self.key, 1000 + UInt64(start), $0) }
                    expectSame(part, Array(whole[start..<start + length]), "from \(start), \(length)")
                }
            }
            let other = output(count) { kernel(count, Self.key + 1, 1000, $0) }
            #expect(zip(whole, other).filter { $0 == $1 }.count <= 1, "another key, another stream")
        }
    }

    /// Fixed streams of 200,000: bounds are five standard errors.
    @Test("Uniform and normal numbers have their moments")
    func moments() {
        let n = 200_000
        let uniform = output(n) { az_random_uniform(n, Self.key, 0, $0) }
        #expect(uniform.allSatisfy { $0 >= 0 && $0 < 1 })
        let u = CKernelsTests.moments(uniform)
        let root = Double(n).squareRoot()
        #expect(abs(u.mean - 0.5) < 5 * (1.0 / 12).squareRoot() / root)
        #expect(abs(u.variance - 1.0 / 12) < 5 * (1.0 / 180).squareRoot() / root)
        let normal = output(n) { az_random_normal(n, Self.key, 0, $0) }
        let z = CKernelsTests.moments(normal)
        #expect(abs(z.mean) < 5 / root)
        #expect(abs(z.variance - 1) < 5 * 2.0.squareRoot() / root)
        #expect(abs(z.skewness) < 5 * 6.0.squareRoot() / root)
        #expect(abs(z.kurtosis - 3) < 5 * 24.0.squareRoot() / root)
    }

    @Test("Normal numbers follow the normal distribution")
    func normalDistribution() {
        let n = 200_000
        let normal = output(n) { az_random_normal(n, Self.key, 0, $0) }.sorted()
        // Kolmogorov-Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand streams; this one is fixed.
        let distance = normal.indices.reduce(0) { worst, i in
            max(worst, abs(erfc(-Double(normal[i]) / 2.0.squareRoot()) / 2 - Double(i) / Double(n)))
        }
        #expect(distance < 1.95 / Double(n).squareRoot())
        #expect(normal.last! < 6.7 && normal.first! > -6.7)
    }

    /// So are the two of a Box-Muller pair.
    @Test("Neighbors in a stream are uncorrelated", arguments: [1, 16, 32, 64])
    func correlation(_ distance: Int) {
        let n = 100_000
        for kernel in [az_random_uniform, az_random_normal] {
            let x = output(n) { kernel(n, Self.key, 7, $0) }
            let m = CKernelsTests.moments(x)
            let products = (0..<n - distance).map { (Double(x[$0]) - m.mean) * (Double(x[$0 + distance]) - m.mean) }
            let coefficient = products.reduce(0, +) / Double(n) / m.variance
            #expect(abs(coefficient) < 5 / Double(n).squareRoot())
        }
    }

    // MARK: Dropout

    @Test(
        "Dropout keeps its share, scales it, and has the same mask in backward",
        arguments: [0, 0.1, 0.5, 0.9] as [Float])
    func dropout(_ p: Float) {
        let n = 50_001
        let x = values(n, offset: 5)
        let y = output(n) { az_dropout(n, p, Self.key, 33, x, $0) }
        let uniform = output(n) { az_random_uniform(n, Self.key, 33, $0) }
        expectClose(y, (0..<n).map { uniform[$0] >= p ? Double(x[$0]) / Double(1 - p) : 0 }, relative: 1.2e-7)
        let kept = Double(y.filter { $0 != 0 }.count) / Double(n)
        let error = (Double(p) * Double(1 - p) / Double(n)).squareRoot()
        #expect(abs(kept - Double(1 - p)) <= 5 * error, "five standard errors")
        let dy = values(n, seed: 3, offset: 5)
        let dx = output(n, initially: dy) { az_dropout(n, p, Self.key, 33, $0, $0) }
        #expect(zip(y, dx).allSatisfy { ($0 == 0) == ($1 == 0) }, "the gradient has the same mask, in place as well")
    }

    @Test("Dropout of everything gives zeros, even for NaN")
    func dropoutOfEverything() {
        let y = output(3) { az_dropout(3, 1, Self.key, 0, [1, .nan, .infinity], $0) }
        expectSame(y, [0, 0, 0])
    }
}
