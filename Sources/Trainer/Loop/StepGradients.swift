import NN
import Tensors

/// The gradients of the mean loss over all targets of a step's batches, and its value.
package struct StepGradients {
    /// The gradients by parameter.
    package fileprivate(set) var gradients = Gradients()
    /// Mean nats a target.
    package fileprivate(set) var loss = 0.0
    /// The time that forward passes took.
    package fileprivate(set) var forwardSeconds = 0.0
    /// The number of targets.
    let targets: Int
    /// Other metrics of the model, weighted like the loss.
    fileprivate(set) var metrics: [String: Double] = [:]
    /// The number of tokens of a text, or of examples, that the batches stand for.
    var read = 0
    /// The factor by which the gradients are those of the mean: it is known only after the last batch where each batch
    /// says itself how many examples it has.
    fileprivate(set) var scale = 1.0

    fileprivate init(targets: Int) { self.targets = targets }
}

extension LanguageModel {
    /// Runs forward and backward through the batches of a step, one after another, in segments where the model has a
    /// longest segment.
    /// - Parameters:
    ///   - batches: inputs and targets, with at least one target that counts.
    ///   - carries: what each row of the first batch continues, nil for rows that begin; each batch continues the one
    ///     before. Afterwards what the last batch has left. An empty list for batches that begin anew each.
    ///   - key: the step's, for dropout.
    package func stepGradients(of batches: [TokenBatch], carries: inout [Carry?], key: RandomKey)
        -> StepGradients
    {
        var result = StepGradients(targets: batches.reduce(0) { $0 + $1.targetCount })
        let continues = !carries.isEmpty
        for (part, batch) in batches.enumerated() {
            var rows = continues ? carries : batch.rowsWithoutCarry()
            for row in rows.indices where batch.startsDocument[row] { rows[row] = nil }
            let mode = ForwardMode.training(key.child(part))
            for (index, segment) in segments(of: batch.shape[1]).enumerated() {
                let (inputs, targets) = batch.columns(segment)
                let counted = targets.values.count { $0 != ignoredTarget }
                if counted == 0 {
                    // Nothing is hidden here, or every row's document has ended.
                    rows = withoutGradients { predictions(inputs, carries: rows, mode: mode.child(index)).carries }
                    continue
                }
                let clock = Stopwatch()
                let part = loss(inputs, targets, carries: rows, mode: mode.child(index))
                result.forwardSeconds += clock.seconds
                result.add(part.loss, part.metrics, share: Double(counted) / Double(result.targets))
                rows = part.carries
            }
            if continues { carries = rows }
        }
        return result
    }
}

extension Module {
    /// Runs forward and backward through the batches of a step, one after another, for a loss of the program's own.
    /// - Parameter key: the step's, for dropout.
    func stepGradients<Batch>(
        of batches: [Batch], key: RandomKey, loss: (Self, Batch, ForwardMode) throws -> BatchLoss
    ) rethrows -> StepGradients {
        var result = StepGradients(targets: 0)
        var first: Double?
        for (part, batch) in batches.enumerated() {
            let clock = Stopwatch()
            let part = try loss(self, batch, .training(key.child(part)))
            result.forwardSeconds += clock.seconds
            // Of batches of one size each has the share 1, which rounds nothing.
            let size = first ?? Double(part.count)
            first = size
            result.add(part.mean, part.metrics, share: Double(part.count) / size)
            result.read += part.count
        }
        result.scale = (first ?? 1) / Double(max(result.read, 1))
        result.loss *= result.scale
        result.metrics = result.metrics.mapValues { $0 * result.scale }
        return result
    }
}

extension StepGradients {
    fileprivate mutating func add(_ loss: Tensor, _ metrics: [String: Double], share: Double) {
        gradients.add(of: loss, share: share)
        self.loss += share * Double(loss.item)
        for (name, value) in metrics { self.metrics[name, default: 0] += share * value }
    }
}

extension Gradients {
    /// Adds a share of a loss's gradients; the loss's graph is gone then.
    mutating func add(of loss: Tensor, share: Double) {
        let seed = Tensor(repeating: Float(share), shape: loss.shape)
        let previous = self
        self = Gradients()  // one owner, so that the sums are made in place
        self = gradients(of: loss, seed: seed, addedTo: consume previous)
    }
}
