import CKernels
import Foundation
import Testing

/// Reading a memory that the delta rule wrote, against the memory itself.
@Suite struct DeltaReadTests {
    static let sizes = [(1, 1), (2, 3), (7, 17), (20, 64), (33, 5), (90, 48)]

    private struct Case {
        let n: Int, d: Int
        var k: [Double], beta: [Double], q: [Double]

        /// Keys about 1 long, so that a write takes most of what a query reads.
        init(_ n: Int, _ d: Int) {
            (self.n, self.d) = (n, d)
            k = values(n * d, seed: 1, scale: 1.7 / Float(d).squareRoot()).doubles
            beta = values(n, seed: 2, scale: 0.5, offset: 0.5).doubles
            q = values(d, seed: 3, scale: 1).doubles
        }

        var floats: (k: [Float], beta: [Float], q: [Float]) {
            (k.map(Float.init), beta.map(Float.init), q.map(Float.init))
        }

        /// The weight of each value in q S: the state is written with the n unit vectors for values.
        func weights(k: [Double], beta: [Double], q: [Double]) -> [Double] {
            var state = [Double](repeating: 0, count: d * n)
            for t in 0..<n {
                let row = k[t * d..<(t + 1) * d]
                var update = [Double](repeating: 0, count: n)
                for (i, key) in row.enumerated() { for j in 0..<n { update[j] -= key * state[i * n + j] } }
                update[t] += 1
                for (i, key) in row.enumerated() { for j in 0..<n { state[i * n + j] += key * beta[t] * update[j] } }
            }
            return (0..<n).map { j in (0..<d).reduce(0) { $0 + q[$1] * state[$1 * n + j] } }
        }

        /// The same from the last write back, in a small part of the time: each write takes its part of what is left of q.
        func quickWeights(k: [Double], beta: [Double], q: [Double]) -> [Double] {
            var (a, left) = ([Double](repeating: 0, count: n), q)
            for t in (0..<n).reversed() {
                for i in 0..<d { a[t] += left[i] * k[t * d + i] }
                a[t] *= beta[t]
                for i in 0..<d { left[i] -= a[t] * k[t * d + i] }
            }
            return a
        }
    }

    /// 90 steps of a vector about 1 long, each rounding to 2⁻²⁴ some 10 times.
    @Test("Reading agrees with the memory itself", arguments: sizes)
    func forward(_ n: Int, _ d: Int) {
        let test = Case(n, d)
        let (k, beta, q) = test.floats
        var left: [Float] = []
        let a = output(n) { a in left = output(d, initially: q) { az_delta_read_forward(n, d, k, beta, $0, a) } }
        expectClose(a, test.weights(k: test.k, beta: test.beta, q: test.q), absolute: 5e-6, "a")
        let rest = (0..<d).map { i in test.q[i] - (0..<n).reduce(0) { $0 + Double(a[$1]) * test.k[$1 * d + i] } }
        expectClose(left, rest, absolute: 5e-6, "left")
    }

    @Test("Gradients of reading agree with central differences", arguments: sizes)
    func backward(_ n: Int, _ d: Int) {
        if n > 40 { return }  // the differences would take long
        let test = Case(n, d)
        let (k, beta, q) = test.floats
        let da = values(n, seed: 4)
        var p: [Float] = []
        let a = output(n) { a in p = output(d, initially: q) { az_delta_read_forward(n, d, k, beta, $0, a) } }
        var (dp, dk, dbeta): ([Float], [Float], [Float]) = ([], [], [])
        let back = output(d, initially: p) { p in
            dp = output(d, initially: [Float](repeating: 0, count: d)) { dp in
                dk = output(n * d, initially: [Float](repeating: 0.5, count: n * d)) { dk in
                    dbeta = output(n, initially: [Float](repeating: 0.5, count: n)) {
                        az_delta_read_backward(n, d, k, beta, a, da, p, dp, dk, $0)
                    }
                }
            }
        }
        expectClose(back, test.q, absolute: 5e-6, "q")
        let weights = da.doubles
        func gradient(_ x: [Double], _ f: @escaping ([Double]) -> [Double]) -> [Double] {
            numericalGradient(of: f, at: x, dy: weights)
        }
        let quick = test.quickWeights(k: test.k, beta: test.beta, q: test.q)
        let slow = test.weights(k: test.k, beta: test.beta, q: test.q)
        #expect(zip(quick, slow).allSatisfy { abs($0 - $1) < 1e-12 })
        let dq = gradient(test.q) { test.quickWeights(k: test.k, beta: test.beta, q: $0) }
        let dkeys = gradient(test.k) { test.quickWeights(k: $0, beta: test.beta, q: test.q) }
        let dbetas = gradient(test.beta) { test.quickWeights(k: test.k, beta: $0, q: test.q) }
        // Sums over some 30 steps of products of numbers up to 4.
        expectClose(dp, dq, relative: 1e-5, absolute: 3e-5, "dq")
        expectClose(dk, dkeys.map { $0 + 0.5 }, relative: 1e-5, absolute: 3e-5, "dk")
        expectClose(dbeta, dbetas.map { $0 + 0.5 }, relative: 1e-5, absolute: 3e-5, "dbeta")
    }
}
