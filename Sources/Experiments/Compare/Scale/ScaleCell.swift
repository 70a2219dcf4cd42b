import ModelZoo

/// One model at one sequence length.
struct ScaleCell {
    /// The id of the baseline with all n² scores in memory, which is no architecture of the zoo.
    static let naive = "naive"

    /// The architecture's id, or `naive`.
    let model: String
    /// n.
    let length: Int
    /// The changes of `--set` to the model.
    var settings = ModelSettings()
    /// A pass is repeated as long as this, and the fastest counts (`fastestPass(for:stop:)`).
    var secondsOfRepeats = 2.0

    /// - Parameters:
    ///   - parameters: that every model has for the shortest sequence, within 5 %.
    ///   - seed: of the initial parameters and the tokens.
    ///   - before: what the same model cost at shorter lengths.
    ///   - progress: called with the share that is done, and what comes next.
    ///   - stop: asked between passes, and while a prompt is read.
    /// - Returns: nil where it was stopped.
    /// - Throws: `InputError` for an unknown model, or a number of parameters that it cannot have.
    func run(
        _ options: ScaleOptions, parameters: Int, seed: UInt64, before: [ScaleOutcome],
        progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) throws -> ScaleOutcome? {
        if stop() { return nil }
        progress(0, "making the model")
        let sized = try ScaleModel(model, settings: settings, parameters: parameters)
        var outcome = try ScaleOutcome(model: model, length: length, parameters: sized.parameterCount(length))
        // Before it is made: the model alone may be more than the memory there is.
        var prediction = ScalePrediction(of: length, before: before.filter { $0.model == model })
        prediction.raise(megabytes: try sized.leastMegabytes(length))
        if let refusal = prediction.refusal(options) {
            outcome.skipped = refusal
            return outcome
        }
        // Of what was before, so that all find the same.
        MemoryPool.shared.releaseCached()
        defer { MemoryPool.shared.releaseCached() }
        let held = MemoryPool.shared.statistics.current
        let key = RandomKey(seed: seed)
        return measure(
            try sized.makeModel(length, key: key.child(0)), held: held, into: outcome, options, key: key.child(1),
            progress: progress, stop: stop)
    }

    private func measure<Model: LanguageModel>(
        _ model: Model, held: Int, into empty: ScaleOutcome, _ options: ScaleOptions, key: RandomKey,
        progress: (Double, String) -> Void, stop: () -> Bool
    ) -> ScaleOutcome? {
        var outcome = empty
        let passes = ScalePasses(model, length: length, key: key)
        progress(0.02, "forward")
        guard let forward = fastestPass(for: secondsOfRepeats, stop: stop, passes.forward) else { return nil }
        outcome.forwardSeconds = forward.seconds
        outcome.skipped = options.excess("took", seconds: forward.seconds, of: "a pass without gradients")
        if outcome.skipped != nil { return outcome }

        progress(0.25, "forward and backward")
        MemoryPool.shared.resetPeak()
        guard let training = fastestPass(for: secondsOfRepeats, stop: stop, passes.training) else { return nil }
        outcome.trainingSeconds = training.seconds
        outcome.backwardSeconds = training.seconds - training.value
        let peak = megabytes(MemoryPool.shared.statistics.peak - held)
        outcome.peakMegabytes = peak
        outcome.skipped = options.excess("took", seconds: training.seconds, megabytes: peak)

        progress(0.8, "generation")
        if self.model == Self.naive {
            guard let next = fastestPass(for: secondsOfRepeats, stop: stop, passes.next) else { return nil }
            outcome.generationSeconds = next.seconds
        } else {
            guard let generation = passes.generation(for: secondsOfRepeats / 2, stop) else { return nil }
            outcome.generationSeconds = generation.seconds
            outcome.stateMegabytes = megabytes(generation.stateBytes)
        }
        progress(1, "done")
        return outcome
    }
}

/// The fastest of several passes and what it returned. Unlike `fastest(of:)`, it is for passes of up to a minute: one may be
/// enough, and it can be stopped between two.
///
/// - Parameters:
///   - time: runs begin for so many seconds, however many: what disturbs a machine often lasts a second. The first run finds
///     memory that was never touched, which can double its time, so there is a second one even so, unless the first takes
///     30 times as long.
///   - clock: says how many seconds have passed since some moment.
///   - stop: asked before each run.
/// - Returns: nil where it was stopped.
func fastestPass<Value>(
    for time: Double, clock: () -> Double = now, stop: () -> Bool, _ body: () -> Value
) -> (seconds: Double, value: Value)? {
    var best: (seconds: Double, value: Value)?
    var (runs, spent) = (0, 0.0)
    while runs == 0 || spent < time * (runs == 1 ? 30 : 1) {
        if stop() { return nil }
        let start = clock()
        let value = body()
        let seconds = clock() - start
        if best.map({ seconds < $0.seconds }) ?? true { best = (seconds, value) }
        (runs, spent) = (runs + 1, spent + seconds)
    }
    return best
}
