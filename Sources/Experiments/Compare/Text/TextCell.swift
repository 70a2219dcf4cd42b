import Foundation
import ModelZoo

/// One model on one text: trained like the others, validated on the way, then timed in generating.
struct TextCell {
    let text: ComparedText
    /// The architecture's id.
    let model: String
    /// The folder of its training run, an ordinary run folder from which it is resumed.
    let folder: String

    /// - Parameters:
    ///   - progress: called with the share of the training that is done, and its state in a few words.
    ///   - stop: asked after each step.
    /// - Returns: nil where it was stopped, and the run saved.
    func run(
        _ options: ComparisonOptions, progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) throws -> TextOutcome? {
        let (size, origin) = try made(options)
        let model = try architecture(options).makeModel(size, key: RandomKey(seed: options.seed).child(-1))
        return try train(model, size: size, origin: origin, options, progress: progress, stop: stop)
    }

    private func architecture(_ options: ComparisonOptions) throws -> any Architecture {
        try (options.settings ?? .init()).architecture(model)
    }

    /// The model's size, and where it comes from.
    private func made(_ options: ComparisonOptions) throws -> (ModelSize, RunOrigin) {
        let architecture = try architecture(options)
        let (size, _) = try architecture.fitting(options.size, parameters: options.parameters)
        var origin = text.origin
        (origin.model, origin.configuration) = (model, try architecture.configuration(size).json)
        return (size, origin)
    }

    /// - Throws: `InputError` where there is a run in the folder that was begun otherwise: with other options, for another
    ///   size, on another number of threads, whose steps take other times, or on a text that has changed since.
    func requireSame(_ options: ComparisonOptions) throws {
        guard isBegun else { return }
        let run = try RunFolder(path: folder)
        let saved = try run.configuration()
        try saved.requireSame(text.split, ByteTokenizer(), run)
        let (_, origin) = try made(options)
        let differs: String? =
            if saved.training != options.text.training(on: text.split, seed: options.seed) {
                "other options"
            } else if saved.origin.configuration != origin.configuration {
                "another configuration of the model"
            } else if saved.threads != Threads.count {
                "--threads \(saved.threads)"
            } else {
                nil
            }
        guard let differs else { return }
        throw InputError("\(folder): was begun with \(differs); expected the same, or another folder (--out)")
    }

    private var isBegun: Bool { FileManager.default.fileExists(atPath: folder + "/config.json") }

    private func train<Model: LanguageModel>(
        _ model: Model, size: ModelSize, origin: RunOrigin, _ options: ComparisonOptions,
        progress: (Double, String) -> Void, stop: () -> Bool
    ) throws -> TextOutcome? {
        let training = options.text.training(on: text.split, seed: options.seed)
        let end: (step: Int, tokens: Int, seconds: Double, isFinished: Bool)
        var fault: String?
        do {
            let run = try makeRun(model, origin, training)
            do {
                try run.train(report: { report($0, training.length, progress) }, stop: stop)
            } catch let error as TrainingFault where error.kind == .notFinite {
                fault = error.problem
            }
            end = (run.step, run.tokens, run.seconds, run.isFinished)
        }
        guard end.isFinished || fault != nil else { return nil }
        let lines = try MetricsLog.read(path: folder + "/metrics.jsonl")
        // The run, and with it the optimizer, is gone.
        progress(1, "memory and generation")
        let memory = fault == nil ? model.trainingMemory(training) : nil
        let prompt = options.text.generationPrompt
        let tokens = RandomKey(seed: options.seed).integers(prompt + TextOptions.generationLength + 1).map {
            Int32($0 % UInt64(model.vocabularySize))
        }
        let generation = model.generation(
            after: tokens.prefix(prompt), tokens: tokens.dropFirst(prompt), for: TextOptions.generationSeconds,
            stop: stop)
        guard let generation else { return nil }
        return TextOutcome(
            text: text.name, checksum: text.checksum, model: self.model, parameters: model.parameterCount,
            width: size.width, steps: end.step,
            tokens: end.tokens, seconds: lines.reduce(0) { $0 + $1.stepSeconds(of: training) },
            tokensPerSecond: lines.isEmpty ? 0 : median(lines.map(\.tokensPerSecond)),
            peakMegabytes: memory, generationTokensPerSecond: 1 / generation.seconds, generationPrompt: prompt,
            validations: TextOutcome.validations(lines, training), fault: fault)
    }

    /// The run in the folder, or a new one.
    private func makeRun<Model: LanguageModel>(_ model: Model, _ origin: RunOrigin, _ options: TrainingOptions) throws
        -> TrainingRun<Model>
    {
        guard isBegun else {
            return try TrainingRun(
                model, on: text.split, tokenizer: ByteTokenizer(), options: options, folder: folder, origin: origin,
                recording: { try RunReport($0).write() })
        }
        return try TrainingRun(
            resuming: RunFolder(path: folder), model, on: text.split, tokenizer: ByteTokenizer(),
            recording: { try RunReport($0).write() })
    }

    private func report(_ event: TrainingEvent, _ length: TrainingLength, _ progress: (Double, String) -> Void) {
        if case .warning(let text) = event { progress(0, text) }
        guard case .step(let metrics, _) = event else { return }
        let share =
            switch length {
            case .minutes(let minutes): metrics.seconds / (minutes * 60)
            case .steps(let steps): Double(metrics.step) / Double(steps)
            case .epochs: 0.0  // no comparison has any
            }
        progress(min(share, 1), "step \(metrics.step)" + String(format: "  %.3f bits/byte", metrics.bitsPerByte))
    }
}

extension TextOptions {
    /// Tokens that are timed in generating, again and again for so many seconds.
    static let generationLength = 64
    static let generationSeconds = 1.0

    /// Tokens that a validation reads at most.
    static let validationTokens = 1 << 16

    /// As much as leaves room in a window for what is generated.
    var generationPrompt: Int { max(1, sequenceLength - Self.generationLength - 1) }

    /// The same for every model: the same windows in the same order, and a constant learning rate, so that every moment is
    /// as good an end as any other.
    func training(on text: DataSplit, seed: UInt64) -> TrainingOptions {
        let held = Double(text.validation?.count ?? 0)
        return TrainingOptions(
            order: order, sequenceLength: sequenceLength, batchSize: batchSize,
            length: steps.map { .steps($0) } ?? .minutes(minutes ?? 0), learningRate: learningRate,
            schedule: .constant, warmupSteps: 50, clip: 0.5, validateEvery: validateEvery,
            validationShare: min(1, Double(Self.validationTokens) / max(held, 1)), sampleEvery: 0,
            saveEvery: validateEvery, seed: seed)
    }
}

extension TextOutcome {
    /// The validations of a run's metrics.
    static func validations(_ lines: [StepMetrics], _ options: TrainingOptions) -> [Validation] {
        var seconds = 0.0
        return lines.compactMap { line in
            seconds += line.stepSeconds(of: options)
            return line.extra["validation_bits_per_byte"].map {
                Validation(step: line.step, tokens: line.tokens, seconds: seconds, bitsPerByte: $0)
            }
        }
    }
}

extension StepMetrics {
    /// The time of the step alone: the run's own clock counts validations too.
    func stepSeconds(of options: TrainingOptions) -> Double {
        Double(options.batchSize * options.sequenceLength) / tokensPerSecond
    }
}
