import FixtureSupport
import Foundation
import Linformers
import Tensors
import Testing

/// Sizes and variants of attention with bounded memory.
struct BoundedMemoryCase: CustomTestStringConvertible, Sendable {
    var b = 1
    var n: Int
    var h = 2, d = 3, k = 5
    /// Whether heads have an E and F, and slots to start from, of their own.
    var perHead = false
    /// Whether F is E.
    var isOne = false
    /// Columns of E and F beyond n, which nothing may read.
    var more = 0
    var dropout = 0.0
    var testDescription: String {
        "b \(b) n \(n) h \(h) d \(d) k \(k)\(perHead ? " per head" : "")\(isOne ? " E = F" : "") wider by \(more) "
            + "dropout \(dropout)"
    }

    static let scale: Float = 0.6
    var key: RandomKey { RandomKey(seed: 77) }

    /// q, k, v, initialKeys, initialValues, e and, where it is another, f.
    func inputs() -> [Tensor] {
        func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }
        let heads = perHead ? [h] : []
        let tokens = (0..<3).map { random([b, n, h, d], UInt64($0)) }
        let initial = (3..<5).map { random(heads + [k, d], UInt64($0)) }
        // As the projections are drawn: sums over the tokens stay about 1.
        let weights = (5..<(isOne ? 6 : 7)).map { seed -> Tensor in
            let inside = random(heads + [k, n], UInt64(seed)) * (1 / Float(max(n, 1)).squareRoot())
            return inside.padded(axis: -1, after: more, value: .nan)
        }
        return tokens + initial + weights
    }

    /// The operation on these inputs.
    func attend(_ x: [Tensor]) -> Tensor {
        func columns(_ x: Tensor) -> Tensor { x.sliced(-1, to: n) }
        return boundedMemoryAttention(
            x[0], x[1], x[2], e: columns(x[5]), f: x.count > 6 ? columns(x[6]) : nil, initialKeys: x[3],
            initialValues: x[4], scale: Self.scale, dropout: dropout, key: key)
    }
}

/// The same token by token and in float64, with the gradients of Σ output · seed.
struct BoundedMemoryReference {
    let test: BoundedMemoryCase
    /// As `BoundedMemoryCase.inputs` orders them.
    var inputs: [[Double]]
    private let kept: [Double]

    init(_ test: BoundedMemoryCase, _ inputs: [Tensor]) {
        self.test = test
        self.inputs = inputs.map { $0.values.map(Double.init) }
        // The stream of dropout is indexed by sequence and head, token and slot.
        let ones = Tensor.ones([test.b, test.h, test.n, test.k])
        kept = dropout(ones, probability: Float(test.dropout), key: test.key).values.map(Double.init)
    }

    private var h: Int { test.h }
    private var d: Int { test.d }
    private var k: Int { test.k }

    /// Where a token's row, or an element of the slots or projections of a head, lies.
    private func row(_ sequence: Int, _ t: Int) -> Int { ((sequence / h * test.n + t) * h + sequence % h) * d }
    private func slot(_ sequence: Int, _ i: Int) -> Int { ((test.perHead ? sequence % h * k : 0) + i) * d }
    private func weight(_ sequence: Int, _ i: Int, _ t: Int) -> Int {
        ((test.perHead ? sequence % h * k : 0) + i) * (test.n + test.more) + t
    }

    /// What one token's attention made: the slots [k · d] and the weights [k].
    private struct Step {
        var keys: [Double], values: [Double], p: [Double]
    }

    private func steps(_ s: Int) -> [Step] {
        let (e, f) = (inputs[5], inputs.last!)
        var keys = (0..<k * d).map { inputs[3][slot(s, $0 / d) + $0 % d] }
        var values = (0..<k * d).map { inputs[4][slot(s, $0 / d) + $0 % d] }
        return (0..<test.n).map { t in
            let place = row(s, t)
            for i in 0..<k {
                let (u, w) = (e[weight(s, i, t)], f[weight(s, i, t)])
                for c in 0..<d {
                    keys[i * d + c] += u * inputs[1][place + c]
                    values[i * d + c] += w * inputs[2][place + c]
                }
            }
            let scores = (0..<k).map { i in
                Double(BoundedMemoryCase.scale) * (0..<d).reduce(0.0) { $0 + inputs[0][place + $1] * keys[i * d + $1] }
            }
            let largest = scores.max()!
            let exponentials = scores.map { exp($0 - largest) }
            let sum = exponentials.reduce(0, +)
            return Step(keys: keys, values: values, p: exponentials.map { $0 / sum })
        }
    }

    /// The output and the weights before dropout, [b, h, n, k].
    func attend() -> (output: [Double], weights: [Double]) {
        var output = [Double](repeating: 0, count: inputs[0].count)
        var weights: [Double] = []
        for s in 0..<test.b * h {
            for (t, step) in steps(s).enumerated() {
                weights += step.p
                for i in 0..<k {
                    let p = step.p[i] * kept[(s * test.n + t) * k + i]
                    for c in 0..<d { output[row(s, t) + c] += p * step.values[i * d + c] }
                }
            }
        }
        return (output, weights)
    }

    /// The gradients of all inputs, token by token from the last.
    func gradients(_ seed: [Double]) -> [[Double]] {
        var all = inputs.map { [Double](repeating: 0, count: $0.count) }
        let last = inputs.count - 1
        for s in 0..<test.b * h {
            var (laterKeys, laterValues) = ([Double](repeating: 0, count: k * d), [Double](repeating: 0, count: k * d))
            for (t, step) in steps(s).enumerated().reversed() {
                let place = row(s, t)
                var slopes = [Double](repeating: 0, count: k)
                for i in 0..<k {
                    let factor = kept[(s * test.n + t) * k + i]
                    for c in 0..<d {
                        slopes[i] += factor * seed[place + c] * step.values[i * d + c]
                        laterValues[i * d + c] += factor * step.p[i] * seed[place + c]
                    }
                }
                let mean = zip(slopes, step.p).reduce(0) { $0 + $1.0 * $1.1 }
                for i in 0..<k {
                    let slope = Double(BoundedMemoryCase.scale) * step.p[i] * (slopes[i] - mean)
                    for c in 0..<d {
                        all[0][place + c] += slope * step.keys[i * d + c]
                        laterKeys[i * d + c] += slope * inputs[0][place + c]
                    }
                }
                for i in 0..<k {
                    let column = weight(s, i, t)
                    for c in 0..<d {
                        all[1][place + c] += inputs[5][column] * laterKeys[i * d + c]
                        all[2][place + c] += inputs[last][column] * laterValues[i * d + c]
                        all[5][column] += laterKeys[i * d + c] * inputs[1][place + c]
                        all[last][column] += laterValues[i * d + c] * inputs[2][place + c]
                    }
                }
            }
            for j in 0..<k * d {
                all[3][slot(s, j / d) + j % d] += laterKeys[j]
                all[4][slot(s, j / d) + j % d] += laterValues[j]
            }
        }
        return all
    }
}

extension BoundedMemoryCase {
    /// A memory's sums run over all tokens, a score's over d columns, an output's over k slots.
    var lengths: SumLengths { SumLengths(path: n + d + k, rows: b * n, widest: max(n, d, k)) }

    /// Expects values to be the reference's, which is float64, but for rounding.
    func expectValues(
        _ got: Tensor, _ expected: [Double], _ what: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let largest = expected.reduce(0) { max($0, abs($1)) }
        expectClose(
            got.values, expected, within: Rounding.bound(lengths.path, of: largest), what,
            sourceLocation: sourceLocation)
    }

    /// Expects the gradients of all inputs to be the reference's but for rounding.
    func expectGradients(
        _ got: [Tensor], _ expected: [[Double]], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let overall = expected.joined().reduce(0) { max($0, abs($1)) }
        for (index, gradient) in got.enumerated() {
            let largest = expected[index].reduce(0) { max($0, abs($1)) }
            expectClose(
                gradient.values, expected[index],
                within: lengths.gradientTolerance(count: gradient.count, largest: largest, overall: overall),
                ["q", "k", "v", "initialKeys", "initialValues", "e", "f"][index], sourceLocation: sourceLocation)
        }
    }
}
