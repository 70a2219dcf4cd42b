import AttentionZooTestSupport
import Tensors
import Testing

/// One form of the operation, and the same from operations of its own.
struct FeedForwardCase: Sendable, CustomTestStringConvertible {
    enum Kind: CaseIterable {
        case none, layer, scale, rootMeanSquare
    }
    var kind = Kind.layer
    var activation = Activation.gelu
    var isGated = true
    var hasBiases = true
    var hasResidual = true
    var residualIsInput = false
    var dropout = 0.0
    var key: RandomKey?

    var testDescription: String {
        "\(kind), \(activation), gated \(isGated), biases \(hasBiases), residual \(hasResidual), dropout \(dropout)"
    }

    /// x, the norm's parameters, up, down, biases, residual. Rows of length d, outputs of length out.
    func inputs(_ shape: [Int], inner: Int, out: Int) -> [Tensor] {
        let d = shape.last!
        let width = isGated ? 2 * inner : inner
        let norm: [Tensor] =
            switch kind {
            case .none: []
            case .layer: [sample([d], seed: 6), sample([d], seed: 7)]
            case .scale: [Tensor([0.75])]
            case .rootMeanSquare: [sample([d], seed: 6)]
            }
        return [sample(shape)] + norm + [sample([width, d], seed: 2), sample([out, inner], seed: 3)]
            + (hasBiases ? [sample([width], seed: 4), sample([out], seed: 5)] : [])
            + (hasResidual ? [sample(shape.dropLast() + [out], seed: 8)] : [])
    }

    private func parts(_ p: [Tensor]) -> (up: Projection, down: Projection, residual: Tensor?, norm: [Tensor]) {
        let count =
            switch kind {
            case .none: 0
            case .layer: 2
            case .scale, .rootMeanSquare: 1
            }
        let rest = Array(p.dropFirst(1 + count))
        return (
            Projection(weight: rest[0], bias: hasBiases ? rest[2] : nil),
            Projection(weight: rest[1], bias: hasBiases ? rest[3] : nil), hasResidual ? rest.last : nil,
            Array(p[1..<1 + count])
        )
    }

    func fused(_ p: [Tensor]) -> Tensor {
        let (up, down, residual, n) = parts(p)
        let norm: Norm? =
            switch kind {
            case .none: nil
            case .layer: .layer(weight: n[0], bias: n[1], epsilon: 0.01)
            case .scale: .scale(gain: n[0])
            case .rootMeanSquare: .rootMeanSquare(weight: n[0], epsilon: 0.01)
            }
        return feedForward(
            p[0], norm: norm, up: up, activation: activation, isGated: isGated, dropout: dropout, key: key, down: down,
            residual: residualIsInput ? .input : residual.map(FeedForwardResidual.tensor) ?? FeedForwardResidual.none)
    }

    func composed(_ p: [Tensor]) -> Tensor {
        let (up, down, residual, n) = parts(p)
        let x =
            switch kind {
            case .none: p[0]
            case .layer: layerNorm(p[0], weight: n[0], bias: n[1], epsilon: 0.01)
            case .scale: scaleNorm(p[0], gain: n[0])
            case .rootMeanSquare: rmsNorm(p[0], weight: n[0], epsilon: 0.01)
            }
        func project(_ x: Tensor, _ p: Projection) -> Tensor {
            let product = matrixProduct(x, p.weight, transposeB: true)
            return p.bias.map { product + $0 } ?? product
        }
        let z = project(x, up)
        let halves = isGated ? z.split(count: 2) : []
        let hidden = isGated ? halves[0] * activation(halves[1]) : activation(z)
        let y = project(Tensors.dropout(hidden, probability: Float(dropout), key: key), down)
        return residualIsInput ? x + y : residual.map { $0 + y } ?? y
    }

    /// The largest difference of fused and composed values and gradients, in units of what rounding allows.
    func error(_ shape: [Int], inner: Int, out: Int) -> Double {
        let inputs = inputs(shape, inner: inner, out: out)
        let (a, b) = (inputs.map { $0.requiringGradient() }, inputs.map { $0.requiringGradient() })
        let (y, reference) = (fused(a), composed(b))
        let inference = withoutGradients { fused(inputs) }
        let seed = sample(y.shape, seed: 9)
        let (first, second) = (gradients(of: y, seed: seed), gradients(of: reference, seed: seed))
        let gradients = zip(a, b).map { (first[$0]!, second[$1]!) }
        let lengths = SumLengths(
            shapes: inputs.map(\.shape) + [[inner, out]], rows: shape.dropLast().reduce(1, *))
        func ratio(_ x: Tensor, _ expected: Tensor, _ tolerance: Double) -> Double {
            guard x.shape == expected.shape else { return .infinity }
            let off = zip(x.values, expected.values).map { abs(Double($0) - Double($1)) }
            return off.contains { $0.isNaN } ? .infinity : (off.max() ?? 0) / tolerance
        }
        let overall = gradients.map { largest($1.values) }.max()!
        let values = [y, inference].map { ratio($0, reference, lengths.tolerance(largest: largest(reference.values))) }
        return
            (values
            + gradients.map { x, expected in
                ratio(
                    x, expected,
                    lengths.gradientTolerance(
                        count: x.count, largest: largest(expected.values), overall: overall))
            }).max()!
    }
}

@Suite struct FeedForwardTests {
    static let kinds = FeedForwardCase.Kind.allCases
    static let forms: [FeedForwardCase] = [false, true].flatMap { gated in
        [false, true].flatMap { biases in
            [false, true].map { FeedForwardCase(isGated: gated, hasBiases: biases, hasResidual: $0) }
        }
    }

    @Test("The fused block equals its composition, forward and backward", arguments: kinds, forms)
    func sameAsComposition(_ kind: FeedForwardCase.Kind, _ form: FeedForwardCase) {
        var form = form
        form.kind = kind
        #expect(form.error([2, 3, 5], inner: 7, out: 4) <= 1)
        #expect(form.error([1, 5], inner: 3, out: 5) <= 1)
        let (row, vector) = (form.inputs([1, 5], inner: 3, out: 5), form.inputs([5], inner: 3, out: 5))
        expectEqual(form.fused(vector), form.fused(row).values, shape: [5])
    }

    @Test("Gradients agree with central differences", arguments: kinds, [false, true])
    func centralDifferences(_ kind: FeedForwardCase.Kind, _ gated: Bool) {
        let form = FeedForwardCase(kind: kind, isGated: gated)
        checkGradients(form.inputs([2, 3, 5], inner: 4, out: 3), layouts: [.dense]) { form.fused($0) }
    }

    /// Norm parameters and biases are dense in `Parameter`.
    @Test("Inputs, weights, and residual may be views")
    func views() {
        let form = FeedForwardCase(kind: .none, activation: .silu, hasBiases: false)
        checkGradients(form.inputs([3, 5], inner: 2, out: 4)) { form.fused($0) }
    }

    @Test(
        "Every activation agrees with its composition, for few rows and many",
        arguments: Activation.allCases, [false, true])
    func activations(_ activation: Activation, _ gated: Bool) {
        let form = FeedForwardCase(activation: activation, isGated: gated)
        #expect(form.error([3, 5], inner: 7, out: 4) <= 1)
        // More rows than threads share columns of.
        #expect(form.error([1100, 5], inner: 7, out: 4) <= 1)
    }

    /// Around the sizes at which rows are shared instead of columns, panels of 512 rows and blocks of panels; columns
    /// enough to be split, and an odd number of them.
    @Test("Any number of rows on any number of threads agrees with the composition")
    func anySizeOnAnyNumberOfThreads() async {
        await #expect(processExitsWith: .success) {
            let dropped = FeedForwardCase(hasBiases: true, dropout: 0.3, key: RandomKey(seed: 3))
            let plain = FeedForwardCase(kind: .rootMeanSquare, isGated: false, dropout: 0.3, key: RandomKey(seed: 3))
            let bare = FeedForwardCase(kind: .none, hasBiases: false, hasResidual: false)
            for threads in [1, 2, 3] {
                Threads.count = threads
                for rows in [1, 15, 16, 17, 31, 32, 33, 47, 48, 511, 513, 1024, 1025, 2100, 2 * 512 * threads + 1] {
                    for form in [dropped, plain, bare] {
                        let error = form.error([rows, 5], inner: 7, out: 4)
                        require(error <= 1, "\(form.testDescription): \(rows) rows, \(threads) threads: \(error)")
                    }
                }
                for rows in [1, 3, 40] {
                    for form in [dropped, plain, bare] {
                        let error = form.error([rows, 130], inner: 701, out: 515)
                        require(error <= 1, "\(form.testDescription): \(rows) rows, \(threads) threads: \(error)")
                    }
                }
            }
        }
    }

    @Test("The normalized input may be the residual, as in post-norm", arguments: kinds, [false, true])
    func inputAsResidual(_ kind: FeedForwardCase.Kind, _ gated: Bool) {
        let form = FeedForwardCase(
            kind: kind, isGated: gated, hasResidual: false, residualIsInput: true, dropout: 0.3, key: RandomKey(seed: 3)
        )
        for rows in [1, 3, 1100] { #expect(form.error([rows, 5], inner: 7, out: 5) <= 1) }
    }

    @Test("No rows give zero gradients")
    func noRowsGiveZeroGradients() {
        let form = FeedForwardCase(hasResidual: false)
        let leaves = form.inputs([0, 5], inner: 3, out: 4).map { $0.requiringGradient() }
        let y = form.fused(leaves)
        #expect(y.shape == [0, 4])
        let result = gradients(of: y, seed: y.detached())
        for leaf in leaves { expectEqual(result[leaf]!, Array(repeating: 0, count: leaf.count), shape: leaf.shape) }
    }

    // MARK: Dropout

    @Test("Dropout depends on the element and the key", arguments: [3, 700])
    func dropoutIsThatOfTheElement(_ rows: Int) {
        // down is the identity: the output is the hidden rows.
        let up = Projection(weight: sample([6, 5], seed: 2))
        let x = sample([rows, 5])
        let identity = Projection(weight: Tensor((0..<36).map { $0 % 7 == 0 ? 1 : 0 }, shape: [6, 6]))
        func run(_ probability: Double, _ key: RandomKey?) -> Tensor {
            feedForward(x, up: up, activation: .silu, dropout: probability, key: key, down: identity)
        }
        let hidden = run(0, nil)
        let key = RandomKey(seed: 11)
        expectEqual(run(0.4, key), dropout(hidden, probability: 0.4, key: key).values)
        expectEqual(run(0.4, nil), hidden.values)
        #expect(run(0.4, key.child(1)).values != run(0.4, key).values)
        expectEqual(run(1, key), Array(repeating: 0, count: rows * 6))
    }

    @Test("Gradients with dropout agree with central differences", arguments: [false, true])
    func gradientsWithDropout(_ gated: Bool) {
        let form = FeedForwardCase(isGated: gated, dropout: 0.4, key: RandomKey(seed: 5))
        checkGradients(form.inputs([4, 5], inner: 6, out: 3), layouts: [.dense]) { form.fused($0) }
    }

    // MARK: Determinism and memory

    @Test("Every run gives the same bits, with and without gradients", arguments: [1, 7, 1500])
    func theSameBitsAgain(_ rows: Int) {
        let form = FeedForwardCase(dropout: 0.2, key: RandomKey(seed: 1))
        let inputs = form.inputs([rows, 40], inner: 301, out: 20)
        func run() -> [[Float]] {
            let leaves = inputs.map { $0.requiringGradient() }
            let y = form.fused(leaves)
            let result = gradients(of: y, seed: sample(y.shape, seed: 9))
            return [y.values] + leaves.map { result[$0]!.values }
        }
        let first = run()
        for _ in 0..<3 { #expect(run() == first) }
        // The pass that keeps nothing gives the same numbers as the one that does.
        #expect(withoutGradients { form.fused(inputs).values } == first[0])
    }

    /// In a process of its own, as the pool is shared.
    @Test("Training keeps one product, inference only panels")
    func keepsOneProductForBackwardAndPanelsForInference() async {
        await #expect(processExitsWith: .success) {
            Threads.count = 2
            let form = FeedForwardCase(hasResidual: false)
            let (rows, d, inner) = (16384, 16, 64)
            let inputs = form.inputs([rows, d], inner: inner, out: d)
            let leaves = inputs.map { $0.requiringGradient() }
            let row = 4 * rows  // bytes of a column
            func growth(_ body: () -> Tensor) -> (kept: Int, peak: Int) {
                let before = MemoryPool.shared.statistics.current
                MemoryPool.shared.resetPeak()
                let y = body()
                let after = MemoryPool.shared.statistics
                return withExtendedLifetime(y) { (after.current - before, after.peak - before) }
            }
            // The output [rows, d] and, for two panels of 512 rows of 16384, three buffers of at most [512, 2 · inner].
            let inference = growth { withoutGradients { form.fused(inputs) } }
            require(inference.peak < row * d + row * 3 * 2 * inner / 16, "inference took \(inference.peak) bytes")
            // Output, product [rows, 2 · inner] and two statistics a row.
            let training = growth { form.fused(leaves) }
            require(training.kept <= row * (d + 2 * inner + 2), "training kept \(training.kept) bytes")
        }
    }
}
