import FixtureSupport
import Foundation
import NN
import NumericSupport
import Tensors
import Testing

@testable import FastWeightTransformers

/// The recurrence of `deltaRule` with decay for one sequence and head, in float64.
func loopWithDecay(
    q: [[Double]], k: [[Double]], v: [[Double]], beta: [Double], erase: [Double], logDecay: [Double],
    state: [[Double]]
) -> (output: [[Double]], state: [[Double]]) {
    var s = state
    func read(_ x: [Double]) -> [Double] {
        s[0].indices.map { column in x.indices.reduce(0) { $0 + x[$1] * s[$1][column] } }
    }
    var output: [[Double]] = []
    for t in q.indices {
        for i in s.indices { for j in s[i].indices { s[i][j] *= exp(logDecay[t]) } }
        let there = read(k[t])
        for i in s.indices {
            for j in s[i].indices { s[i][j] += k[t][i] * (beta[t] * v[t][j] - erase[t] * there[j]) }
        }
        output.append(read(q[t]))
    }
    return (output, s)
}

@Suite struct DecayTests {
    @Test("the memory with decay is the loop in float64", arguments: [UpdateRule.delta, .sum], [false, true])
    func equalsTheLoop(_ rule: UpdateRule, hasErase: Bool) {
        if rule == .sum && hasErase { return }
        let (n, d, dv) = (20, 3, 4)
        func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }
        let (q, k, v) = (random([1, n, 1, d], 1), random([1, n, 1, d], 2) * 0.5, random([1, n, 1, dv], 3))
        let (beta, gamma) = (sigmoid(random([1, n, 1], 4)), sigmoid(random([1, n, 1], 5)))
        let (decay, state) = (-exp(random([1, n, 1], 6)), random([1, 1, d, dv], 7))
        func rows(_ x: Tensor, _ width: Int) -> [[Double]] {
            let values = x.values.map(Double.init)
            return (0..<values.count / width).map { Array(values[$0 * width..<($0 + 1) * width]) }
        }
        func numbers(_ x: Tensor) -> [Double] { x.values.map(Double.init) }
        let erased = rule == .sum ? [Double](repeating: 0, count: n) : numbers(hasErase ? gamma : beta)
        let expected = loopWithDecay(
            q: rows(q, d), k: rows(k, d), v: rows(v, dv), beta: numbers(beta), erase: erased, logDecay: numbers(decay),
            state: rows(state, dv))
        let bound = Rounding.bound(n * (d + 2), of: expected.output.joined().map(abs).max() ?? 0)
        for implementation in Implementation.allCases {
            let got = deltaRule(
                q, k, v, beta: beta, erase: hasErase ? gamma : nil, logDecay: decay, rule: rule, state: state,
                implementation: implementation)
            expectClose(
                got.output.values, expected.output.flatMap { $0 }, within: bound, "output")
            expectClose(got.state.values, expected.state.flatMap { $0 }, within: bound, "state")
        }
    }
}
