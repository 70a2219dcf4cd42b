import NN
import Tensors

/// A training on examples that a function makes, for tasks that bring data of their own instead of a text. It keeps nothing
/// on disk.
package struct ExampleTraining: Sendable {
    /// Steps, or minutes; epochs there are none.
    package var length: TrainingLength
    /// The learning rate by step.
    package var schedule: LearningRateSchedule
    /// The optimizer and its constants.
    package var optimizer = OptimizerOptions.adam()
    /// The greatest global norm of the gradients; nil for no limit.
    package var clip: Double?
    /// The random key of dropout.
    package var key: RandomKey

    /// Creates a training with Adam.
    package init(_ length: TrainingLength, _ schedule: LearningRateSchedule, clip: Double?, key: RandomKey) {
        (self.length, self.schedule, self.clip, self.key) = (length, schedule, clip, key)
    }

    /// The progress of a training, or its end.
    package struct Progress: Sendable {
        /// Steps made so far.
        package fileprivate(set) var steps = 0
        /// The time of the steps alone.
        package fileprivate(set) var seconds = 0.0
        /// Mean nats a target, of the last step.
        package fileprivate(set) var loss = Double.nan
        /// Ended before its time: asked to, or since a loss or gradient was no longer finite. The parameters are then those
        /// of the step before.
        package fileprivate(set) var isStopped = false
        /// True where it ended as a loss or gradient was not finite.
        package fileprivate(set) var isDiverged = false
    }

    /// The share of the training that is over, 0 to 1.
    package func share(_ progress: Progress) -> Double {
        switch length {
        case .steps(let steps): min(1, Double(progress.steps) / Double(max(steps, 1)))
        case .minutes(let minutes): min(1, progress.seconds / (minutes * 60))
        case .epochs: fatalError("ExampleTraining: epochs of no text")
        }
    }

    /// Trains the model until the end that `length` sets.
    /// - Parameters:
    ///   - batch: the examples of step k, counted from 0. Each batch begins anew.
    ///   - report: called after each step.
    ///   - stop: asked before each step.
    /// - Throws: `InputError` when the batches are none of the model's, or memory does not hold the training.
    package func train(
        _ model: some LanguageModel, batch: (Int) -> TokenBatch, report: (Progress) -> Void = { _ in },
        stop: () -> Bool = { false }
    ) throws -> Progress {
        var progress = Progress()
        try withoutActuallyEscaping(batch) { batch in
            // The run calls it on this thread alone, and ends before this does.
            nonisolated(unsafe) let make = batch
            let run = try makeRun(model, Batches { number, _ in make(number) })
            try train(run, &progress, report, stop)
        }
        return progress
    }

    private func makeRun<Model: LanguageModel>(
        _ model: Model, _ batches: Batches<TokenBatch>
    ) throws -> TrainingRun<Model> {
        let options = TrainingOptions(
            length: length, optimizer: optimizer, clip: clip, validateEvery: 0, sampleEvery: 0, saveEvery: 0)
        let task = try LanguageTask(model, .batches(batches, validation: []), ByteTokenizer(), options)
        return try TrainingRun(
            task, options: options, origin: RunOrigin(), key: key, schedule: schedule, in: { nil })
    }

    private func train(
        _ run: TrainingRun<some LanguageModel>, _ progress: inout Progress, _ report: (Progress) -> Void,
        _ stop: () -> Bool
    ) throws {
        do {
            try run.train(
                report: { event in
                    switch event {
                    case .step(let metrics, _):
                        (progress.steps, progress.loss, progress.seconds) = (metrics.step, metrics.loss, run.seconds)
                        report(progress)
                    case .interrupted: progress.isStopped = true
                    default: break
                    }
                }, stop: stop)
        } catch let fault as TrainingFault where fault.kind == .notFinite {
            progress.isDiverged = true
        }
    }
}

extension LanguageModel {
    /// One step on one batch that begins anew: forward, backward, clipping, and the optimizer's update.
    /// - Parameter key: the step's, for dropout.
    /// - Returns: nil where the loss or the gradients are not finite; nothing is updated then.
    package func makeStep(
        on batch: TokenBatch, _ optimizer: Optimizer, learningRate: Double, clip: Double?, key: RandomKey
    ) -> (loss: Double, forwardSeconds: Double)? {
        var carries: [Carry?] = []
        let step = stepGradients(of: [batch], carries: &carries, key: key)
        let norm = optimizer.globalNorm(of: step.gradients)
        guard step.loss.isFinite, norm.isFinite else { return nil }
        optimizer.update(
            step.gradients, learningRate: learningRate, scale: Optimizer.clippingScale(norm: norm, limit: clip))
        return (step.loss, step.forwardSeconds)
    }
}
