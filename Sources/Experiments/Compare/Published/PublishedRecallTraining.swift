import Foundation
import ModelZoo

/// The progress of a cell's training.
struct PublishedRecallProgress: Codable, Equatable {
    /// Steps made.
    var steps = 0
    /// Seconds of the steps.
    var seconds = 0.0
    /// The tests after each epoch so far.
    var tests: [PublishedRecallOutcome.Test] = []
    /// Why no more steps can be made.
    var fault: String?
}

/// The training of a cell: AdamW with weight decay, the cosine of the epochs, a test after each of them, and an end at 99 %
/// of the answers.
struct PublishedRecallTraining {
    let cell: PublishedRecallCell
    let options: PublishedRecallOptions
    let examples: PublishedRecall.Examples
    /// The source of dropout.
    let key: RandomKey

    /// The callbacks of a training.
    struct Observer {
        /// Called after each step with the share of the training that is done, and its state in a few words.
        var progress: (_ share: Double, _ status: String) -> Void = { _, _ in }
        /// Asked before each step.
        var stop: () -> Bool = { false }
        /// Called with what it takes to resume: now and then, and before it stops.
        var save: (PublishedRecallProgress) throws -> Void = { _ in }
    }

    /// Seconds of training from one save to the next.
    private static let saveInterval = 60.0

    /// The learning rate of an epoch, counted from 0: PyTorch's CosineAnnealingLR down to 0.
    func learningRate(inEpoch epoch: Int) -> Double {
        cell.rate * (1 + cos(.pi * Double(epoch) / Double(options.epochs))) / 2
    }

    /// Trains until the end.
    /// - Parameter start: what was done before.
    /// - Returns: how far it came, and whether that is the end; it is not where it was stopped.
    func run<Model>(
        _ model: PublishedRecallModel<Model>, _ optimizer: Optimizer, from start: PublishedRecallProgress,
        _ observer: Observer
    ) throws -> (progress: PublishedRecallProgress, isOver: Bool) {
        var (progress, saved) = (start, start.seconds)
        while true {
            if progress.tests.count < progress.steps / examples.batches {
                progress.tests.append(test(model))
                try observer.save(progress)
                saved = progress.seconds
            }
            if isOver(progress) { return (progress, true) }
            if observer.stop() {
                try observer.save(progress)
                return (progress, false)
            }
            let loss = step(model, optimizer, &progress)
            observer.progress(share(progress), status(progress, loss))
            if progress.seconds - saved > Self.saveInterval {
                try observer.save(progress)
                saved = progress.seconds
            }
        }
    }

    private func isOver(_ progress: PublishedRecallProgress) -> Bool {
        progress.fault != nil || progress.tests.count >= options.epochs
            || progress.tests.last.map { $0.share >= PublishedRecallOptions.solved } ?? false
    }

    /// - Returns: the loss; nil where the training diverged.
    private func step<Model>(
        _ model: PublishedRecallModel<Model>, _ optimizer: Optimizer, _ progress: inout PublishedRecallProgress
    ) -> Double? {
        let start = ContinuousClock.now
        let loss = model.step(
            batch(progress.steps), optimizer,
            learningRate: learningRate(inEpoch: progress.steps / examples.batches), key: key.child(progress.steps))
        progress.seconds += (ContinuousClock.now - start) / .seconds(1)
        if loss == nil {
            progress.fault = "diverged after step \(progress.steps)"
        } else {
            progress.steps += 1
        }
        return loss
    }

    /// The batch of a step, counted from 0.
    func batch(_ step: Int) -> TokenBatch {
        let (epoch, index) = step.quotientAndRemainder(dividingBy: examples.batches)
        let size = examples.task.batchSize
        let order = examples.order(inEpoch: epoch)
        return TokenBatch(order[index * size..<min((index + 1) * size, order.count)].map(examples.training))
    }

    private func test<Model>(_ model: PublishedRecallModel<Model>) -> PublishedRecallOutcome.Test {
        var sum = PublishedRecallOutcome.Test(asked: 0, found: 0, loss: 0)
        let size = examples.task.batchSize
        for first in stride(from: 0, to: examples.testCount, by: size) {
            let part = model.test((first..<min(first + size, examples.testCount)).map(examples.test))
            sum.loss += part.loss * Double(part.asked)
            sum.asked += part.asked
            sum.found += part.found
        }
        sum.loss /= Double(max(sum.asked, 1))
        return sum
    }

    private func share(_ progress: PublishedRecallProgress) -> Double {
        Double(progress.steps) / Double(options.epochs * examples.batches)
    }

    private func status(_ progress: PublishedRecallProgress, _ loss: Double?) -> String {
        let test = progress.tests.last.map { String(format: "  %.1f %% found", 100 * $0.share) } ?? ""
        return String(format: "epoch %d  loss %.4f", progress.steps / examples.batches + 1, loss ?? .nan) + test
    }
}
