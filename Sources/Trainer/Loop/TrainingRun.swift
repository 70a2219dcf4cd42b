import Foundation
import NN
import Tensors

/// A training: the loop of steps, validations, saves and events, of a language model on a text or of any module on batches of
/// the program's own.
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
public final class TrainingRun<Model: Module> {
    /// The model that is trained.
    public let model: Model
    /// The options of the training.
    public let options: TrainingOptions
    /// The folder of the run; nil if it is not kept.
    public let folder: RunFolder?
    /// The number of steps made.
    public internal(set) var step = 0
    /// Seconds of training so far, those before an interruption included.
    public internal(set) var seconds = 0.0
    /// The number of steps of the whole run; nil where time is the limit.
    public let totalSteps: Int?

    /// Tokens trained on so far, or examples of batches of the program's own.
    public internal(set) var tokens = 0

    let task: any TrainingTask<Model>
    let optimizer: Optimizer
    private let origin: RunOrigin
    let schedule: LearningRateSchedule
    /// The key of everything random.
    private let key: RandomKey
    var metrics: MetricsLog?
    var recorder: RunRecorder?
    private lazy var floors = task.floors()
    /// The step of the last save.
    var savedStep: Int?
    /// The best validation so far, whose weights are the folder's `weights.safetensors`.
    public internal(set) var best: BestValidation?
    /// The last validation.
    private var validation: BestValidation?
    /// The number of validations since the best.
    var validationsSinceBest = 0
    /// The step whose validation or sample an interruption skipped; it is made up for first.
    var unfollowed: StepMetrics?
    /// Warnings about a resumed run: damaged checkpoints, broken lines, a learning rate that jumps.
    var warnings: [String] = []
    /// The names of options in the note that is printed should memory run out.
    package var optionNames = OptionNames.properties
    /// True if the last save of a resumed run had been cut off, and resuming completed it.
    public internal(set) var finishedCutSave = false

    // MARK: Making

    /// Makes a run that has neither a log nor a recorder yet.
    /// - Parameters:
    ///   - key: the key of everything random; nil for that of the options' seed.
    ///   - schedule: the learning rate by step; nil for that of the options.
    init(
        _ task: any TrainingTask<Model>, options: TrainingOptions, origin: RunOrigin, key: RandomKey? = nil,
        schedule: LearningRateSchedule? = nil, in folder: () throws -> RunFolder?
    ) throws {
        try options.validate()
        (self.task, model, self.options, self.origin) = (task, task.model, options, origin)
        self.key = key ?? RandomKey(seed: options.seed)
        totalSteps = try options.totalSteps(of: task)
        self.schedule = try schedule ?? options.makeSchedule(totalSteps: totalSteps)
        try options.requireValidation(of: task)
        try options.requireGroups(of: model)
        optimizer = Optimizer(
            model.trainable, options.optimizer, groups: options.groups,
            withoutDecay: model.parameters(of: options.optimizer.noDecay))
        // Last, so that nothing is made for a run that cannot be.
        self.folder = try folder()
    }

    /// Makes a new run in a folder that is made, and locked, once all else is known to fit.
    convenience init(
        _ task: any TrainingTask<Model>, options: TrainingOptions, origin: RunOrigin, recording use: RunRecord.Use?,
        making folder: () throws -> RunFolder?
    ) throws {
        try self.init(task, options: options, origin: origin, in: folder)
        guard let folder = self.folder else { return }
        try task.writeFiles(to: folder)
        metrics = try MetricsLog(path: folder.metricsPath, resumingAfter: 0)
        try save()
        // Last: a folder with a configuration has a checkpoint.
        let configuration = try task.configuration(origin, options)
        try folder.write(configuration)
        recorder = try RunRecorder(
            folder, configuration, parameters: model.parameterCount, resumingAfter: 0, use: use)
    }

    // MARK: Running

    /// True once the steps or minutes of the options are used up, and nothing that is due after the last was skipped.
    public var isFinished: Bool { isOver && unfollowed == nil }

    /// True once so many validations in a row as the options' patience were no better than the best.
    public var isStoppedEarly: Bool { options.patience.map { validationsSinceBest >= $0 } ?? false }

    /// True once the steps or minutes of the options are used up, or patience is.
    var isOver: Bool {
        if isStoppedEarly { return true }
        if let totalSeconds { return seconds >= totalSeconds }
        return step >= totalSteps ?? .max
    }

    /// Trains until the end that the options set, and saves.
    /// - Parameters:
    ///   - last: a step to save and stop after, before that end.
    ///   - report: called with each event.
    ///   - stop: asked after each step whether to save and stop; while validating and sampling too, which are then given
    ///     up.
    /// - Throws: `TrainingFault` when a loss is no longer finite or something cannot be written; the last save stays.
    public func train(
        until last: Int = .max, report: (TrainingEvent) throws -> Void = { _ in }, stop: () -> Bool = { false }
    ) throws {
        let note = OutOfMemory.Note(memoryNote)
        let ticking = RunningTime.Ticking()
        defer { withExtendedLifetime(ticking) {} }
        try report(.started(summary))
        for warning in warnings { try report(.warning(warning)) }
        warnings = []
        var isStopped = stop()
        if !isStopped, var metrics = unfollowed { isStopped = try follow(&metrics, report, stop) }
        while !isStopped && !isFinished && step < last {
            let clock = Stopwatch()
            var metrics = try makeStep()
            seconds += clock.seconds
            isStopped = try follow(&metrics, isLast: step >= last, report, stop)
            if savedStep == step { note.update(memoryNote) }
        }
        let isCut = isStopped && !isFinished && step < last
        if isStoppedEarly, let best {
            try report(
                .warning(
                    "stopped early: none of the last \(counted(validationsSinceBest, "validation")) was better than that"
                        + " of step \(best.step)"))
        }
        try report(
            isCut
                ? .interrupted(step: step, seconds: seconds, folder: folder?.path)
                : .finished(step: step, seconds: seconds))
    }

    /// Does what is due after a step: validation, the line of metrics, a sample, a save. A validation better than any
    /// before makes the save due too.
    /// - Parameter isLast: whether to save since no other step is to be made now.
    /// - Returns: whether `stop` said so. What takes long is then left out or given up, and made up for when the run
    ///   resumes; the save is not.
    private func follow(
        _ metrics: inout StepMetrics, isLast: Bool = false, _ report: (TrainingEvent) throws -> Void, _ stop: () -> Bool
    ) throws -> Bool {
        func isDue(_ interval: Int) -> Bool { interval > 0 && step % interval == 0 }
        let clock = Stopwatch()
        let validates = (isOver || isDue(options.validateEvery)) && metrics.extra["validation_loss"] == nil
        let result = validates ? try task.validation(unless: stop) : nil
        if let result {
            metrics.extra.merge(result.metrics) { $1 }
            metrics.extra.merge(floors) { $1 }
        }
        let isBest = try result.map(record) ?? false
        metrics.seconds = seconds + clock.seconds
        try writing {
            if unfollowed != nil { try self.metrics?.rewind(to: step - 1) }
            try self.metrics?.append(metrics)
        }
        recorder?.add(metrics)
        try report(.step(metrics, total: totalSteps))
        let samples = isDue(options.sampleEvery) && task.hasSamples
        let sample = samples ? try finiteSample(unless: stop) : nil
        if let sample {
            try writing { try recorder?.add(sample) }
            try report(sample)
        }
        let isGivenUp = validates && result == nil && task.hasValidation || samples && sample == nil
        unfollowed = isGivenUp ? metrics : nil
        seconds += clock.seconds
        let isStopped = stop()
        // A step that broke the weights ends no training, whether or not it is saved.
        if isLast || isOver || isStopped { try requireFiniteWeights() }
        let isReported = result != nil || isLast || isOver || isStopped
        var warning: TrainingEvent?
        if isLast || isOver || isStopped || isBest || isDue(options.saveEvery), let folder {
            try save { if isReported { warning = recorder?.report() } }
            try report(.saved(step: step, folder: folder.path))
        } else if isReported {
            warning = recorder?.report()
        }
        if let warning { try report(warning) }
        // A wish that came during the save is heeded at once, one that came after it was found not to be due, later.
        return isStopped || (folder == nil || savedStep == step) && stop()
    }

    /// One step of the optimizer.
    private func makeStep() throws -> StepMetrics {
        let clock = Stopwatch()
        let result = try task.gradients(ofStep: step, key: key.child(step))
        let norm = optimizer.globalNorm(of: result.gradients) * result.scale
        guard result.loss.isFinite, norm.isFinite else {
            throw diverged(.step(loss: result.loss, norm: norm, result.gradients))
        }
        let rate = schedule.learningRate(at: step + 1)
        optimizer.update(
            result.gradients, learningRate: rate,
            scale: result.scale * Optimizer.clippingScale(norm: norm, limit: options.clip))
        step += 1
        tokens += result.read
        return StepMetrics(
            step: step, tokens: tokens, loss: result.loss, bitsPerByte: task.bitsPerByte(ofLoss: result.loss),
            learningRate: rate, gradientNorm: norm, tokensPerSecond: Double(result.read) / clock.seconds,
            seconds: seconds, extra: result.metrics)
    }

    /// A sample.
    /// - Throws: `TrainingFault` where the model's logits are not finite.
    private func finiteSample(unless stop: () -> Bool) throws -> TrainingEvent? {
        do { return try task.sample(afterStep: step, unless: stop) } catch let error as InputError
            where error == SamplingOptions.logitsNotFinite
        {
            throw diverged(.sample)
        }
    }

    // MARK: Saves

    /// Keeps a validation in mind.
    /// - Returns: whether it is better than any before.
    private func record(_ result: ValidationResult) throws -> Bool {
        guard result.loss.isFinite else { throw diverged(.validation(loss: result.loss)) }
        let latest = BestValidation(step: step, measure: result.measure)
        validation = latest
        validationsSinceBest += 1
        guard latest.measure < best?.measure ?? .infinity else { return false }
        (best, validationsSinceBest) = (latest, 0)
        return true
    }

    /// Saves weights and training state, if there is a folder.
    /// - Throws: `TrainingFault` when a weight is not finite, or a file cannot be written.
    public func save() throws { try save {} }

    /// - Parameter follow: what belongs to the save and comes after it.
    private func save(following follow: () -> Void) throws {
        guard let folder else { return }
        try requireFiniteWeights()
        try writing {
            // A step that is saved has its line, also when the power goes.
            try metrics?.synchronize()
            try folder.save(
                model, optimizer, state, origin: origin, keep: options.keepCheckpoints, following: follow)
        }
        savedStep = step
    }

    /// The state that a resumed run needs beside weights and optimizer.
    private var state: TrainingState {
        TrainingState(
            step: step, tokens: tokens, seconds: seconds, measure: task.measure,
            validation: validation?.step == step ? validation?.measure : nil, best: best,
            validationsSinceBest: options.patience == nil ? 0 : validationsSinceBest, isFollowed: unfollowed == nil,
            position: task.position, carries: task.carriedTensors, frozen: model.frozenKeys)
    }

    private var totalSeconds: Double? {
        if case .minutes(let minutes) = options.length { minutes * 60 } else { nil }
    }

    private var summary: TrainingSummary {
        let counts = task.tokenCounts
        return TrainingSummary(
            parameters: model.parameterCount, trainingTokens: counts.training, validationTokens: counts.validation,
            tokensPerStep: counts.step, totalSteps: totalSteps, totalSeconds: totalSeconds, stepsMade: step,
            folder: folder?.path, floor: floors["validation_floor"], windowFloor: floors["validation_window_floor"])
    }
}
