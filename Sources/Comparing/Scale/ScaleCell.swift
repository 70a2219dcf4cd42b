import Benchmarking
import ModelZoo

/// One model at one sequence length.
struct ScaleCell {
    /// The id of the baseline with all n² scores in memory, which is no architecture of the zoo.
    static let naive = "naive"

    /// The architecture's id, or `naive`.
    let model: String
    /// n.
    let length: Int
    /// A pass is repeated as long as this, and the fastest counts. The first run finds memory that was never touched, so
    /// there is a second one even so, unless the first takes four times as long.
    var secondsOfRepeats = 4.0

    /// - Parameters:
    ///   - size: what the model has in common with the others; its sequence length is the one at which all have so many
    ///     `parameters`, within 5 %. Some have more for longer sequences.
    ///   - seed: of the initial parameters and the tokens.
    ///   - before: what the same model cost at shorter lengths.
    ///   - progress: is told the share that is done, and what comes next.
    ///   - stop: asked between passes, and while a prompt is read.
    /// - Returns: nil where it was stopped.
    /// - Throws: `InputError` for an unknown model, or a number of parameters that it cannot have.
    func run(
        _ options: ScaleOptions, size: ModelSize, parameters: Int, seed: UInt64, before: [ScaleOutcome],
        progress: (_ share: Double, _ status: String) -> Void, stop: () -> Bool
    ) throws -> ScaleOutcome? {
        if stop() { return nil }
        progress(0, "making the model")
        // Of cells before this one, so that all find the same.
        MemoryPool.shared.releaseCached()
        defer { MemoryPool.shared.releaseCached() }
        let held = MemoryPool.shared.statistics.current
        let key = RandomKey(seed: seed)
        let made = try makeModel(size, parameters: parameters, key: key.child(0))
        var outcome = ScaleOutcome(model: model, length: length, parameters: made.parameterCount)
        var prediction = ScalePrediction(of: length, before: before.filter { $0.model == model })
        if model == Self.naive, let transformer = made as? Transformer {
            let fixed = megabytes(2 * 4 * made.parameterCount)  // parameters and their gradients
            prediction.raise(megabytes: transformer.configuration.naiveMegabytes(length) + fixed)
        }
        if let refusal = prediction.refusal(options) {
            outcome.skipped = refusal
            return outcome
        }
        return measure(made, held, outcome, options, key.child(1), progress, stop)
    }

    /// The model of the width that has so many parameters, made for sequences of n tokens.
    func makeModel(_ size: ModelSize, parameters: Int, key: RandomKey) throws -> any LanguageModel {
        let architecture = try ModelZoo.architecture(model == Self.naive ? "transformer" : model)
        var (size, _) = try architecture.fitting(size, parameters: parameters)
        size.sequenceLength = length
        var configuration = architecture.configuration(size)
        if model == Self.naive, case .object(var members) = configuration {
            members["attention"] = .string("naive")
            configuration = .object(members)
        }
        return try architecture.makeModel(configuration, file: "\(model) of width \(size.width)", key: key)
    }

    private func measure<Model: LanguageModel>(
        _ model: Model, _ held: Int, _ empty: ScaleOutcome, _ options: ScaleOptions, _ key: RandomKey,
        _ progress: (Double, String) -> Void, _ stop: () -> Bool
    ) -> ScaleOutcome? {
        var outcome = empty
        let passes = ScalePasses(model, length: length, key: key)
        progress(0.02, "forward")
        guard let forward = fastest(stop, passes.forward) else { return nil }
        outcome.forwardSeconds = forward.seconds
        if forward.seconds > options.budgetSeconds {
            outcome.skipped = ScalePrediction.took(forward.seconds, options)
            return outcome
        }

        progress(0.25, "forward and backward")
        MemoryPool.shared.resetPeak()
        guard let training = fastest(stop, passes.training) else { return nil }
        outcome.trainingSeconds = training.seconds
        outcome.backwardSeconds = training.seconds - training.value
        outcome.peakMegabytes = megabytes(MemoryPool.shared.statistics.peak - held)

        progress(0.8, "generation")
        if self.model == Self.naive, let transformer = model as? Transformer {
            guard let next = fastest(stop, { passes.next(transformer) }) else { return nil }
            outcome.generationSeconds = next.seconds
        } else {
            guard let generation = passes.generation(stop) else { return nil }
            outcome.generationSeconds = generation.seconds
            outcome.stateMegabytes = megabytes(generation.stateBytes)
        }
        progress(1, "done")
        return outcome
    }

    /// The fastest of several runs and what it returned.
    /// - Returns: nil where it was stopped, which is asked before each run.
    private func fastest<Value>(_ stop: () -> Bool, _ body: () -> Value) -> (seconds: Double, value: Value)? {
        let begin = now()
        var best: (seconds: Double, value: Value)?
        for run in 0..<10 where now() - begin < secondsOfRepeats * (run == 1 ? 4 : 1) || run == 0 {
            if stop() { return nil }
            let start = now()
            let value = body()
            let seconds = now() - start
            if best.map({ seconds < $0.seconds }) ?? true { best = (seconds, value) }
        }
        return best
    }

    private func megabytes(_ bytes: Int) -> Double { Double(bytes) / Double(1 << 20) }
}
