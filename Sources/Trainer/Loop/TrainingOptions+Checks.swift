import Tensors

extension TrainingOptions {
    /// The number of steps, where it is known before the training: not when it is limited by time.
    /// - Parameter batchesPerEpoch: how many batches have as many targets as the text.
    func totalSteps(batchesPerEpoch: Double) -> Int? {
        switch length {
        case .steps(let steps): steps
        case .minutes: nil
        case .epochs(let epochs): max(1, Int((epochs * batchesPerEpoch / Double(accumulate)).rounded(.up)))
        }
    }

    /// The learning rate of every step.
    /// - Throws: `InputError` that names the option that does not fit.
    func makeSchedule(totalSteps: Int?) throws -> LearningRateSchedule {
        try LearningRateSchedule(
            schedule, peak: learningRate, warmupSteps: warmupSteps, totalSteps: totalSteps, floor: learningRateFloor)
    }

    /// - Throws: `InputError` that names the first option that is out of range.
    public func validate() throws {
        for (option, value, least) in [
            ("sequence-length", sequenceLength, 1), ("batch-size", batchSize, 1), ("accumulate", accumulate, 1),
            ("validate-every", validateEvery, 0), ("sample-every", sampleEvery, 0), ("sample-length", sampleLength, 1),
            ("save-every", saveEvery, 0), ("keep", keepCheckpoints, 1),
        ] where value < least {
            throw InputError("--\(option): expected a whole number of at least \(least), found \(value)")
        }
        func check(_ option: String, _ value: Double, _ isValid: Bool, _ expected: String) throws {
            if !isValid { throw InputError("--\(option): expected a number \(expected), found \(value)") }
        }
        switch length {
        case .steps(let steps) where steps < 1:
            throw InputError("--steps: expected a whole number of at least 1, found \(steps)")
        case .epochs(let epochs): try check("epochs", epochs, epochs > 0 && epochs <= 1e9, "above 0")
        case .minutes(let minutes): try check("minutes", minutes, minutes > 0 && minutes.isFinite, "above 0")
        default: break
        }
        if let clip { try check("clip", clip, clip > 0, "above 0") }
        if let share = validationShare {
            try check("validation-share", share, share > 0 && share <= 1, "above 0 and at most 1")
        }
        try optimizer.validate()
    }
}
