import AttentionZooTestSupport
import Tensors
import Testing

@Suite struct MatrixProductTests {
    static let transposes = [(false, false), (false, true), (true, false), (true, true)]

    /// The shape in memory of a [rows, columns] factor.
    private func stored(_ batch: [Int], _ rows: Int, _ columns: Int, _ transposed: Bool) -> [Int] {
        batch + (transposed ? [columns, rows] : [rows, columns])
    }

    private func reference(
        _ a: Tensor, _ b: Tensor, _ batch: [Int], _ m: Int, _ n: Int, _ k: Int, _ ta: Bool, _ tb: Bool
    ) -> [Double] {
        expected(batch + [m, n]) { index in
            let (outer, i, j) = (Array(index.dropLast(2)), index[index.count - 2], index[index.count - 1])
            return (0..<k).reduce(0) { sum, l in
                sum + a.element(outer + (ta ? [l, i] : [i, l])) * b.element(outer + (tb ? [j, l] : [l, j]))
            }
        }
    }

    /// Expects each element within what rounding allows a sum of k products that is multiplied by alpha.
    private func expectProduct(
        _ got: Tensor, _ values: [Double], _ magnitudes: [Double], _ k: Int, shape: [Int]? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        if let shape { #expect(got.shape == shape, sourceLocation: sourceLocation) }
        expectClose(
            got.values, values, within: magnitudes.map { Rounding.bound(k + 1, of: $0) }, sourceLocation: sourceLocation
        )
    }

    private func unsigned(_ x: Tensor) -> Tensor { Tensor(x.values.map { abs($0) }, shape: x.shape) }

    /// Batches of the left and right factor and of the result.
    static let batches: [([Int], [Int], [Int])] = [
        ([], [], []), ([2], [2], [2]), ([3], [], [3]), ([], [3], [3]), ([2, 1], [3], [2, 3]),
        ([2, 3], [2, 3], [2, 3]),
        ([1], [4], [4]), ([2, 3], [], [2, 3]), ([2, 3], [1, 3], [2, 3]), ([0], [], [0]), ([5], [5], [5]),
    ]

    @Test("Products of all transposes and batches agree with float64", arguments: transposes, batches)
    func values(_ transposes: (Bool, Bool), _ batches: ([Int], [Int], [Int])) {
        let (ta, tb) = transposes
        for (m, n, k) in [(3, 4, 5), (1, 5, 7), (6, 1, 3), (2, 3, 1), (1, 1, 1), (1, 20, 3)] {
            let (sa, sb) = (stored(batches.0, m, k, ta), stored(batches.1, k, n, tb))
            let (a, b) = (sample(sa, seed: 1), sample(sb, seed: 2))
            let values = reference(a, b, batches.2, m, n, k, ta, tb)
            let magnitudes = reference(unsigned(a), unsigned(b), batches.2, m, n, k, ta, tb)
            expectProduct(
                matrixProduct(a, b, transposeA: ta, transposeB: tb), values, magnitudes, k, shape: batches.2 + [m, n])
            expectProduct(
                matrixProduct(a, b, transposeA: ta, transposeB: tb, alpha: -0.5), values.map { $0 * -0.5 },
                magnitudes.map { $0 / 2 }, k)
            for layout in [Layout.transposed, .sliced] {
                guard let left = layout.base(a), let right = layout.base(b) else { continue }
                let (x, w) = (layout.view(left, sa), layout.view(right, sb))
                for (left, right) in [(x, w), (a, w), (x, b)] {
                    expectProduct(
                        matrixProduct(left, right, transposeA: ta, transposeB: tb), values, magnitudes, k)
                }
            }
        }
    }

    @Test("Gradients agree with central differences", arguments: transposes, batches)
    func gradients(_ transposes: (Bool, Bool), _ batches: ([Int], [Int], [Int])) {
        let (ta, tb) = transposes
        if batches.2.contains(0) { return }
        for (m, n, k) in [(2, 3, 4), (1, 2, 3), (3, 1, 1)] {
            let (a, b) = (sample(stored(batches.0, m, k, ta), seed: 1), sample(stored(batches.1, k, n, tb), seed: 2))
            checkGradients([a, b]) { matrixProduct($0[0], $0[1], transposeA: ta, transposeB: tb, alpha: 0.5) }
        }
    }

    /// Split by rows, by columns, and by batch; sums of 130 products.
    @Test("Products large enough to be split over threads agree with float64", arguments: transposes)
    func large(_ transposes: (Bool, Bool)) {
        let (ta, tb) = transposes
        for (batch, m, n, k) in [([], 150, 70, 130), ([], 5, 600, 130), ([4], 33, 29, 130), ([1], 65, 66, 130)] {
            let a = sample(stored(batch, m, k, ta), seed: 1)
            let b = sample(stored(batch, k, n, tb), seed: 2)
            let (x, w) = (ta ? a.transposed().contiguous() : a, tb ? b : b.transposed().contiguous())
            let (left, right) = (x.values.map(Double.init), w.values.map(Double.init))
            func sums(_ term: (Double, Double) -> Double) -> [Double] {
                (0..<batch.reduce(1, *) * m * n).map { place in
                    let (item, i, j) = (place / (m * n), place / n % m, place % n)
                    let (p, q) = ((item * m + i) * k, (item * n + j) * k)
                    return (0..<k).reduce(0) { $0 + term(left[p + $1], right[q + $1]) }
                }
            }
            expectProduct(
                matrixProduct(a, b, transposeA: ta, transposeB: tb), sums { $0 * $1 }, sums { abs($0 * $1) }, k)
        }
    }

    @Test("A product is scaled and added into a destination")
    func intoADestination() {
        let (a, b) = (sample([2, 3, 4], seed: 1), sample([4, 5], seed: 2))
        let product = matrixProduct(a, b).values.map(Double.init)
        // Sums of 4 products on both sides.
        let magnitudes = matrixProduct(unsigned(a), unsigned(b)).values.map(Double.init)
        let c = Tensor(repeating: .nan, shape: [2, 3, 5])
        matrixProduct(a, b, into: c)
        expectProduct(c, product, magnitudes, 2 * 4)
        matrixProduct(a, b, alpha: 2, beta: 0.5, into: c)
        expectProduct(c, product.map { 2.5 * $0 }, magnitudes.map { 2.5 * $0 }, 2 * 4)
    }

    @Test("Empty factors give zeros")
    func emptyFactors() {
        expectEqual(matrixProduct(.zeros([2, 0]), .zeros([0, 3])), Array(repeating: 0, count: 6), shape: [2, 3])
        expectEqual(
            matrixProduct(.zeros([2, 3, 0]), .zeros([0, 4])), Array(repeating: 0, count: 24), shape: [2, 3, 4])
        #expect(matrixProduct(.zeros([0, 3]), .zeros([3, 4])).shape == [0, 4])
        let c = Tensor([1, 2], shape: [1, 2])
        matrixProduct(.zeros([1, 0]), .zeros([0, 2]), beta: 3, into: c)
        expectEqual(c, [3, 6])
        let (x, w) = (Tensor.zeros([2, 0]).requiringGradient(), Tensor.zeros([0, 3]).requiringGradient())
        let result = Tensors.gradients(of: matrixProduct(x, w).sum())
        #expect(result[x]!.shape == [2, 0] && result[w]!.shape == [0, 3])
    }

    /// Transposed views are copied first.
    @Test("A weight is shared by a batch of views")
    func sharedWeights() {
        let x = sample([2, 3, 4])
        checkGradients([x, sample([4, 5], seed: 2)]) { matrixProduct($0[0].transposed(0, 1), $0[1]) }
        checkGradients([x, sample([5, 4], seed: 2)]) { matrixProduct($0[0].transposed(0, 1), $0[1], transposeB: true) }
        checkGradients([x, sample([1, 4, 5], seed: 2)]) { matrixProduct($0[0], $0[1]) }
        checkGradients([sample([2, 2, 3, 4]), sample([3, 5], seed: 2)]) {
            matrixProduct($0[0], $0[1], transposeA: true)
        }
    }

    @Test("NaN spreads along its row")
    func notANumberSpreadsAlongItsRow() {
        let a = Tensor([1, .nan, 1, 1], shape: [2, 2])
        expectEqual(matrixProduct(a, .ones([2, 3])), [.nan, .nan, .nan, 2, 2, 2])
        expectEqual(matrixProduct(Tensor([0, 1], shape: [1, 2]), Tensor([.infinity, 1], shape: [2, 1])), [.nan])
    }
}
