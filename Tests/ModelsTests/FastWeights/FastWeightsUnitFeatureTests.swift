import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// Features of unit length after an activation (2406.06484, section 3.3), alone; `FastWeightsDecayTests` has them in the memory.
@Suite struct FastWeightsUnitFeatureTests {
    static let maps: [Features] =
        [
            Features(nil, normalizesL2: true), Features(.elu, normalizesL2: true),
            Features(.dpfp, nu: 2, normalizesL2: true), Features(.dpfp, epsilon: 0.1, activation: .silu),
            Features(nil, epsilon: 0.1, activation: .sigmoid), Features(.elu, epsilon: 0.1, activation: .tanh),
            Features(.elu, epsilon: 0.1, normalizesL2: true), Features(.elu, activation: .silu, normalizesL2: true),
        ]
        + [Activation.identity, .silu, .relu, .gelu, .sigmoid].map { Features(nil, activation: $0, normalizesL2: true) }

    @Test("Plain and fused features agree in values and gradients", arguments: maps.indices, [3, 7, 64])
    func formsAgree(_ map: Int, _ d: Int) throws {
        let features = Self.maps[map]
        var values = Tensor.normal([2, 5, d + 2], key: RandomKey(seed: 1)).values
        for place in 0..<d + 2 { values[3 * (d + 2) + place] *= 1e-4 }  // where ε counts
        func run(_ implementation: Implementation) throws -> [Tensor] {
            let x = Tensor(values, shape: [2, 5, d + 2]).requiringGradient()
            let y = features(x.sliced(2, from: 1, to: d + 1), implementation: implementation)
            let seed = Tensor.normal(y.shape, key: RandomKey(seed: 2))
            return [y.detached(), try #require(gradients(of: (y * seed).sum())[x])]
        }
        let (got, expected) = (try run(.fused), try run(.plain))
        #expect(got[0].shape == [2, 5, features.width(d)])
        expectClose(got[0].values, expected[0].values, terms: d + 12, "features")
        let x = Tensor(values, shape: [2, 5, d + 2]).sliced(2, from: 1, to: d + 1)
        let lengths = features.lengths(x)
        // By row: a short row's gradient is a thousand times that of others, and where one feature is all of a row, little
        // is left of terms of about 1 over its length.
        for row in 0..<10 {
            let place = row * (d + 2)..<(row + 1) * (d + 2)
            let wanted = Array(expected[1].values[place])
            expectClose(
                Array(got[1].values[place]), wanted, terms: 4 * d + 24,
                magnitude: max(largest(wanted), features.normalizesL2 ? 1 / lengths[row] : 0), "gradient of row \(row)")
        }
    }

    @Test("Rows are divided by the root of their squares' sum and ε", arguments: Implementation.allCases)
    func dividesByTheLength(_ implementation: Implementation) {
        let rows: [[Double]] = [[3, -4, 0], [1e-3, 0, 0], [0, 0, 0]]
        let x = Tensor(rows.flatMap { $0.map(Float.init) }, shape: [3, 3])
        let y = Features(nil, normalizesL2: true)(x, implementation: implementation)
        let expected = rows.flatMap { row in
            row.map { $0 / (row.reduce(0) { $0 + $1 * $1 } + 1e-6).squareRoot() }
        }
        expectClose(y.values, expected, within: Rounding.bound(8, of: 1))
    }

    @Test("An activation comes before the map")
    func theActivationIsFirst() {
        let x = Tensor([-1, 2, 0.5], shape: [1, 3])
        let silus = x.doubles.map { $0 / (1 + Foundation.exp(-$0)) }
        let length = (silus.reduce(0) { $0 + $1 * $1 } + 1e-6).squareRoot()
        for implementation in Implementation.allCases {
            let unit = Features(nil, activation: .silu, normalizesL2: true)(x, implementation: implementation)
            expectClose(unit.values, silus.map { $0 / length }, within: Rounding.bound(12, of: 1))
            let sums = Features(nil, epsilon: 1, activation: .relu)(x, implementation: implementation)
            expectClose(sums.values, [0, 2 / 3.5, 0.5 / 3.5], within: Rounding.bound(8, of: 1))
        }
    }

    @Test("No rows give no features")
    func nothingIsNothing() {
        #expect(Features(nil, activation: .silu, normalizesL2: true)(.zeros([2, 0, 3])).shape == [2, 0, 3])
    }
}

extension Features {
    /// The lengths of rows before they are divided by them.
    fileprivate func lengths(_ x: Tensor) -> [Double] {
        let u = Features(map, nu: nu, epsilon: epsilon, activation: activation)(x, implementation: .plain)
        return sqrt((u * u).sum(axes: [-1]) + 1e-6).doubles
    }
}
