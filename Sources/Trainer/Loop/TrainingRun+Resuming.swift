import NN
import Tensors

// A run resumed from its folder: options, weights, optimizer, log, place in the text.

extension TrainingRun {
    /// A run resumed from its last save.
    /// - Parameters:
    ///   - model: made from the run's configuration; its weights are replaced, and frozen as they were in the run.
    ///   - split: the run's text; one of another length is refused.
    ///   - change: changes to the options, such as more steps.
    ///   - use: called with the run's record as in a new run.
    /// - Throws: `InputError` when the folder holds no run, or one that does not fit: another text, model or version, which
    ///   the message names; `TrainingFault` when another process trains in it.
    public convenience init(
        resuming folder: RunFolder, _ model: Model, on split: DataSplit, tokenizer: any Tokenizer,
        changing change: (inout TrainingOptions) throws -> Void = { _ in }, recording use: RunRecord.Use? = nil
    ) throws {
        let folder = try folder.locked()
        let saved = try folder.configuration()
        try saved.requireSame(split, tokenizer, folder)
        var options = saved.training
        try change(&options)
        try folder.freezeAsSaved(model)
        try self.init(model, split, tokenizer, options: options, origin: saved.origin, in: { folder })
        try folder.requireOwnFiles()
        finishedCutSave = folder.isSaveCut
        let state = try folder.load(
            model, optimizer, keep: saved.training.keepCheckpoints, warn: { warnings.append($0) },
            check: { state in
                (step, tokens, seconds) = (state.step, state.tokens, state.seconds)
                try requireSteps(after: state, folder)
            })
        (savedStep, best) = (step, state.best)
        try takePlace(of: state, file: folder.checkpoint(step).path)
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
        let steps = saved.totalSteps(batchesPerEpoch: feed.batchesPerEpoch)
        return schedule.change(from: try saved.makeSchedule(totalSteps: steps), after: step)
    }

    /// Continues in the text where a checkpoint was, with what its rows carry.
    /// - Throws: `InputError` that names the file, and what in it is not of this run.
    private func takePlace(of state: TrainingState, file: String) throws {
        guard feed.isContinuous else {
            guard state.position == .null, state.carries.isEmpty else {
                throw InputError("\(file): has the place of a stream; expected none, as the run's windows are random")
            }
            return
        }
        try feed.move(to: state.position, file: file)
        carries = try SavedCarries.carries(
            from: state.carries, rows: options.batchSize, file: file, check: model.requireFit)
        let found = carries.count { $0 != nil }
        guard found == (model.carriesState && step > 0 ? carries.count : 0) else {
            throw InputError("\(file): has what \(found) rows carry; expected that of \(carries.count)")
        }
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
