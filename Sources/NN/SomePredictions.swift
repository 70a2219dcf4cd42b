import Foundation
import Tensors

/// Predictions of some positions; the others have logits of zeros, which is as good as guessing. An encoder–decoder predicts
/// nothing of its source.
struct SomePredictions: Sendable {
    /// One for each of the positions, in their order.
    let predictions: Predictions
    /// Rising, counted through `shape`.
    let positions: [Int]
    let shape: [Int]

    init(_ predictions: Predictions, at positions: [Int], of shape: [Int]) {
        let count = shape.reduce(1, *)
        require(
            zip(positions, positions.dropFirst()).allSatisfy { $0 < $1 }
                && positions.allSatisfy { (0..<count).contains($0) },
            "Predictions: \(positions.count) positions of \(shape); expected rising ones below \(count)")
        (self.predictions, self.positions, self.shape) = (predictions, positions, shape)
    }

    /// [..., vocabulary]
    var logits: Tensor {
        let vocabulary = predictions.vocabularySize
        let rows = concatenate([predictions.logits.reshaped([positions.count, vocabulary]), .zeros([1, vocabulary])])
        var places = [Int32](repeating: Int32(positions.count), count: shape.reduce(1, *))  // the row of zeros
        for (row, position) in positions.enumerated() { places[position] = Int32(row) }
        return embedding(rows, TokenTensor(places, shape: shape))
    }

    /// The mean cross-entropy. A target elsewhere costs log(vocabulary).
    func loss(_ targets: TokenTensor, ignoreIndex: Int32) -> Tensor {
        let own = taking(targets)
        func count(_ values: [Int32]) -> Int { values.count { $0 != ignoreIndex } }
        let (counted, others) = (count(own.values), count(targets.values) - count(own.values))
        let loss = predictions.loss(own, ignoreIndex: ignoreIndex)
        if others == 0 { return loss }
        let guesses = Float(others) * log(Float(predictions.vocabularySize))
        return (loss * Float(counted) + guesses) * (1 / Float(counted + others))
    }

    /// The cross-entropy of each target, 0 where it is `ignoreIndex`, and the likeliest tokens: the first where all are alike.
    func tokenLosses(_ targets: TokenTensor, ignoreIndex: Int32) -> (losses: Tensor, likeliest: TokenTensor) {
        let own = predictions.tokenLosses(taking(targets), ignoreIndex: ignoreIndex)
        let guess = log(Float(predictions.vocabularySize))
        var losses = targets.values.map { $0 == ignoreIndex ? 0 : guess }
        var likeliest = [Int32](repeating: 0, count: targets.count)
        for (position, (loss, token)) in zip(positions, zip(own.losses.values, own.likeliest.values)) {
            (losses[position], likeliest[position]) = (loss, token)
        }
        return (Tensor(losses, shape: shape), TokenTensor(likeliest, shape: shape))
    }

    /// The targets of the positions.
    private func taking(_ targets: TokenTensor) -> TokenTensor {
        require(targets.shape == shape, "Predictions: targets \(targets.shape), expected \(shape)")
        return TokenTensor(positions.map { targets.values[$0] }, shape: [positions.count])
    }
}
