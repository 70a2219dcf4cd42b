import Tensors
import Trainer

/// The options of training and judging cells; the defaults are those of the authors' code.
package struct RetrievalOptions: Sendable, Hashable {
    /// Steps to make at most.
    package var steps = 100_000
    /// Sequences in a batch.
    package var batchSize = 32
    /// The learning rate of Adam.
    package var learningRate = 1e-3
    /// The seed of parameters and sequences.
    package var seed: UInt64 = 0
    /// True if the second setting is judged on sequences as long as those of training, 2 S pairs. The authors' code
    /// takes S pairs there, drawn with replacement as well.
    package var judgesFullLength = false

    /// The greatest values of two of them.
    static let mostSteps = TrainingOptions.mostSteps, mostBatchSize = 1 << 24

    /// Steps from one evaluation to the next.
    static let evaluationInterval = 100
    /// Sequences in an evaluation.
    static let evaluationSequences = 20
    /// The loss at which a task counts as solved.
    package static let target = 1e-3
    /// Patience: evaluations without improvement before training stops.
    static let patience = 10

    /// Creates the options of the authors' code.
    package init() {}
}

/// One task for one memory: a point of a curve.
package struct RetrievalCell: Sendable, Hashable {
    /// The task.
    package let task: RetrievalTask
    /// The memory that learns it.
    package let memory: RetrievalMemory

    /// Creates the cell of a task and a memory.
    package init(_ task: RetrievalTask, _ memory: RetrievalMemory) { (self.task, self.memory) = (task, memory) }
}

/// The outcome of a cell.
package struct RetrievalOutcome: Sendable, Hashable {
    /// The reason why its training ended.
    package enum End: String, CaseIterable, Sendable {
        /// The loss is 1e-3 or less.
        case solved
        /// More than 10 evaluations in a row have brought no progress.
        case stalled
        /// All steps have been made.
        case steps
        /// The loss is no number any more.
        case diverged
    }

    /// The cell.
    package let cell: RetrievalCell
    /// The evaluations: the step after which each was made, and its loss.
    package let evaluations: [Evaluation]
    /// The reason why the training ended.
    package let end: End
    /// The time it took, to a thousandth.
    package let seconds: Double

    /// The loss after a step.
    package struct Evaluation: Sendable, Hashable {
        /// The step.
        package let step: Int
        /// The mean loss over the sequences of an evaluation.
        package let loss: Double

        /// Creates the evaluation after a step.
        package init(step: Int, loss: Double) { (self.step, self.loss) = (step, loss) }
    }

    /// Creates the outcome of a cell.
    package init(_ cell: RetrievalCell, _ evaluations: [Evaluation], _ end: End, seconds: Double) {
        (self.cell, self.evaluations, self.end) = (cell, evaluations, end)
        self.seconds = (seconds * 1000).rounded() / 1000
    }

    /// The least loss of all evaluations; nil where it has never been a number.
    package var loss: Double? { evaluations.map(\.loss).filter(\.isFinite).min() }
    /// The steps that were made.
    package var steps: Int { evaluations.last?.step ?? 0 }
}

extension RetrievalCell {
    /// Trains the memory for the task: Adam, fresh sequences every step. The same options and thread count give the same
    /// outcome but for the time; the sequences are the same for every memory.
    /// - Parameters:
    ///   - report: called with every evaluation.
    ///   - stop: asked before each step.
    /// - Returns: nil where it was stopped.
    package func train(
        _ options: RetrievalOptions, report: ([RetrievalOutcome.Evaluation]) -> Void = { _ in },
        stop: () -> Bool = { false }
    ) -> RetrievalOutcome? {
        let clock = ContinuousClock()
        let start = clock.now
        let key = RandomKey(seed: options.seed).child(task.setting.rawValue).child(task.keys)
        let model = RetrievalModel(task, memory, key: key.child(0))
        let optimizer = Optimizer(model.trainable, .adam())
        var evaluations: [RetrievalOutcome.Evaluation] = []
        var progress = Progress()
        func outcome(_ end: RetrievalOutcome.End) -> RetrievalOutcome {
            RetrievalOutcome(self, evaluations, end, seconds: (clock.now - start) / .seconds(1))
        }
        for step in 1...max(options.steps, 1) {
            if stop() { return nil }
            let batch = task.trainingBatch(options.batchSize, key: key.child(1).child(step))
            let loss = model.loss(batch, key: key.child(2).child(step))
            optimizer.update(gradients(of: loss), learningRate: options.learningRate)
            guard step % RetrievalOptions.evaluationInterval == 0 || step == options.steps else { continue }
            evaluations.append(.init(step: step, loss: evaluate(model, options, key: key.child(3).child(step))))
            report(evaluations)
            if let end = progress.end(after: evaluations.last!.loss) { return outcome(end) }
        }
        return outcome(.steps)
    }

    /// The mean loss over all queries of some new sequences.
    func evaluate(_ model: RetrievalModel, _ options: RetrievalOptions, key: RandomKey) -> Double {
        let length = options.judgesFullLength ? task.pairs : task.keys
        var (sum, count) = (0.0, 0)
        for index in 0..<RetrievalOptions.evaluationSequences {
            let batch = task.evaluationSequence(of: length, key: key.child(index).child(0))
            let loss = withoutGradients { model.loss(batch, key: key.child(index).child(1)).item }
            sum += Double(loss) * Double(batch.targets.count)
            count += batch.targets.count
        }
        return sum / Double(count)
    }
}

/// The recent progress of a loss, to tell whether it still falls.
private struct Progress {
    private var best = Double.infinity
    private var strikes = 0

    /// Returns the reason to end after an evaluation; nil to continue.
    mutating func end(after loss: Double) -> RetrievalOutcome.End? {
        if !loss.isFinite { return .diverged }
        if loss < best {
            (best, strikes) = (loss, 0)
        } else {
            strikes += 1
        }
        return loss <= RetrievalOptions.target ? .solved : strikes > RetrievalOptions.patience ? .stalled : nil
    }
}
