import Foundation
import Tensors
import Testing

@Suite struct ComfortTests {
    // MARK: Making

    @Test("Nested arrays are tensors of several axes") func nested() {
        expectEqual(Tensor([[1, 2, 3], [4, 5, 6]]), [1, 2, 3, 4, 5, 6], shape: [2, 3])
        expectEqual(Tensor([[[1, 2]], [[3, 4]]]), [1, 2, 3, 4], shape: [2, 1, 2])
        expectEqual(Tensor([1, 2]), [1, 2], shape: [2])
        expectEqual(Tensor([]), [], shape: [0])
        #expect(Tensor([[Float]]()).shape == [0, 0])
        #expect(TokenTensor([[1, 2], [3, 4]]) == TokenTensor([1, 2, 3, 4], shape: [2, 2]))
        expectEqual(Tensor(TokenTensor([[1, -2]])), [1, -2], shape: [1, 2])
    }

    @Test("Rows of different lengths stop") func ragged() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = Tensor([[1, 2], [3]])
        }
        #expect(result?.message.contains("rows of lengths [2, 1]") == true)
    }

    // MARK: Statistics

    @Test("The smallest element, and where it is") func minimum() {
        let x = Tensor([[3, 1, 2], [-1, 5, -1]])
        expectEqual(x.minimum(), [-1], shape: [])
        expectEqual(x.minimum(axes: [1]), [1, -1], shape: [2])
        expectEqual(x.minimum(axes: [0], keepAxes: true), [-1, 1, -1], shape: [1, 3])
        #expect(x.argmin() == TokenTensor([1, 0]))
        #expect(x.argmin(axis: 0) == TokenTensor([1, 0, 1]))
        #expect(Tensor([1, .nan]).minimum().item.isNaN)
        checkGradients([distinct([2, 3])]) { $0[0].minimum(axes: [1]) }
    }

    @Test("Variance and standard deviation are torch's", arguments: [0, 1, 2]) func variance(_ correction: Int) {
        let x = sample([2, 5, 3])
        let reference = expected([2, 3]) { index in
            let column = (0..<5).map { x.element([index[0], $0, index[1]]) }
            let mean = column.reduce(0, +) / 5
            return column.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(5 - correction)
        }
        // Sums of five squares of differences of order 1.
        expectClose(x.variance(axes: [1], correction: correction), reference, shape: [2, 3], tolerance: 1e-6)
        expectClose(
            x.standardDeviation(axes: [1], keepAxes: true, correction: correction), reference.map { $0.squareRoot() },
            shape: [2, 1, 3], tolerance: 1e-6)
        let all = x.values.map(Double.init)
        let mean = all.reduce(0, +) / 30
        let whole = all.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(30 - correction)
        expectClose(x.variance(correction: correction), [whole], shape: [], tolerance: 1e-6)
        checkGradients([sample([2, 3])]) { $0[0].variance(axes: [1], correction: correction) }
        if correction < 2 {
            checkGradients([distinct([2, 3])]) { $0[0].standardDeviation(axes: [1], correction: correction) }
        }
    }

    @Test("One element has no unbiased variance, and equal ones a deviation without slope") func fewElements() {
        #expect(Tensor([2]).variance().item.isNaN)
        expectEqual(Tensor([2]).variance(correction: 0), [0])
        let x = Tensor([2, 2, 2]).requiringGradient()
        let deviation = x.standardDeviation()
        expectEqual(deviation, [0])
        expectEqual(gradients(of: deviation)[x]!, [0, 0, 0])
    }

    @Test("Closeness is numpy's") func closeness() {
        let x = Tensor([1, 100, -3])
        #expect(x.isClose(to: x))
        #expect(x.isClose(to: Tensor([1, 100.0005, -3])))
        #expect(!x.isClose(to: Tensor([1, 100.01, -3])))
        #expect(x.isClose(to: Tensor([1, 100.01, -3]), relative: 1e-3))
        #expect(!x.isClose(to: Tensor([1.5, 100, -3]), absolute: 0.25))
        #expect(x.isClose(to: Tensor([1.5, 100, -3]), absolute: 0.75))
        #expect(!x.isClose(to: x.reshaped([3, 1])))
        #expect(!Tensor([.nan]).isClose(to: Tensor([.nan])))
        #expect(Tensor([.nan]).isClose(to: Tensor([.nan]), equalNaN: true))
        #expect(Tensor([.infinity]).isClose(to: Tensor([.infinity])))
        #expect(!Tensor([1]).isClose(to: Tensor([.infinity])))
        #expect(!Tensor([.infinity]).isClose(to: Tensor([-.infinity])))
    }

    // MARK: Labels

    @Test("Labeled axes are the numbered ones") func labels() {
        let x = sample([2, 3, 4])
        #expect(x.sliced(axis: 1, from: 1).values == x.sliced(1, from: 1).values)
        #expect(x.sliced(axis: 2, from: 3, to: 0, by: -2).values == x.sliced(2, from: 3, to: 0, by: -2).values)
        #expect(x.at(2, axis: -1).values == x.at(-1, 2).values)
        #expect(x.permuted(axes: [2, 0, 1]).values == x.permuted([2, 0, 1]).values)
        #expect(x.transposed(axes: 0, 1).shape == [3, 2, 4])
        #expect(x.unsqueezed(axis: 1).shape == [2, 1, 3, 4])
        #expect(x.unsqueezed(axis: 1).squeezed(axis: 1).shape == [2, 3, 4])
        #expect(x.length(axis: -2) == 3)
        let (values, indices) = x.topK(2, axis: 0)
        #expect(values.shape == [3, 4, 2] && indices.shape == [3, 4, 2])
        #expect(values[..., 0].values == x.maximum(axes: [0]).values)
    }
}
