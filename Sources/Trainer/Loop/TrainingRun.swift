import Foundation
import NN
import Tensors

/// The training of a language model on a text.
///
///     let text = try TextSource(path: "shakespeare.txt")
///     let tokenizer = ByteTokenizer()
///     let split = try DataSplit(tokenizer.tokens(of: text), sequenceLength: 256)
///     let run = try TrainingRun(
///         model, on: split, tokenizer: tokenizer, options: TrainingOptions(length: .steps(500)), folder: "runs/mine")
///     try run.train { print($0) }
///
/// Everything random in a step is a function of the seed and the step's number, so a run that was stopped and resumed ends
/// with the same bits as one that was not (with the same number of threads).
public final class TrainingRun<Model: LanguageModel> {
    public let model: Model
    public let split: DataSplit
    public let tokenizer: any Tokenizer
    public let options: TrainingOptions
    /// Where the run is kept; nil for nowhere.
    public let folder: RunFolder?
    /// The number of steps made.
    public private(set) var step = 0
    /// Seconds of training so far, those before an interruption included.
    public private(set) var seconds = 0.0
    /// The number of steps of the whole run; nil where time is the limit.
    public let totalSteps: Int?

    /// Tokens trained on so far.
    public private(set) var tokens = 0

    let optimizer: Optimizer
    private let objective: Objective
    /// What each row of a stream continues; empty where every batch begins anew.
    private var carries: [Model.Carry?] = []
    private let origin: RunOrigin
    private let schedule: LearningRateSchedule
    private let sampler: WindowSampler
    private let bytesPerToken: Double
    private var metrics: MetricsLog?
    private var savedStep: Int?
    private lazy var floors = makeFloors()

    // MARK: Making

    /// A new run.
    /// - Parameters:
    ///   - folder: where to keep it, made here; nil to keep nothing.
    ///   - origin: where model and text came from, for config.json.
    /// - Throws: `InputError` when the options, the model and the text do not go together, or the folder holds a run.
    public convenience init(
        _ model: Model, on split: DataSplit, tokenizer: any Tokenizer, options: TrainingOptions = TrainingOptions(),
        folder: String? = nil, origin: RunOrigin = RunOrigin()
    ) throws {
        try self.init(
            model, split, tokenizer, options, origin, { try folder.map { try RunFolder(creating: $0) } })
        guard let folder = self.folder else { return }
        try folder.write(configuration)
        try folder.write(tokenizer)
        metrics = try MetricsLog(path: folder.metricsPath, resumingAfter: 0)
        try save()
    }

    /// A run that goes on from its last save.
    /// - Parameters:
    ///   - model: made from the run's configuration; its weights are replaced.
    ///   - split: the run's text; one of another length is refused.
    ///   - change: changes to the options, such as more steps.
    /// - Throws: `InputError` when the folder holds no run, or one that does not fit.
    public convenience init(
        resuming folder: RunFolder, _ model: Model, on split: DataSplit, tokenizer: any Tokenizer,
        changing change: (inout TrainingOptions) -> Void = { _ in }
    ) throws {
        let saved = try folder.configuration()
        for (text, tokens) in [(split.training, saved.trainingTokens), (split.validation, saved.validationTokens)] {
            if let text, text.count != tokens {
                throw InputError(
                    "\(text.name): has \(text.count) tokens; the run in \(folder.path) began with \(tokens)")
            }
        }
        var options = saved.training
        change(&options)
        try self.init(model, split, tokenizer, options, saved.origin, { folder })
        let position = try folder.load(model, optimizer)
        (step, seconds, savedStep) = (position.step, position.seconds, position.step)
        tokens = step * tokensPerStep
        metrics = try MetricsLog(path: folder.metricsPath, resumingAfter: step)
        if configuration != saved { try folder.write(configuration) }
    }

    private init(
        _ model: Model, _ split: DataSplit, _ tokenizer: any Tokenizer, _ options: TrainingOptions, _ origin: RunOrigin,
        _ folder: () throws -> RunFolder?
    ) throws {
        try options.validate()
        if options.objective == .nextToken { try model.requireCausality() }
        try model.requireLength(options.sequenceLength)
        let needed = options.objective.vocabularySize(of: tokenizer)
        guard model.vocabularySize >= needed else {
            let mask = needed > tokenizer.vocabularySize ? " and one to mask others with" : ""
            throw InputError(
                "the model has a vocabulary of \(model.vocabularySize) tokens; expected at least the"
                    + " \(tokenizer.vocabularySize) of the tokenizer (\(tokenizer.kind.rawValue))\(mask)")
        }
        (self.model, self.split, self.tokenizer, self.options, self.origin) = (model, split, tokenizer, options, origin)
        objective = options.objective.objective(for: tokenizer)
        schedule = try options.makeSchedule(tokens: split.training.count)
        totalSteps = options.totalSteps(tokens: split.training.count)
        sampler = try WindowSampler(
            split.training, sequenceLength: options.sequenceLength, batchSize: options.batchSize, seed: options.seed)
        optimizer = Optimizer(model.trainable, options.optimizer)
        bytesPerToken = Double(split.training.byteCount()) / Double(split.training.count)
        // Last, so that nothing is made for a run that cannot be.
        self.folder = try folder()
    }

    private var configuration: RunConfiguration {
        RunConfiguration(
            origin: origin, tokenizer: tokenizer.kind, training: options, trainingTokens: split.training.count,
            validationTokens: split.validation?.count ?? 0, threads: Threads.count)
    }

    // MARK: Running

    /// Whether the steps or minutes of the options are used up.
    public var isFinished: Bool {
        if let totalSeconds { return seconds >= totalSeconds }
        return step >= totalSteps ?? .max
    }

    /// Trains until the end that the options set, and saves.
    /// - Parameters:
    ///   - last: a step to stop after, before that end.
    ///   - report: is told what happens.
    ///   - stop: asked after each step whether to save and stop; while validating and sampling too, which are then given
    ///     up.
    /// - Throws: `InputError` when a loss is no longer finite or something cannot be written; the last save stays.
    public func train(
        until last: Int = .max, report: (TrainingEvent) throws -> Void = { _ in }, stop: () -> Bool = { false }
    ) throws {
        try report(.started(summary))
        var isStopped = stop()
        while !isStopped && !isFinished && step < last {
            let clock = Stopwatch()
            var metrics = try makeStep()
            seconds += clock.seconds
            isStopped = try follow(&metrics, isLast: isFinished || step >= last, report, stop)
        }
        let isCut = isStopped && !isFinished && step < last
        try report(
            isCut
                ? .interrupted(step: step, seconds: seconds, folder: folder?.path)
                : .finished(step: step, seconds: seconds))
    }

    /// What comes after a step: validation, the line of metrics, a sample, a save, where they are due.
    /// - Returns: whether `stop` said so. What takes long is then left out or given up; the save is not.
    private func follow(
        _ metrics: inout StepMetrics, isLast: Bool, _ report: (TrainingEvent) throws -> Void, _ stop: () -> Bool
    ) throws -> Bool {
        func isDue(_ interval: Int) -> Bool { interval > 0 && step % interval == 0 }
        let clock = Stopwatch()
        if isLast || isDue(options.validateEvery), let result = try validate(unless: stop) {
            metrics.extra.merge(result.metrics) { $1 }
            metrics.extra.merge(floors) { $1 }
        }
        metrics.seconds = seconds + clock.seconds
        try self.metrics?.append(metrics)
        try report(.step(metrics, total: totalSteps))
        if isDue(options.sampleEvery), let sample = try sample(unless: stop) { try report(sample) }
        seconds += clock.seconds
        let isStopped = stop()
        if isLast || isStopped || isDue(options.saveEvery), let folder {
            try save()
            try report(.saved(step: step, folder: folder.path))
        }
        return isStopped || stop()
    }

    /// One step of the optimiser.
    private func makeStep() throws -> StepMetrics {
        let clock = Stopwatch()
        let key = RandomKey(seed: options.seed).child(step)
        let batches = try (0..<options.accumulate).map { part in
            let batch = sampler.batch(at: step * options.accumulate + part)
            try model.requireVocabulary(of: batch, in: split.training)
            return objective.examples(of: batch, key: key.child(part).child(-1))  // segments count from 0
        }
        let result = model.stepGradients(of: batches, carries: &carries, key: key)
        let norm = optimizer.globalNorm(of: result.gradients)
        guard result.loss.isFinite, norm.isFinite else { throw divergence(loss: result.loss, norm: norm) }
        let rate = schedule.learningRate(at: step + 1)
        optimizer.update(
            result.gradients, learningRate: rate, scale: Optimizer.clippingScale(norm: norm, limit: options.clip))
        step += 1
        tokens += batches.reduce(0) { $0 + $1.inputs.count }
        return StepMetrics(
            step: step, tokens: tokens, loss: result.loss, bitsPerByte: result.loss / M_LN2 / bytesPerToken,
            learningRate: rate, gradientNorm: norm, tokensPerSecond: Double(tokensPerStep) / clock.seconds,
            seconds: seconds, extra: result.metrics)
    }

    private func divergence(loss: Double, norm: Double) -> InputError {
        let what = loss.isFinite ? "the gradient's norm is \(norm)" : "the loss is \(loss)"
        let kept = folder.map { "; the last save, of step \(savedStep ?? 0), is in \($0.path)" } ?? ""
        return InputError(
            "step \(step + 1): \(what); expected a finite number; try a lower --learning-rate, --clip or --warmup\(kept)"
        )
    }

    // MARK: Validation, samples, saves

    /// Evaluates the validation text, or the share of it that the options say; nil when there is none.
    /// - Parameter stop: asked before it and after each batch whether to give it up, which gives nil too.
    public func validate(unless stop: () -> Bool = { false }) throws -> EvaluationResult? {
        guard let text = validationText, !stop() else { return nil }
        do {
            return try model.evaluate(
                text, sequenceLength: options.sequenceLength, batchSize: options.batchSize, objective: objective,
                questions: questions
            ) { _ in if stop() { throw Stopped() } }
        } catch is Stopped {
            return nil
        }
    }

    private var validationText: TokenSource? {
        guard let whole = split.validation else { return nil }
        let share = options.validationShare.map { Int((Double(whole.count) * $0).rounded()) }
        let count = min(whole.count, max(2, share ?? TrainingOptions.validationTokens))
        return whole.slice(0..<count, name: whole.name)
    }

    /// The questions of the text that is validated, of each distance as many as can be asked at every validation.
    private var questions: [Question] {
        guard let text = validationText, let knowledge = split.knowledge else { return [] }
        let inside = knowledge.questions.filter { $0.answer.upperBound <= text.count }
        return Question.sample(inside, perDistance: Self.questionsPerDistance)
    }

    /// What the best possible models would reach where a validation reads; empty for texts of which it is not known.
    private func makeFloors() -> [String: Double] {
        guard objective == .nextToken, let text = validationText, let knowledge = split.knowledge else { return [:] }
        var floors: [String: Double] = [:]
        floors["validation_floor"] = knowledge.bitsPerByte(0..<text.count, nil)
        if !model.carriesState {
            floors["validation_window_floor"] = knowledge.bitsPerByte(0..<text.count, options.sequenceLength)
        }
        return floors
    }

    private static var questionsPerDistance: Int { 32 }

    /// Lets the model continue a place of the text, another one after each step.
    /// - Parameter stop: asked before it and after each token whether to give it up, which gives nil.
    private func sample(unless stop: () -> Bool) throws -> TrainingEvent? {
        if stop() || objective != .nextToken { return nil }
        let text = split.validation ?? split.training
        var generator = SplitMix64(seed: options.seed, stream: UInt64(step))
        let length = min(TrainingRun.promptLength, text.count)
        let start = generator.next(below: text.count - length + 1)
        let prompt = text[start..<start + length]
        let sampling = SamplingOptions(temperature: 0.8, seed: generator.next())
        let room = model.carriesState ? nil : model.maximumLength.map { max(0, $0 - length) }
        var tokens: [Int32] = []
        do {
            _ = try model.generate([prompt], length: min(options.sampleLength, room ?? .max), sampling: sampling) {
                tokens.append($0[0])
                if stop() { throw Stopped() }
            }
        } catch is Stopped {
            return nil
        }
        return .sample(step: step, prompt: tokenizer.decode(prompt), text: tokenizer.decode(tokens))
    }

    private static var promptLength: Int { 32 }

    /// Saves weights and training state, if there is a folder.
    public func save() throws {
        guard let folder else { return }
        try folder.save(model, optimizer, at: .init(step: step, seconds: seconds), origin)
        savedStep = step
    }

    private var tokensPerStep: Int { options.accumulate * options.batchSize * options.sequenceLength }

    private var totalSeconds: Double? {
        if case .minutes(let minutes) = options.length { minutes * 60 } else { nil }
    }

    private var summary: TrainingSummary {
        TrainingSummary(
            parameters: model.parameterCount, trainingTokens: split.training.count,
            validationTokens: validationText?.count ?? 0, tokensPerStep: tokensPerStep, totalSteps: totalSteps,
            totalSeconds: totalSeconds, stepsMade: step, folder: folder?.path,
            floor: floors["validation_floor"], windowFloor: floors["validation_window_floor"])
    }
}

/// Thrown to give something up.
private struct Stopped: Error {}

/// Seconds since it was made.
struct Stopwatch {
    private let start = ContinuousClock.now
    var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }
}
