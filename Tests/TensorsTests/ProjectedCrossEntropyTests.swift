import Foundation
import Tensors
import Testing

/// Norm, projection and cross-entropy in one against the same from single operations.
@Suite("Cross-entropy of a projection") struct ProjectedCrossEntropyTests {
    enum Kind: CaseIterable {
        case none, layer, scale, rootMeanSquare

        func parameters(_ d: Int) -> [Tensor] {
            switch self {
            case .none: []
            case .layer: [sample([d], seed: 6), sample([d], seed: 7)]
            case .scale: [Tensor([0.75])]
            case .rootMeanSquare: [sample([d], seed: 6)]
            }
        }

        func norm(_ p: [Tensor]) -> Norm? {
            switch self {
            case .none: nil
            case .layer: .layer(weight: p[0], bias: p[1], epsilon: 0.01)
            case .scale: .scale(gain: p[0])
            case .rootMeanSquare: .rootMeanSquare(weight: p[0], epsilon: 0.01)
            }
        }

        func apply(_ x: Tensor, _ p: [Tensor]) -> Tensor {
            switch self {
            case .none: x
            case .layer: layerNorm(x, weight: p[0], bias: p[1], epsilon: 0.01)
            case .scale: scaleNorm(x, gain: p[0])
            case .rootMeanSquare: rmsNorm(x, weight: p[0], epsilon: 0.01)
            }
        }
    }

    /// x [rows…, d], the norm's parameters, weight [classes, d], bias [classes] if any.
    struct Case {
        let kind: Kind
        let leaves: [Tensor]
        let targets: TokenTensor
        let count: Int

        init(_ kind: Kind, _ rows: [Int], _ d: Int, _ classes: Int, bias: Bool, ignoring: Int = 0) {
            self.kind = kind
            let parameters = kind.parameters(d)
            count = parameters.count
            leaves =
                ([sample(rows + [d])] + parameters + [sample([classes, d], seed: 8)]
                + (bias ? [sample([classes], seed: 9)] : [])).map { $0.requiringGradient() }
            let drawn = RandomKey(seed: 3).integers(rows.reduce(1, *))
            targets = TokenTensor(
                drawn.enumerated().map { ignoring > 0 && $0 % 3 < ignoring ? -1 : Int32($1 % UInt64(classes)) },
                shape: rows)
        }

        func fused(_ p: [Tensor]) -> Tensor {
            crossEntropy(
                p[0], norm: kind.norm(Array(p[1..<1 + count])), projection: projection(p), targets: targets,
                ignoreIndex: -1)
        }

        func projection(_ p: [Tensor]) -> Projection {
            Projection(weight: p[1 + count], bias: p.count > 2 + count ? p[2 + count] : nil)
        }

        func logits(_ p: [Tensor]) -> Tensor {
            let projection = projection(p)
            let x = kind.apply(p[0], Array(p[1..<1 + count]))
            return linear(x, weight: projection.weight, bias: projection.bias)
        }

        func composed(_ p: [Tensor]) -> Tensor { crossEntropy(logits(p), targets, ignoreIndex: -1) }

        /// Both sum the same products of float32 in other orders.
        func expectEqual(_ loss: (_ form: ([Tensor]) -> Tensor) -> Tensor) {
            let (one, other) = (loss(fused), loss(composed))
            expectClose(one, [Double(other.item)], shape: [], tolerance: 2e-6)
            compare(gradients(of: one), gradients(of: other))
        }

        func compare(_ one: Gradients, _ other: Gradients) {
            for (index, leaf) in leaves.enumerated() {
                guard let got = one[leaf], let expected = other[leaf] else {
                    Issue.record("input \(index) got no gradient")
                    continue
                }
                let largest = expected.values.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
                let off = zip(got.values, expected.values).reduce(Float(0)) {
                    $1.0.isNaN ? .infinity : max($0, abs($1.0 - $1.1))
                }
                #expect(
                    got.shape == leaf.shape && off <= 2e-5 * largest, "\(kind): input \(index), \(off) of \(largest)")
            }
        }
    }

    @Test("The fused loss equals its parts", arguments: Kind.allCases, [false, true])
    func equalsItsParts(_ kind: Kind, bias: Bool) {
        // Two classes, one row, rows that threads do not share evenly, odd widths. (A norm of one column has no gradient.)
        for (rows, d, classes) in [
            ([1], 5, 2), ([3], kind == .none ? 1 : 3, 257), ([2, 3], 6, 2), ([31], 7, 3001), ([3, 70], 9, 257),
            ([1100], 5, 33),
        ] {
            let one = Case(kind, rows, d, classes, bias: bias)
            one.expectEqual { $0(one.leaves) }
        }
    }

    @Test("The loss of a single class is 0") func oneClass() {
        let one = Case(.layer, [40], 5, 1, bias: true)
        let loss = one.fused(one.leaves)
        #expect(loss.item == 0)
        let all = gradients(of: loss)
        for leaf in one.leaves { #expect(all[leaf]!.values.allSatisfy { $0 == 0 }) }
    }

    @Test("Several panels of rows agree with the parts", arguments: [Kind.none, .layer]) func severalPanels(
        _ kind: Kind
    ) {
        // A panel has 262 rows at most.
        let one = Case(kind, [2, 225], 3, 40_000, bias: true)
        one.expectEqual { $0(one.leaves) }
    }

    @Test("Gradients agree with central differences", arguments: Kind.allCases) func differences(_ kind: Kind) {
        // Scaled, so that gradients are of the size that the tolerance is for.
        let one = Case(kind, [2, 3], 5, 4, bias: true, ignoring: 1)
        let inputs = one.leaves.map { $0.detached() }
        checkGradients(inputs, layouts: kind == .none ? Layout.allCases : [.dense]) { one.fused($0) * 16 }
        checkGradients(Array(inputs.dropLast()), layouts: [.dense]) { one.fused($0) * 16 }
    }

    @Test("Ignored targets do not count", arguments: Kind.allCases) func ignoredTargets(_ kind: Kind) {
        for rows in [[4], [2, 100]] {
            for ignoring in [1, 2] {
                let one = Case(kind, rows, 7, 257, bias: true, ignoring: ignoring)
                one.expectEqual { $0(one.leaves) }
            }
        }
    }

    @Test("If no target counts, the loss is NaN and gradients are 0") func allIgnored() {
        let one = Case(.layer, [2, 5], 7, 11, bias: true, ignoring: 3)
        let loss = one.fused(one.leaves)
        #expect(loss.item.isNaN)
        let all = gradients(of: loss)
        for leaf in one.leaves {
            #expect(all[leaf]!.shape == leaf.shape && all[leaf]!.values.allSatisfy { $0 == 0 })
        }
    }

    @Test("A row that does not count may hold anything") func ignoredRowsAreNotRead() {
        let values = Tensor([1, 2, .nan, .infinity, 3, -1], shape: [3, 2]).requiringGradient()
        let weight = sample([4, 2]).requiringGradient()
        let loss = crossEntropy(
            values, projection: Projection(weight: weight), targets: TokenTensor([1, -100, 2]), ignoreIndex: -100)
        let all = gradients(of: loss)
        #expect(loss.item.isFinite)
        #expect((all[values]!.values + all[weight]!.values).allSatisfy { $0.isFinite })
        #expect(all[values]!.values[2...3] == [0, 0])
    }

    // MARK: How the loss is used

    @Test("A loss may be scaled, used twice, and summed with others") func inAGraph() {
        let one = Case(.layer, [130], 7, 257, bias: true)
        one.expectEqual { form in
            let loss = form(one.leaves)
            return loss * 3 + loss * loss + (one.leaves[0] * one.leaves[0]).sum() * 1e-2
                + one.leaves[3].sum() * 1e-2 + form(one.leaves)
        }
    }

    @Test("Gradients are added to earlier ones") func accumulation() {
        let one = Case(.scale, [130], 7, 257, bias: true)
        func twice(_ form: ([Tensor]) -> Tensor) -> Gradients {
            gradients(of: form(one.leaves) * 2, addedTo: gradients(of: form(one.leaves)))
        }
        one.compare(twice(one.fused), twice(one.composed))
    }

    @Test("The backward pass recomputes the same bits") func recomputed() {
        let one = Case(.rootMeanSquare, [130], 7, 257, bias: true)
        let (kind, targets, count) = (one.kind, one.targets, one.count)
        let direct = gradients(of: one.fused(one.leaves))
        let loss = checkpointed(one.leaves) { p in
            crossEntropy(
                p[0], norm: kind.norm(Array(p[1..<1 + count])),
                projection: Projection(weight: p[1 + count], bias: p[2 + count]), targets: targets, ignoreIndex: -1)
        }
        #expect(loss.item == one.fused(one.leaves).item)
        let again = gradients(of: loss)
        for leaf in one.leaves { #expect(again[leaf]!.values == direct[leaf]!.values) }
    }

    @Test("Without gradients only the loss is computed") func withoutRecording() {
        let one = Case(.layer, [130], 7, 257, bias: true)
        let loss = withoutGradients { one.fused(one.leaves) }
        #expect(!loss.requiresGradient && loss.item == one.fused(one.leaves).item)
    }

    /// The number of threads is everybody's, so this has a process of its own.
    @Test("Any number of threads agrees with the parts, with the same bits each run") func threads() async {
        await #expect(processExitsWith: .success) {
            for rows in [[1], [9], [33], [2, 150]] {
                let one = Case(.layer, rows, 7, 3001, bias: true)
                Threads.count = 1
                let reference = gradients(of: one.composed(one.leaves))
                for count in 1...5 {
                    Threads.count = count
                    let first = gradients(of: one.fused(one.leaves))
                    let second = gradients(of: one.fused(one.leaves))
                    for leaf in one.leaves {
                        require(first[leaf]!.values == second[leaf]!.values, "\(count) threads: other bits")
                        let largest = reference[leaf]!.values.reduce(Float(0)) { max($0, abs($1)) }
                        for (a, b) in zip(first[leaf]!.values, reference[leaf]!.values) {
                            require(abs(a - b) <= 2e-5 * largest, "\(count) threads, rows \(rows): \(a), \(b)")
                        }
                    }
                }
            }
        }
    }
}
