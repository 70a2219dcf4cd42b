import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

/// Sizes and variants of attention with bounded memory.
struct BoundedMemoryCase: CustomTestStringConvertible, Sendable {
    var b = 1
    var n: Int
    var h = 2, d = 3, k = 5
    /// True if each head has an E and F, and slots to start from, of its own.
    var perHead = false
    /// True if F is E.
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
    func attend(_ x: [Tensor], implementation: Implementation = .fused) -> Tensor {
        func columns(_ x: Tensor) -> Tensor { x.sliced(-1, to: n) }
        return boundedMemoryAttention(
            x[0], x[1], x[2], e: columns(x[5]), f: x.count > 6 ? columns(x[6]) : nil, initialKeys: x[3],
            initialValues: x[4], scale: Self.scale, dropout: dropout, key: key, implementation: implementation)
    }

    /// A memory's sums run over all tokens, a score's over d columns, an output's over k slots.
    var lengths: SumLengths { SumLengths(path: n + d + k, rows: b * n, widest: max(n, d, k)) }

    /// Expects values to be those of the plain form but for rounding.
    func expectValues(
        _ got: Tensor, _ expected: Tensor, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(got.shape == expected.shape, "\(what)", sourceLocation: sourceLocation)
        expectClose(
            got.values, expected.values.map(Double.init),
            within: Rounding.bound(lengths.path, of: largest(expected.values)), what, sourceLocation: sourceLocation)
    }

    /// Expects the gradients of all inputs to be those of the plain form but for rounding.
    func expectLinformerGradients(
        _ got: [Tensor], _ expected: [Tensor], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let overall = expected.map { largest($0.values) }.max() ?? 0
        for (index, gradient) in got.enumerated() {
            #expect(gradient.shape == expected[index].shape, sourceLocation: sourceLocation)
            // Beyond the columns that are read the gradient is 0 on both sides.
            expectClose(
                gradient.values, expected[index].values.map(Double.init),
                within: lengths.gradientTolerance(
                    count: gradient.count, largest: largest(expected[index].values), overall: overall),
                ["q", "k", "v", "initialKeys", "initialValues", "e", "f"][index], sourceLocation: sourceLocation)
        }
    }
}
