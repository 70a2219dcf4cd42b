import Foundation

/// `Train`: what its options say, put together and run. Options that are nil were not given.
public struct TrainCommand: Sendable {
    public var model: String?
    public var preset: String?
    public var config: String?
    public var data: [String] = []
    public var validation: String?
    public var validationFraction: Double?
    public var tokenizer: String?
    public var sequenceLength: Int?
    public var batchSize: Int?
    public var accumulate: Int?
    public var steps: Int?
    public var epochs: Double?
    public var minutes: Double?
    public var optimizer: String?
    public var learningRate: Double?
    public var schedule: String?
    public var warmup: Int?
    public var learningRateFloor: Double?
    public var weightDecay: Double?
    public var beta1: Double?
    public var beta2: Double?
    public var momentum: Double?
    /// 0 for no clipping.
    public var clip: Double?
    public var dropout: Double?
    public var validateEvery: Int?
    public var validationShare: Double?
    public var sampleEvery: Int?
    public var sampleLength: Int?
    public var saveEvery: Int?
    public var seed: UInt64?
    public var threads: Int?
    public var out: String?
    public var resume: String?
    public var json = false

    public init() {}

    /// Trains, or goes on with a run.
    /// - Parameters:
    ///   - print: is given what is for standard output: lines for people, or with `json` one line of JSON a step.
    ///   - stop: asked after each step whether to save and stop.
    /// - Throws: `InputError` in one line.
    public func run(print: (String) -> Void, stop: () -> Bool = { Interrupt.isWanted }) throws {
        try useThreads(threads)
        if let resume {
            try goOn(RunFolder(path: resume), print, stop)
        } else {
            try begin(print, stop)
        }
    }

    private func train(
        _ run: TrainingRun<some LanguageModel>, _ print: (String) -> Void, _ stop: () -> Bool
    ) throws {
        var printer = ProgressPrinter()
        try run.train(
            report: { event in
                if let text = json ? event.jsonLine : printer.text(for: event) { print(text) }
            }, stop: stop)
    }
}

// MARK: A new run

extension TrainCommand {
    private static let presetUnlessGiven = "small"

    private func begin(_ print: (String) -> Void, _ stop: () -> Bool) throws {
        guard let model else {
            throw InputError("--model is missing; expected one of \(ModelZoo.identifiers.joined(separator: ", "))")
        }
        let architecture = try ModelZoo.architecture(model)
        let presetName = preset ?? Self.presetUnlessGiven
        let preset = try architecture.preset(presetName)
        let file = config ?? "preset \(presetName)"
        let given = try config.map { try JSONValue(path: $0) } ?? preset.configuration
        let options = try apply(to: preset.training)
        try options.validate()

        guard !data.isEmpty else { throw InputError("--data is missing; expected a text: files or folders") }
        let text = try TextSource(paths: data)
        let validationText = try validation.map { try TextSource(path: $0) }
        let kind: TokenizerKind = try option("--tokenizer", tokenizer ?? TokenizerKind.bytes.rawValue)
        let tokenizer = try kind.makeTokenizer(learningFrom: [text] + (validationText.map { [$0] } ?? []))
        let split = try makeSplit(
            tokenizer, text, validationText, fraction: validationFraction ?? 0.1, sequenceLength: options.sequenceLength
        )

        let configuration = architecture.configuration(
            try architecture.fitting(given, file: file, to: tokenizer), sequenceLength: options.sequenceLength,
            dropout: dropout)
        let made = try architecture.makeModel(
            configuration, file: file, key: RandomKey(seed: options.seed).child(-1))  // steps count from 0
        let origin = RunOrigin(
            model: model, configuration: configuration, data: data.map(\.absolutePath),
            validation: validation?.absolutePath, validationFraction: validationFraction ?? 0.1)
        try begin(made, split, tokenizer, options, origin, print, stop)
    }

    private func begin(
        _ model: some LanguageModel, _ split: DataSplit, _ tokenizer: any Tokenizer, _ options: TrainingOptions,
        _ origin: RunOrigin, _ print: (String) -> Void, _ stop: () -> Bool
    ) throws {
        let run = try TrainingRun(
            model, on: split, tokenizer: tokenizer, options: options, folder: out ?? Self.freeFolder(origin.model),
            origin: origin)
        try train(run, print, stop)
    }

    /// runs/MODEL-1, or the first number that is free.
    private static func freeFolder(_ model: String) -> String {
        var number = 1
        while FileManager.default.fileExists(atPath: "runs/\(model)-\(number)") { number += 1 }
        return "runs/\(model)-\(number)"
    }

    /// The options of a preset with those that were given in their place.
    private func apply(to preset: TrainingOptions) throws -> TrainingOptions {
        var options = preset
        if let optimizer { options.optimizer = try Self.optimizer(optimizer) }
        func set<Value>(_ path: WritableKeyPath<TrainingOptions, Value>, _ value: Value?) {
            if let value { options[keyPath: path] = value }
        }
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
        if let clip { options.clip = clip == 0 ? nil : clip }
        set(\.seed, seed)
        if let dropout, !(dropout >= 0 && dropout < 1) {
            throw InputError("--dropout: expected a number of at least 0 and below 1, found \(dropout)")
        }
        applyIntervals(to: &options)
        return options
    }

    /// An optimiser with torch's defaults.
    private static func optimizer(_ name: String) throws -> OptimizerOptions {
        switch try option("--optimizer", name) as OptimizerOptions.Kind {
        case .adam: .adam()
        case .adamW: .adamW()
        case .sgd: .sgd()
        }
    }

    private func applyIntervals(to options: inout TrainingOptions) {
        if let validateEvery { options.validateEvery = validateEvery }
        if let validationShare { options.validationShare = validationShare }
        if let sampleEvery { options.sampleEvery = sampleEvery }
        if let sampleLength { options.sampleLength = sampleLength }
        if let saveEvery { options.saveEvery = saveEvery }
    }

    private func length() throws -> TrainingLength? {
        let given = [("--steps", steps != nil), ("--epochs", epochs != nil), ("--minutes", minutes != nil)].filter(\.1)
        guard given.count <= 1 else {
            throw InputError("\(given[1].0): cannot be combined with \(given[0].0); expected one of the two")
        }
        return steps.map { .steps($0) } ?? epochs.map { .epochs($0) } ?? minutes.map { .minutes($0) }
    }
}

private func makeSplit(
    _ tokenizer: any Tokenizer, _ text: TextSource, _ validation: TextSource?, fraction: Double, sequenceLength: Int
) throws -> DataSplit {
    let tokens = try tokenizer.tokens(of: text)
    guard let validation else {
        return try DataSplit(tokens, validationFraction: fraction, sequenceLength: sequenceLength)
    }
    return try DataSplit(
        training: tokens, validation: tokenizer.tokens(of: validation), sequenceLength: sequenceLength)
}

extension Architecture {
    /// The configuration with the vocabulary of a tokenizer; one that names a larger vocabulary itself keeps it.
    fileprivate func fitting(_ given: JSONValue, file: String, to tokenizer: any Tokenizer) throws -> JSONValue {
        let fitted = configuration(given, vocabularySize: tokenizer.vocabularySize)
        guard !file.hasPrefix("preset "), let before = given.objectValue, let after = fitted.objectValue else {
            return fitted
        }
        for (key, value) in after where before[key] != value {
            guard let explicit = before[key], explicit != .null else { continue }
            if let size = explicit.intValue, size < tokenizer.vocabularySize {
                throw InputError(
                    "\(file): \(JSONValue.quoted(key)): expected at least the \(tokenizer.vocabularySize) tokens of"
                        + " --tokenizer \(tokenizer.kind.rawValue), found \(size)")
            }
            return given
        }
        return fitted
    }
}

// MARK: Going on

extension TrainCommand {
    private func goOn(_ folder: RunFolder, _ print: (String) -> Void, _ stop: () -> Bool) throws {
        try refuse(
            [
                ("--model", model != nil), ("--preset", preset != nil), ("--config", config != nil),
                ("--tokenizer", tokenizer != nil), ("--validation-fraction", validationFraction != nil),
                ("--sequence-length", sequenceLength != nil), ("--batch-size", batchSize != nil),
                ("--accumulate", accumulate != nil), ("--optimizer", optimizer != nil),
                ("--learning-rate", learningRate != nil), ("--schedule", schedule != nil), ("--warmup", warmup != nil),
                ("--learning-rate-floor", learningRateFloor != nil), ("--weight-decay", weightDecay != nil),
                ("--beta1", beta1 != nil), ("--beta2", beta2 != nil), ("--momentum", momentum != nil),
                ("--clip", clip != nil), ("--dropout", dropout != nil), ("--seed", seed != nil), ("--out", out != nil),
            ], "cannot be combined with --resume, whose folder says it already")
        let saved = try folder.configuration()
        if threads == nil { Threads.count = saved.threads }
        let text = try TextSource(paths: data.isEmpty ? saved.origin.data : data)
        let validationText = try (validation ?? saved.origin.validation).map { try TextSource(path: $0) }
        let tokenizer = try folder.tokenizer()
        let split = try makeSplit(
            tokenizer, text, validationText, fraction: saved.origin.validationFraction,
            sequenceLength: saved.training.sequenceLength)
        try goOn(folder.makeModel(saved), folder, split, tokenizer, try length(), print, stop)
    }

    private func goOn(
        _ model: some LanguageModel, _ folder: RunFolder, _ split: DataSplit, _ tokenizer: any Tokenizer,
        _ length: TrainingLength?, _ print: (String) -> Void, _ stop: () -> Bool
    ) throws {
        let run = try TrainingRun(resuming: folder, model, on: split, tokenizer: tokenizer) { options in
            if let length { options.length = length }
            applyIntervals(to: &options)
        }
        guard !run.isFinished else {
            throw InputError(
                "\(folder.path): has finished with step \(run.step) already; expected a larger --steps, --epochs or"
                    + " --minutes, counted from the beginning of the run")
        }
        try train(run, print, stop)
    }
}
