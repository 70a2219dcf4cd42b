import NN
import Tensors

// A run resumed from its folder: options, weights, optimizer, log, place in the text.

extension TrainingRun {
    /// Resumes a run from its last save.
    /// - Parameters:
    ///   - model: made as the run's was; its weights are replaced, and frozen as they were in the run.
    ///   - change: changes to the options, such as more steps.
    ///   - use: called with the run's record as in a new run.
    ///   - makeTask: makes what is trained from the run's configuration and the changed options.
    convenience init(
        resuming folder: RunFolder, _ model: Model, changing change: (inout TrainingOptions) throws -> Void,
        recording use: RunRecord.Use?,
        _ makeTask: (RunConfiguration, TrainingOptions, RunFolder) throws -> any TrainingTask<Model>
    ) throws {
        let folder = try folder.locked()
        let saved = try folder.configuration()
        var options = saved.training
        try change(&options)
        try folder.freezeAsSaved(model)
        try self.init(makeTask(saved, options, folder), options: options, origin: saved.origin, in: { folder })
        try folder.requireOwnFiles()
        finishedCutSave = folder.isSaveCut
        let state = try folder.load(
            model, optimizer, keep: saved.training.keepCheckpoints, warn: { warnings.append($0) },
            check: { state in
                (step, tokens, seconds) = (state.step, state.tokens, state.seconds)
                try requireSteps(after: state, folder)
            })
        (savedStep, best, validationsSinceBest) = (step, state.best, state.validationsSinceBest)
        try task.takePlace(of: state, file: folder.checkpoint(step).path)
        metrics = try MetricsLog(path: folder.metricsPath, resumingAfter: step, warn: { warnings.append($0) })
        if !state.isFollowed { unfollowed = try lastMetrics(folder) }
        if !isFinished, let change = try scheduleChange(from: saved.training) { warnings.append(change) }
        var current = saved
        (current.training, current.threads, current.kernels) = (options, Threads.count, BLAS.kernels)
        // A length that leaves no step to be made is not the run's.
        if current != saved, !isFinished { try folder.write(current) }
        recorder = try RunRecorder(
            folder, current, parameters: model.parameterCount, resumingAfter: step, use: use,
            warn: { warnings.append($0) })
        if finishedCutSave {
            if case .warning(let text)? = recorder?.report() { warnings.append(text) }
            try folder.endSave()
        }
    }

    /// The log's line of the last step, or what is known of it where that is lost.
    private func lastMetrics(_ folder: RunFolder) throws -> StepMetrics {
        try MetricsLog.read(path: folder.metricsPath).last { $0.step == step }
            ?? StepMetrics(
                step: step, tokens: tokens, loss: .nan, bitsPerByte: .nan,
                learningRate: schedule.learningRate(at: step),
                gradientNorm: .nan, tokensPerSecond: .nan, seconds: seconds)
    }

    /// Describes the change of the learning rate's course on resuming, if there is one.
    private func scheduleChange(from saved: TrainingOptions) throws -> String? {
        let steps = try saved.totalSteps(of: task)
        return schedule.change(from: try saved.makeSchedule(totalSteps: steps), after: step)
    }

    /// - Throws: `OptionError` when the checkpoint to resume from is the end: later ones are discarded only for steps to
    ///   be made.
    private func requireSteps(after state: TrainingState, _ folder: RunFolder) throws {
        guard folder.chosenStep != nil, isOver, state.isFollowed, let later = folder.savedSteps.last, later > step
        else { return }
        throw OptionError(
            of: "length",
            text: """
                \(folder.checkpoint(step).path): is the end of the run; expected a larger \(option: "length.steps"), \
                \(option: "length.epochs") or \(option: "length.minutes"), counted from the beginning of the run (later \
                checkpoints are kept)
                """)
    }
}
