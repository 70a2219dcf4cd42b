import ModelZoo

// The options of `Train` applied to those of a preset.

extension Train {
    /// All changes to a preset's options, in the order in which they are made.
    var settings: [TrainingSetting] {
        textOptions.settings + stepOptions.settings + optimizerOptions.settings + progressOptions.settings
            + [TrainingSetting("--seed", seed, \.seed)]
    }

    /// The options of a preset with those that were given in their place.
    func options(from preset: TrainingOptions) throws -> TrainingOptions {
        var options = preset
        for setting in settings { try setting.apply(&options) }
        if let length = try stepOptions.length() { options.length = length }
        if let dropout = stepOptions.dropout, !(dropout >= 0 && dropout < 1) {
            throw InputError("--dropout: expected a number of at least 0 and below 1, found \(dropout)")
        }
        if optimizerOptions.schedule == nil, optimizerOptions.warmup == nil { Self.fitSchedule(of: &options) }
        try refuseWithoutEffect(options)
        return options
    }

    /// - Throws: `InputError` that names an option of another optimizer or schedule, or of another way to validate.
    private func refuseWithoutEffect(_ options: TrainingOptions) throws {
        let (kind, given) = (options.optimizer.kind, optimizerOptions)
        if kind != .sgd {
            try refuse(
                [("--momentum", given.momentum != nil)], "expected only with --optimizer sgd; it is \(kind.rawValue)")
        }
        if kind != .adam && kind != .adamW {
            try refuse(
                [
                    ("--beta1", given.beta1 != nil), ("--beta2", given.beta2 != nil),
                    ("--parameter-scaled", given.parameterScaled),
                ], "expected only with --optimizer adam or adamw; it is \(kind.rawValue)")
        }
        if options.schedule != .cosine {
            try refuse(
                [("--learning-rate-floor", given.learningRateFloor != nil)],
                "expected only with --schedule cosine; it is \(options.schedule.rawValue)")
        }
        if textOptions.validation != nil {
            try refuse(
                [("--validation-fraction", textOptions.validationFraction != nil)],
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
}

extension TextOptions {
    /// - Throws: `InputError` that names the option when it says no such separator.
    func separator() throws -> DocumentSeparator {
        let text = documents ?? DocumentSeparator.nothing.description
        guard let separator = DocumentSeparator(text) else {
            throw InputError("--documents: expected \(DocumentSeparator.expectedText), found \(JSONValue.quoted(text))")
        }
        return separator
    }

    /// The built-in corpus, where no text is given.
    func corpus() throws -> CorpusOptions? {
        guard data.isEmpty else {
            try refuse(
                [("--corpus-length", corpusLength != nil), ("--corpus-seed", corpusSeed != nil)],
                "cannot be combined with --data, whose text it is then")
            return nil
        }
        try refuse(
            [
                ("--validation", validation != nil), ("--validation-fraction", validationFraction != nil),
                ("--documents", documents != nil),
            ], "expected only with --data; the built-in corpus has a validation text of its own")
        var corpus = CorpusOptions()
        if let corpusSeed { corpus.seed = corpusSeed }
        if let corpusLength {
            guard Corpus.lengths.contains(corpusLength) else {
                throw InputError(
                    "--corpus-length: expected a whole number from 1 to \(Corpus.lengths.upperBound), found"
                        + " \(corpusLength)")
            }
            corpus.length = corpusLength
        }
        return corpus
    }
}
