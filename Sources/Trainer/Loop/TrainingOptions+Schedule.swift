import NN
import Tensors

extension TrainingOptions {
    /// The number of steps, where it is known before the training: not when it is limited by time.
    /// - Parameter batchesPerEpoch: how many batches have as many targets as the text.
    package func totalSteps(batchesPerEpoch: Double) -> Int? {
        switch length {
        case .steps(let steps): steps
        case .minutes: nil
        case .epochs(let epochs):
            // More than the most would not end either.
            max(1, Int(min((epochs * batchesPerEpoch / Double(accumulate)).rounded(.up), Double(Self.mostSteps))))
        }
    }

    /// The same for what is trained.
    /// - Throws: `OptionError` for epochs of batches that have no end.
    func totalSteps(of task: any TrainingTask) throws -> Int? {
        guard let batches = task.batchesPerEpoch else {
            guard case .epochs = length else { return totalSteps(batchesPerEpoch: .infinity) }
            throw OptionError(
                "length.epochs",
                "the batches have no end; expected \(option: "length.steps") or \(option: "length.minutes")")
        }
        return totalSteps(batchesPerEpoch: batches)
    }

    /// - Throws: `OptionError` when a group has none of the model's parameters.
    func requireGroups(of model: some Module) throws {
        let keys = model.trainable.map(\.key)
        for group in groups where !keys.contains(where: group.contains) {
            let example = nearest(group.pattern, in: keys) ?? keys.first ?? "none"
            throw OptionError(
                "groups",
                """
                \(JSONValue.quoted(group.pattern)): expected a pattern that matches parameters that are trained, such as \
                \(JSONValue.quoted(example))
                """)
        }
    }

    /// - Throws: `OptionError` when training shall stop for want of better validations, and there are none.
    func requireValidation(of task: any TrainingTask) throws {
        guard patience != nil, !task.hasValidation || validateEvery == 0 else { return }
        throw OptionError(
            "patience",
            task.hasValidation
                ? "needs validations in between; expected \(option: "validateEvery") of at least 1"
                : "needs something held back to validate with, found nothing")
    }

    /// The learning rate of every step.
    /// - Throws: `OptionError`.
    func makeSchedule(totalSteps: Int?) throws -> LearningRateSchedule {
        if schedule == .cosine, totalSteps == nil {
            throw OptionError(
                "schedule", is: schedule.rawValue,
                "needs to know the number of steps; expected \(option: "length.steps") or \(option: "length.epochs")")
        }
        do {
            return try LearningRateSchedule(
                schedule, peak: learningRate, warmupSteps: warmupSteps, totalSteps: totalSteps,
                floor: learningRateFloor)
        } catch let error as OptionError {
            let names = ["peak": "learningRate", "floor": "learningRateFloor", "shape": "schedule"]
            throw error.renamed { names[$0] ?? $0 }
        }
    }
}
