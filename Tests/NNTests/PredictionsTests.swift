import NN
import Tensors
import Testing

/// What a last layer predicts, without logits and with them.
@Suite("Predictions") struct PredictionsTests {
    private let x = Tensor.normal([2, 20, 6], key: RandomKey(seed: 1))
    private let norm = LayerNorm(6)
    private let projection = Linear(6, 31, key: RandomKey(seed: 2))
    private let targets = TokenTensor((0..<40).map { $0 % 7 == 0 ? ignoredTarget : Int32($0 % 31) }, shape: [2, 20])

    /// Each with the logits by themselves, which another graph makes.
    private var all: [(predictions: Predictions, logits: Tensor)] {
        [
            (Predictions(x, after: norm, projection: projection), projection(norm(x))),
            (Predictions(x, projection: projection), projection(x)),
            (Predictions(logits: projection(x)), projection(x)),
        ]
    }

    @Test("logits, loss and likeliest tokens are those of the logits") func equalLogits() throws {
        for (predictions, logits) in all {
            expectClose(predictions.logits, logits, "logits")
            let (loss, expected) = (
                predictions.loss(targets), crossEntropy(logits, targets, ignoreIndex: ignoredTarget)
            )
            expectClose(loss, expected, "loss")
            let (one, other) = (gradients(of: loss), gradients(of: expected))
            for parameter in [projection.weight, projection.bias!] {
                expectClose(try #require(one[parameter]), try #require(other[parameter]), "gradient")
            }
            let (losses, likeliest) = predictions.tokenLosses(targets)
            #expect(losses.shape == [2, 20] && likeliest == logits.argmax() && predictions.likeliest == likeliest)
            for (loss, target) in zip(losses.values, targets.values) {
                #expect((target == ignoredTarget) == (loss == 0))
            }
            expectClose(losses.sum() / Float(targets.values.count { $0 != ignoredTarget }), expected, "mean")
        }
    }

    @Test("another index can be ignored") func otherIndex() {
        for (predictions, logits) in all {
            let targets = TokenTensor(targets.values.map { $0 == ignoredTarget ? -100 : $0 }, shape: [2, 20])
            expectClose(
                predictions.loss(targets, ignoreIndex: -100), crossEntropy(logits, targets, ignoreIndex: -100), "loss")
            expectClose(
                predictions.tokenLosses(targets, ignoreIndex: -100).losses,
                predictions.tokenLosses(self.targets).losses,
                "losses")
        }
    }

    @Test("a projection after a norm") func projectionAfterNorm() {
        expectClose(projection(x, after: norm), projection(norm(x)), "logits")
    }

    /// Sums of some 40 products in float32, in different orders.
    private func expectClose(_ a: Tensor, _ b: Tensor, _ what: String) {
        let largest = b.values.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
        #expect(a.shape == b.shape, "\(what)")
        for (x, y) in zip(a.values, b.values) { #expect(abs(x - y) <= 5e-6 * largest, "\(what): \(x), \(y)") }
    }
}
