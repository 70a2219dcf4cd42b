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

    /// The learning rate of every step.
    /// - Throws: `InputError` that names the option that does not fit.
    func makeSchedule(totalSteps: Int?) throws -> LearningRateSchedule {
        try LearningRateSchedule(
            schedule, peak: learningRate, warmupSteps: warmupSteps, totalSteps: totalSteps, floor: learningRateFloor)
    }

    /// - Throws: `InputError` that names the first option that is out of range.
    public func validate() throws {
        for number in Self.wholeNumbers { try number.check(self[keyPath: number.path]) }
        let tokens = tokensPerStep
        guard tokens <= Self.mostTokensPerStep else {
            throw InputError(
                "--batch-size \(batchSize) times --sequence-length \(sequenceLength) times --accumulate \(accumulate):"
                    + " expected at most \(Self.mostTokensPerStep) tokens in a step, found"
                    + " \(tokens == .max ? "more" : "\(tokens)")")
        }
        func check(_ option: String, _ value: Double, isValid: Bool, expected: String) throws {
            if !isValid { throw InputError("--\(option): expected a number \(expected), found \(value)") }
        }
        switch length {
        case .steps(let steps): try WholeNumber.check("steps", steps, in: 1...Self.mostSteps)
        case .epochs(let epochs):
            try check(
                "epochs", epochs, isValid: epochs > 0 && epochs <= 1e9,
                expected: epochs > 1e9 ? "of at most 1e9" : "above 0")
        case .minutes(let minutes):
            try check(
                "minutes", minutes, isValid: minutes > 0 && minutes <= 1e9,
                expected: minutes > 1e9 ? "of at most 1e9" : "above 0")
        }
        if let clip {
            try check(
                "clip", clip, isValid: clip > 0 && clip <= 1e30, expected: clip > 1e30 ? "of at most 1e30" : "above 0")
        }
        if let share = validationShare {
            try check(
                "validation-share", share, isValid: share > 0 && share <= 1, expected: "above 0 and at most 1")
        }
        try optimizer.validate()
    }
}

// MARK: Ranges

extension TrainingOptions {
    /// The greatest number of steps, and of steps between two of something: a million years of them.
    public static let mostSteps = 1 << 40
    /// The greatest number of tokens in a step: their numbers alone take 16 GB.
    public static let mostTokensPerStep = 1 << 31

    /// Tokens in a step; `Int.max` where that is too small.
    var tokensPerStep: Int { Int.clampedProduct([accumulate, batchSize, sequenceLength]) }

    /// An option that is a whole number, with its names on the command line and in config.json.
    struct WholeNumber: Sendable {
        let option: String
        let key: String
        let path: WritableKeyPath<TrainingOptions, Int> & Sendable
        let range: ClosedRange<Int>

        func check(_ value: Int) throws { try Self.check(option, value, in: range) }

        /// - Throws: `InputError` that names the option.
        static func check(_ option: String, _ value: Int, in range: ClosedRange<Int>) throws {
            guard !range.contains(value) else { return }
            let bound = value < range.lowerBound ? "at least \(range.lowerBound)" : "at most \(range.upperBound)"
            throw InputError("--\(option): expected a whole number of \(bound), found \(value)")
        }
    }

    static let wholeNumbers = [
        WholeNumber(option: "sequence-length", key: "sequence_length", path: \.sequenceLength, range: 1...1 << 30),
        WholeNumber(option: "batch-size", key: "batch_size", path: \.batchSize, range: 1...1 << 24),
        WholeNumber(option: "accumulate", key: "accumulate", path: \.accumulate, range: 1...1 << 20),
        WholeNumber(option: "warmup", key: "warmup", path: \.warmupSteps, range: 0...mostSteps),
        WholeNumber(option: "validate-every", key: "validate_every", path: \.validateEvery, range: 0...mostSteps),
        WholeNumber(option: "sample-every", key: "sample_every", path: \.sampleEvery, range: 0...mostSteps),
        WholeNumber(option: "sample-length", key: "sample_length", path: \.sampleLength, range: 1...1 << 30),
        WholeNumber(option: "save-every", key: "save_every", path: \.saveEvery, range: 0...mostSteps),
        WholeNumber(option: "keep", key: "keep_checkpoints", path: \.keepCheckpoints, range: 1...1 << 30),
    ]
}
