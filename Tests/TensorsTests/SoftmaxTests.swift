import Foundation
import Tensors
import Testing

@Suite struct SoftmaxTests {
    private func reference(_ x: Tensor, _ axis: Int, logarithm: Bool) -> [Double] {
        let axis = axis < 0 ? axis + x.rank : axis
        return expected(x.shape) { index in
            let sum = (0..<x.shape[axis]).reduce(0.0) { sum, i in
                var other = index
                other[axis] = i
                return sum + Foundation.exp(x.element(other))
            }
            return logarithm ? x.element(index) - Foundation.log(sum) : Foundation.exp(x.element(index)) / sum
        }
    }

    /// Sums of at most 9 terms of exponentials good to 2 units: 1e-6 is generous to the logarithm of sums near 10.
    @Test("Softmax and its logarithm agree with float64, as do their gradients", arguments: [0, 1, 2, -1, -3])
    func values(_ axis: Int) {
        let x = sample([3, 9, 5], low: -6, high: 6)
        expectClose(softmax(x, axis: axis), reference(x, axis, logarithm: false), shape: x.shape, tolerance: 1e-6)
        expectClose(logSoftmax(x, axis: axis), reference(x, axis, logarithm: true), shape: x.shape, tolerance: 1e-6)
        checkGradients([sample([2, 3, 4])]) { softmax($0[0], axis: axis) }
        checkGradients([sample([2, 3, 4])]) { logSoftmax($0[0], axis: axis) }
    }

    @Test("Long rows and many rows sum to 1")
    func longRowsAndManyRows() {
        for shape in [[1, 70_001], [700, 301], [140_001, 1]] {
            let x = Tensor.normal(shape, standardDeviation: 3, key: RandomKey(seed: 4))
            // Sums of up to 70,001 terms in float32; each element against 1.
            let sums = softmax(x).sum(axes: [1])
            expectClose(sums, sums.values.map { _ in 1 }, tolerance: 2e-6)
            let logarithms = exp(logSoftmax(x)).sum(axes: [1])
            expectClose(logarithms, logarithms.values.map { _ in 1 }, tolerance: 2e-5)
        }
    }

    @Test("Infinities, huge numbers, and NaN have their limits")
    func extremes() {
        expectEqual(softmax(Tensor([1e30, 1e30, -1e30])), [0.5, 0.5, 0])
        expectEqual(softmax(Tensor([-.infinity, 0, 0])), [0, 0.5, 0.5])
        expectEqual(logSoftmax(Tensor([-.infinity, 0])), [-.infinity, 0])
        expectEqual(softmax(Tensor([-.infinity, -.infinity])), [.nan, .nan])
        expectEqual(softmax(Tensor([.nan, 0])), [.nan, .nan])
        expectEqual(softmax(Tensor([7], shape: [1, 1])), [1])
    }

    // MARK: Cross-entropy

    private func crossEntropyReference(_ x: Tensor, _ targets: [Int32], ignored: Int32?) -> Double {
        let (classes, values) = (x.length(-1), x.values.map(Double.init))
        let counted = targets.indices.filter { targets[$0] != ignored }
        return counted.reduce(0.0) { total, row in
            let logits = values[row * classes..<(row + 1) * classes]
            let sum = logits.reduce(0) { $0 + Foundation.exp($1) }
            return total + Foundation.log(sum) - values[row * classes + Int(targets[row])]
        } / Double(counted.count)
    }

    @Test("Cross-entropy agrees with float64, with and without ignored targets")
    func crossEntropyValues() {
        let x = sample([2, 3, 7], low: -5, high: 5)
        let targets = TokenTensor([0, 6, 3, -1, 2, 2], shape: [2, 3])
        let valid = TokenTensor([0, 6, 3, 1, 2, 2], shape: [2, 3])
        expectClose(
            crossEntropy(x, valid), [crossEntropyReference(x, valid.values, ignored: nil)], shape: [], tolerance: 1e-6)
        expectClose(
            crossEntropy(x, targets, ignoreIndex: -1), [crossEntropyReference(x, targets.values, ignored: -1)],
            tolerance: 1e-6)
        expectClose(
            crossEntropy(x, valid, ignoreIndex: 2), [crossEntropyReference(x, valid.values, ignored: 2)],
            tolerance: 1e-6)
        expectClose(
            crossEntropy(x.sliced(0, to: 1).reshaped([3, 7]).at(0, 1), TokenTensor([4], shape: [])),
            [crossEntropyReference(x.sliced(0, to: 1).sliced(1, from: 1, to: 2), [4], ignored: nil)], tolerance: 1e-6)
    }

    @Test("The gradients of cross-entropy agree with central differences")
    func crossEntropyGradients() {
        let targets = TokenTensor([0, 4, 3, -100, 2, 2], shape: [2, 3])
        checkGradients([sample([2, 3, 5])]) { crossEntropy($0[0], targets, ignoreIndex: -100) }
        checkGradients([sample([2, 3, 5])]) { crossEntropy($0[0] * 3, targets, ignoreIndex: -100) * 2 }
    }

    /// As in PyTorch.
    @Test("If every target is ignored, the loss is NaN and the gradient 0")
    func everyTargetIgnored() {
        let x = sample([2, 5]).requiringGradient()
        let loss = crossEntropy(x, TokenTensor([-1, -1]), ignoreIndex: -1)
        #expect(loss.item.isNaN)
        expectEqual(gradients(of: loss)[x]!, Array(repeating: 0, count: 10))
    }

    @Test("Cross-entropy of many rows agrees with float64")
    func crossEntropyOfManyRows() {
        let x = Tensor.normal([3000, 65], key: RandomKey(seed: 5))
        let targets = TokenTensor((0..<3000).map { Int32($0 * 7 % 65) })
        expectClose(crossEntropy(x, targets), [crossEntropyReference(x, targets.values, ignored: nil)], tolerance: 1e-6)
    }
}
