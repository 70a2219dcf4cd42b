import ModelZoo

// The options of `Train` applied to those of a preset.

extension TrainCommand {
    /// The options of a preset with those that were given in their place.
    func apply(to preset: TrainingOptions) throws -> TrainingOptions {
        var options = preset
        if let optimizer { options.optimizer = try Self.optimizer(optimizer) }
        func set<Value>(_ path: WritableKeyPath<TrainingOptions, Value>, _ value: Value?) {
            if let value { options[keyPath: path] = value }
        }
        set(\.objective, try objective.map { try option("--objective", $0) })
        set(\.order, try order.map { try option("--order", $0) })
        set(\.sequenceLength, sequenceLength)
        set(\.batchSize, batchSize)
        set(\.accumulate, accumulate)
        set(\.length, try length())
        set(\.learningRate, learningRate)
        set(\.schedule, try schedule.map { try option("--schedule", $0) })
        set(\.warmupSteps, warmup)
        set(\.learningRateFloor, learningRateFloor)
        set(\.optimizer.weightDecay, weightDecay)
        set(\.optimizer.beta1, beta1)
        set(\.optimizer.beta2, beta2)
        set(\.optimizer.momentum, momentum)
        set(\.optimizer.scalesByParameter, parameterScaled ? true : nil)
        if let clip { options.clip = clip == 0 ? nil : clip }
        set(\.seed, seed)
        if let dropout, !(dropout >= 0 && dropout < 1) {
            throw InputError("--dropout: expected a number of at least 0 and below 1, found \(dropout)")
        }
        applyIntervals(to: &options)
        if schedule == nil, warmup == nil { Self.fitSchedule(of: &options) }
        try refuseWithoutEffect(options)
        return options
    }

    /// - Throws: `InputError` that names an option of another optimizer or schedule, or of another way to validate.
    private func refuseWithoutEffect(_ options: TrainingOptions) throws {
        let kind = options.optimizer.kind
        if kind != .sgd {
            try refuse(
                [("--momentum", momentum != nil)], "expected only with --optimizer sgd; it is \(kind.rawValue)")
        }
        if kind != .adam && kind != .adamW {
            try refuse(
                [("--beta1", beta1 != nil), ("--beta2", beta2 != nil), ("--parameter-scaled", parameterScaled)],
                "expected only with --optimizer adam or adamw; it is \(kind.rawValue)")
        }
        if options.schedule != .cosine {
            try refuse(
                [("--learning-rate-floor", learningRateFloor != nil)],
                "expected only with --schedule cosine; it is \(options.schedule.rawValue)")
        }
        if validation != nil {
            try refuse(
                [("--validation-fraction", validationFraction != nil)],
                "cannot be combined with --validation, which nothing is held back for")
        }
    }

    /// A preset's schedule gives way to a length that it was not made for.
    private static func fitSchedule(of options: inout TrainingOptions) {
        switch options.length {
        case .steps(let steps) where options.warmupSteps >= steps: options.warmupSteps = 0
        // How many steps they are is known with the text only.
        case .epochs where options.schedule == .cosine: (options.schedule, options.warmupSteps) = (.constant, 0)
        case .minutes where options.schedule == .cosine: options.schedule = .constant
        default: break
        }
    }

    /// An optimizer with torch's defaults.
    private static func optimizer(_ name: String) throws -> OptimizerOptions {
        switch try option("--optimizer", name) as OptimizerOptions.Kind {
        case .adam: .adam()
        case .adamW: .adamW()
        case .sgd: .sgd()
        case .adafactor: .adafactor()
        }
    }

    func applyIntervals(to options: inout TrainingOptions) {
        if let validateEvery { options.validateEvery = validateEvery }
        if let validationShare { options.validationShare = validationShare }
        if let sampleEvery { options.sampleEvery = sampleEvery }
        if let sampleLength { options.sampleLength = sampleLength }
        if let saveEvery { options.saveEvery = saveEvery }
        if let keep { options.keepCheckpoints = keep }
    }

    /// - Throws: `InputError` that names the option when it says no such separator.
    func separator() throws -> DocumentSeparator {
        let text = documents ?? DocumentSeparator.nothing.description
        guard let separator = DocumentSeparator(text) else {
            throw InputError("--documents: expected \(DocumentSeparator.expectedText), found \(JSONValue.quoted(text))")
        }
        return separator
    }

    func length() throws -> TrainingLength? {
        let given = [("--steps", steps != nil), ("--epochs", epochs != nil), ("--minutes", minutes != nil)].filter(\.1)
        guard given.count <= 1 else {
            throw InputError("\(given[1].0): cannot be combined with \(given[0].0); expected one of the two")
        }
        return steps.map { .steps($0) } ?? epochs.map { .epochs($0) } ?? minutes.map { .minutes($0) }
    }
}
