import Foundation
import Tensors
import Testing

/// Losses against their formulas in float64, and their gradients against differences.
@Suite struct LossTests {
    private let x = sample([3, 4]), y = sample([3, 4], seed: 2)

    /// Each reduction of losses that are known one by one.
    private func expectReductions(
        _ losses: [Double], counted: Int? = nil, shape: [Int], sourceLocation: SourceLocation = #_sourceLocation,
        of loss: (LossReduction) -> Tensor
    ) {
        let sum = losses.reduce(0, +)
        expectClose(loss(.none), losses, shape: shape, tolerance: 1e-6, sourceLocation: sourceLocation)
        expectClose(loss(.sum), [sum], shape: [], tolerance: 1e-6, sourceLocation: sourceLocation)
        expectClose(
            loss(.mean), [sum / Double(counted ?? losses.count)], shape: [], tolerance: 1e-6,
            sourceLocation: sourceLocation)
    }

    private func pairs(_ x: Tensor, _ y: Tensor) -> [(Double, Double)] {
        zip(x.values, y.values).map { (Double($0), Double($1)) }
    }

    @Test("Mean squared error") func squares() {
        expectReductions(pairs(x, y).map { ($0 - $1) * ($0 - $1) }, shape: [3, 4]) {
            meanSquaredError(x, y, reduction: $0)
        }
        checkGradients([x, y]) { meanSquaredError($0[0], $0[1]) }
        #expect(meanSquaredError(x, y).item == meanSquaredError(x, y, reduction: .mean).item)
    }

    @Test("Huber's loss, on both sides of δ", arguments: [0.5, 1, 10] as [Float]) func hubers(_ delta: Float) {
        let d = Double(delta)
        let losses = pairs(x, y).map { x, y in
            let distance = Swift.abs(x - y)
            return distance <= d ? distance * distance / 2 : d * (distance - d / 2)
        }
        expectReductions(losses, shape: [3, 4]) { huber(x, y, delta: delta, reduction: $0) }
        // Away from the kinks of the second derivative.
        let apart = Tensor([[0.25, -0.125, 3], [-2, 0.0625, -5]])
        checkGradients([apart, .zeros([2, 3])]) { huber($0[0], $0[1], delta: delta) }
    }

    @Test("Binary cross-entropy of logits") func binary() {
        let targets = Tensor([[0, 1, 0.25, 1], [1, 0, 0.5, 0], [0, 0, 1, 1]])
        for weight in [1, 3] as [Float] {
            let losses = pairs(x, targets).map { z, t in
                let p = 1 / (1 + Foundation.exp(-z))
                return -(Double(weight) * t * Foundation.log(p) + (1 - t) * Foundation.log(1 - p))
            }
            expectReductions(losses, shape: [3, 4]) {
                binaryCrossEntropy(x, targets, positiveWeight: weight, reduction: $0)
            }
            checkGradients([x, targets]) { binaryCrossEntropy($0[0], $0[1], positiveWeight: weight) }
        }
    }

    @Test("Binary cross-entropy is exact far out") func farOut() {
        let far = binaryCrossEntropy(Tensor([20, -20, 200, -200]), Tensor([1, 0, 0, 1]), reduction: .none).values
        let small = Foundation.log1p(Foundation.exp(-20.0))
        for (value, expected) in zip(far, [small, small, 200, 200]) {
            #expect(Swift.abs(Double(value) - expected) <= 1e-6 * expected)
        }
    }

    // MARK: Cross-entropy

    /// The loss of each row by its definition, 0 where it is ignored.
    private func crossEntropies(_ logits: Tensor, _ targets: [Int32], ignoring: Int32?, _ smoothing: Double) -> [Double]
    {
        let classes = logits.shape.last!
        return targets.enumerated().map { row, target in
            if target == ignoring { return 0 }
            let z = (0..<classes).map { logits.element([row, $0]) }
            let total = Foundation.log(z.reduce(0) { $0 + Foundation.exp($1) })
            return z.enumerated().reduce(0) { sum, entry in
                let share = (entry.offset == Int(target) ? 1 - smoothing : 0) + smoothing / Double(classes)
                return sum - share * (entry.element - total)
            }
        }
    }

    @Test("Cross-entropy with smoothing, reductions and ignored targets", arguments: [0, 0.1, 1] as [Float])
    func smoothing(_ share: Float) {
        let logits = sample([4, 5])
        let targets = TokenTensor([2, 0, -1, 4])
        let losses = crossEntropies(logits, targets.values, ignoring: -1, Double(share))
        expectReductions(losses, counted: 3, shape: [4]) {
            crossEntropy(logits, targets, ignoreIndex: -1, labelSmoothing: share, reduction: $0)
        }
        for reduction in LossReduction.allCases {
            checkGradients([logits]) {
                crossEntropy($0[0], targets, ignoreIndex: -1, labelSmoothing: share, reduction: reduction)
            }
        }
        checkGradients([sample([2, 2, 3])]) {
            crossEntropy($0[0], TokenTensor([[0, 2], [1, 1]]), labelSmoothing: share, reduction: .none)
        }
    }

    @Test("Without smoothing it is the plain cross-entropy, to the bit") func plain() {
        let logits = sample([4, 5]).requiringGradient()
        let targets = TokenTensor([2, 0, 3, 4])
        let (a, b) = (crossEntropy(logits, targets), crossEntropy(logits, targets, labelSmoothing: 0))
        #expect(a.item == b.item)
        #expect(gradients(of: a)[logits]?.values == gradients(of: b)[logits]?.values)
        #expect(crossEntropy(logits, TokenTensor([9, 9, 9, 9]), ignoreIndex: 9, labelSmoothing: 0.1).item.isNaN)
    }

    @Test(
        "Shapes and numbers that do not fit stop",
        arguments: [
            (0, "meanSquaredError: predictions [2, 3] and targets [3]"),
            (1, "huber: predictions [2, 3] and targets [3]"),
            (2, "huber: delta 0.0"), (3, "binaryCrossEntropy: predictions [2, 3] and targets [3]"),
            (4, "crossEntropy: label smoothing 1.5"),
        ])
    func mistakes(_ number: Int, _ message: String) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [number] in
            let (a, b) = (Tensor.ones([2, 3]), Tensor.ones([3]))
            switch number {
            case 0: _ = meanSquaredError(a, b)
            case 1: _ = huber(a, b)
            case 2: _ = huber(a, a, delta: 0)
            case 3: _ = binaryCrossEntropy(a, b)
            default: _ = crossEntropy(a, TokenTensor([0, 1]), labelSmoothing: 1.5)
            }
        }
        #expect(result?.message.contains(message) == true, "\(result?.message ?? "")")
    }
}
