import AttentionZooTestSupport
import NN
import Tensors
import Testing

/// Predictions of a last layer, without logits and with them.
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

    @Test("Logits, loss and likeliest tokens are those of the logits") func equalLogits() throws {
        for (predictions, logits) in all {
            expectAgreement(predictions.logits, logits, "logits")
            let (loss, expected) = (
                predictions.loss(targets), crossEntropy(logits, targets, ignoreIndex: ignoredTarget)
            )
            expectAgreement(loss, expected, "loss")
            let (one, other) = (gradients(of: loss), gradients(of: expected))
            for parameter in [projection.weight, projection.bias!] {
                expectAgreement(try #require(one[parameter]), try #require(other[parameter]), "gradient")
            }
            let (losses, likeliest) = predictions.tokenLosses(targets)
            #expect(losses.shape == [2, 20] && likeliest == logits.argmax() && predictions.likeliest == likeliest)
            for (loss, target) in zip(losses.values, targets.values) {
                #expect((target == ignoredTarget) == (loss == 0))
            }
            expectAgreement(losses.sum() / Float(targets.values.count { $0 != ignoredTarget }), expected, "mean")
        }
    }

    @Test("Another index can be ignored") func otherIndex() {
        for (predictions, logits) in all {
            let targets = TokenTensor(targets.values.map { $0 == ignoredTarget ? -100 : $0 }, shape: [2, 20])
            expectAgreement(
                predictions.loss(targets, ignoreIndex: -100), crossEntropy(logits, targets, ignoreIndex: -100), "loss")
            expectAgreement(
                predictions.tokenLosses(targets, ignoreIndex: -100).losses,
                predictions.tokenLosses(self.targets).losses,
                "losses")
        }
    }

    /// The same with rows of some positions only, against logits with zeros between them.
    @Test("Predictions of some positions have zeros elsewhere", arguments: [true, false])
    func somePositions(hasTargetsElsewhere: Bool) throws {
        let positions = (0..<40).filter { $0 % 3 != 0 }
        let rows = concatenate(positions.map { x.reshaped([40, 6]).sliced(0, from: $0, to: $0 + 1) })
        let predictions = Predictions(
            Predictions(rows, after: norm, projection: projection), at: positions, of: [2, 20])
        let places = TokenTensor((0..<40).map { $0 % 3 == 0 ? 0 : 1 }, shape: [2, 20])
        let kept = Tensor(places.values.map(Float.init), shape: [2, 20, 1])
        var logits: Tensor { projection(norm(x)) * kept }
        let targets = TokenTensor(
            zip(self.targets.values, places.values).map { $1 == 0 && !hasTargetsElsewhere ? ignoredTarget : $0 },
            shape: [2, 20])
        expectAgreement(predictions.logits, logits, "logits")
        let (loss, expected) = (predictions.loss(targets), crossEntropy(logits, targets, ignoreIndex: ignoredTarget))
        expectAgreement(loss, expected, "loss")
        let (one, other) = (gradients(of: loss), gradients(of: expected))
        let got = predictions.logits
        let ofLogits = gradients(of: (got * got).sum())
        let expectedLogits = logits
        let expectedOfLogits = gradients(of: (expectedLogits * expectedLogits).sum())
        for parameter in [projection.weight, projection.bias!, norm.weight] {
            expectAgreement(try #require(one[parameter]), try #require(other[parameter]), "gradient")
            expectAgreement(
                try #require(ofLogits[parameter]), try #require(expectedOfLogits[parameter]), "gradient of logits")
        }
        let (losses, likeliest) = predictions.tokenLosses(targets)
        expectAgreement(losses, classLosses(logits, targets, ignoreIndex: ignoredTarget).losses, "losses")
        #expect(likeliest == logits.argmax() && predictions.likeliest == likeliest)
    }

    @Test("Predictions of chosen positions are those rows of all predictions") func chosenPositions() throws {
        let positions: [Int32] = [0, 7, 39, 20, 7]
        for (predictions, logits) in all {
            let expected = logits.reshaped([40, 31]).taking(TokenTensor(positions))
            let chosen = predictions.taking(positions)
            expectAgreement(chosen.logits, expected, "logits")
            #expect(chosen.likeliest == expected.argmax() && chosen.likeliest.shape == [5])
            let targets = TokenTensor(positions.map { $0 % 31 })
            let (one, other) = (gradients(of: chosen.loss(targets)), gradients(of: crossEntropy(expected, targets)))
            expectAgreement(
                try #require(one[projection.weight]), try #require(other[projection.weight]), "gradient")
        }
    }

    @Test("A projection after a norm") func projectionAfterNorm() {
        expectAgreement(projection(x, after: norm), projection(norm(x)), "logits")
    }

    /// Sums of some 40 products, in different orders.
    private func expectAgreement(_ got: Tensor, _ expected: Tensor, _ what: String) {
        #expect(got.shape == expected.shape, "\(what)")
        expectClose(got.values, expected.values, terms: 40, what)
    }
}
