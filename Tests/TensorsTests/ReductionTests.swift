import AttentionZooTestSupport
import Tensors
import Testing

@Suite struct ReductionTests {
    static let axes: [[Int]?] = [nil, [], [0], [1], [2], [-1], [0, 1], [1, 2], [2, 0], [0, -2, 2]]

    /// Reduces by definition: the elements of each result position, in order.
    private func groups(_ x: Tensor, _ axes: [Int]?, keepAxes: Bool) -> (shape: [Int], elements: [[Double]]) {
        let reduced = Set((axes ?? Array(0..<x.rank)).map { $0 < 0 ? $0 + x.rank : $0 })
        let shape = x.shape.indices.filter { keepAxes || !reduced.contains($0) }.map {
            reduced.contains($0) ? 1 : x.shape[$0]
        }
        let kept = x.shape.indices.filter { !reduced.contains($0) }
        let elements = indices(kept.map { x.shape[$0] }).map { place in
            indices(x.shape).filter { index in kept.map { index[$0] } == place }.map { x.element($0) }
        }
        return (shape, elements)
    }

    @Test("Sums, means, and maxima of any axes agree with float64", arguments: axes, [false, true])
    func values(_ axes: [Int]?, _ keepAxes: Bool) {
        let x = sample([3, 5, 7])
        for view in [x, x.contiguous().permuted([2, 0, 1]), x.sliced(1, from: 1, by: 2), x.sliced(2, to: 1)] {
            let (shape, elements) = groups(view, axes, keepAxes: keepAxes)
            // Sums of at most 105 elements of size 1: 1e-6 is a few roundings.
            expectClose(
                view.sum(axes: axes, keepAxes: keepAxes), elements.map { $0.reduce(0, +) }, shape: shape,
                tolerance: 1e-6)
            expectClose(
                view.mean(axes: axes, keepAxes: keepAxes), elements.map { $0.reduce(0, +) / Double($0.count) },
                shape: shape, tolerance: 1e-6)
            expectClose(
                view.maximum(axes: axes, keepAxes: keepAxes), elements.map { $0.max()! }, shape: shape, tolerance: 0)
        }
    }

    @Test("Gradients agree with central differences", arguments: axes, [false, true])
    func gradients(_ axes: [Int]?, _ keepAxes: Bool) {
        checkGradients([sample([2, 3, 4])]) { $0[0].sum(axes: axes, keepAxes: keepAxes) }
        checkGradients([sample([2, 3, 4])]) { $0[0].mean(axes: axes, keepAxes: keepAxes) }
        // Expanded inputs have equals, where the largest is not differentiable.
        checkGradients([distinct([2, 3, 4])], layouts: [.dense, .transposed, .sliced]) {
            $0[0].maximum(axes: axes, keepAxes: keepAxes)
        }
    }

    @Test("Empty axes sum to 0 and have no mean")
    func emptyAxes() {
        expectEqual(Tensor.zeros([3, 0]).sum(axes: [1]), [0, 0, 0], shape: [3])
        expectEqual(Tensor.zeros([3, 0]).mean(axes: [1]), [.nan, .nan, .nan], shape: [3])
        expectEqual(Tensor.zeros([3, 0]).sum(), [0], shape: [])
        expectEqual(Tensor.zeros([3, 0]).sum(axes: [0]), [], shape: [0])
        expectEqual(Tensor.zeros([3, 0]).maximum(axes: [0]), [], shape: [0])
        expectEqual(Tensor.zeros([3, 0]).cumulativeSum(), [], shape: [3, 0])
    }

    /// A plain float32 sum of 0.1 over two million elements would be off by 1e-3.
    @Test("Long sums are accurate")
    func longSumsAreAccurate() {
        for shape in [[2_000_003], [3, 700_001], [300_001, 3], [2, 70_001, 5], [2, 3, 140_001]] {
            let x = Tensor(repeating: 0.1, shape: shape)
            for axis in shape.indices {
                let sums = x.sum(axes: [axis])
                // Blocks of 1024 elements are added in float32, over as many lanes as the processor has, then in float64.
                expectClose(
                    sums, sums.values.map { _ in Double(shape[axis]) * Double(Float(0.1)) },
                    tolerance: Rounding.bound(1024, of: 1))
            }
        }
        let x = sample([150_001, 2])
        let values = x.values
        let columns = (0..<2).map { column in
            stride(from: column, to: values.count, by: 2).reduce(0.0) { $0 + Double(values[$1]) }
        }
        // Cancellation: the error is relative to the sum of sizes, 1e5, not to the sum.
        expectClose(x.sum(axes: [0]) * 1e-5, columns.map { $0 * 1e-5 }, tolerance: 1e-7)
    }

    @Test("NaN and infinity pass through reductions")
    func notANumberAndInfinity() {
        let x = Tensor([1, .nan, 3, -.infinity, 2, .infinity, .infinity, -.infinity, 0], shape: [3, 3])
        expectEqual(x.sum(axes: [1]), [.nan, .nan, .nan])
        expectEqual(x.maximum(axes: [1]), [.nan, .infinity, .infinity])
        expectEqual(x.maximum(axes: [0]), [.infinity, .nan, .infinity])
        #expect(x.argmax().values == [1, 2, 0])
        #expect(x.argmax(axis: 0).values == [2, 0, 1])
        expectEqual(x.cumulativeSum(axis: 1), [1, .nan, .nan, -.infinity, -.infinity, .nan, .infinity, .nan, .nan])
        expectEqual(Tensor(repeating: -.infinity, shape: [4]).maximum(), [-.infinity])
    }

    @Test("The first of equals is the maximum")
    func theFirstOfEqualsIsTheLargest() {
        let x = Tensor([1, 3, 3, 2, 5, 5], shape: [2, 3]).requiringGradient()
        #expect(Tensors.gradients(of: x.maximum(axes: [1]).sum())[x]!.values == [0, 1, 0, 0, 1, 0])
        #expect(Tensors.gradients(of: x.maximum())[x]!.values == [0, 0, 0, 0, 1, 0])
        #expect(x.argmax() == TokenTensor([1, 1]))
        #expect(Tensor.zeros([2, 3, 2]).argmax(axis: 1) == TokenTensor([0, 0, 0, 0], shape: [2, 2]))
    }

    @Test("Cumulative sums run along any axis, either way", arguments: [0, 1, 2, -2], [false, true])
    func cumulativeSums(_ axis: Int, _ reverse: Bool) {
        let x = sample([3, 5, 4])
        let position = axis < 0 ? axis + 3 : axis
        let reference = expected(x.shape) { index in
            (reverse ? index[position]..<x.shape[position] : 0..<index[position] + 1).reduce(0) { sum, i in
                var other = index
                other[position] = i
                return sum + x.element(other)
            }
        }
        expectClose(x.cumulativeSum(axis: axis, reverse: reverse), reference, shape: x.shape, tolerance: 1e-6)
        checkGradients([sample([2, 3, 4])]) { $0[0].cumulativeSum(axis: axis, reverse: reverse) }
    }
}
