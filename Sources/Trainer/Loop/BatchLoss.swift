import NN
import Tensors

/// The loss of a batch, as a training minimizes it.
public struct BatchLoss: Sendable {
    /// The mean loss of the batch's examples, of one element.
    public var mean: Tensor
    /// The number of examples that it is the mean of, by which batches of one step are weighted.
    public var count: Int
    /// Anything else worth a look, for the metrics; averaged over examples as the loss is.
    public var metrics: [String: Double]

    /// Creates the loss of a batch.
    /// - Parameters:
    ///   - mean: the mean loss, of one element.
    ///   - count: the number of examples; 1 will do where all batches have equally many.
    public init(_ mean: Tensor, count: Int = 1, metrics: [String: Double] = [:]) {
        require(mean.count == 1, "BatchLoss: a loss of shape \(mean.shape); expected one element")
        require(count >= 1, "BatchLoss: \(count) examples; expected at least 1")
        (self.mean, self.count, self.metrics) = (mean, count, metrics)
    }
}
