import Foundation
import ModelZoo

/// Timing of a preset's training steps: forward, backward, clipping and optimizer, on random tokens.
package struct TrainingBenchmark: Encodable {
    /// The architecture's id, and the preset's name.
    package let model: String, preset: String
    /// The number of parameters, rows of a batch, tokens of a row, and steps that were timed.
    package let parameters: Int, batch: Int, sequence: Int, steps: Int
    /// The fastest step after one warm-up.
    package let stepSeconds: Double
    /// The fastest forward pass.
    package let forwardSeconds: Double
    /// Tokens trained on in a second, by the fastest step.
    package let tokensPerSecond: Double
    /// Resident, of the whole process.
    package let peakMemoryMB: Double
    /// Floating-point operations inside BLAS over the time of the step.
    package let blasGflops: Double
    /// The threads used.
    package let threads: Int
    /// OpenBLAS's kernels.
    package let kernels = UsedKernels()

    enum CodingKeys: String, CodingKey {
        case model, preset, parameters, batch, sequence, steps, threads, kernels
        case stepSeconds = "step_seconds"
        case forwardSeconds = "forward_seconds"
        case tokensPerSecond = "tokens_per_second"
        case peakMemoryMB = "peak_memory_mb"
        case blasGflops = "blas_gflops"
    }

    /// - Parameters:
    ///   - settings: keys of the configuration that differ from the preset's.
    ///   - sequence, batch: nil for the preset's.
    /// - Throws: `InputError` for an unknown model, preset or key, or a value that does not fit.
    package static func run(
        model id: String, preset name: String, settings: [ConfigurationSetting] = [], steps: Int, sequence: Int? = nil,
        batch: Int? = nil
    ) throws -> TrainingBenchmark {
        let training = try Zoo.architecture(id).training(preset: name)
        let n = sequence ?? training.sequenceLength
        let model = try makeModel(id, preset: name, settings, sequenceLength: n)
        return time(
            model, id: id, preset: name, steps: steps, sequence: n, batch: batch ?? training.batchSize,
            training: training)
    }

    private static func time(
        _ model: some LanguageModel, id: String, preset: String, steps: Int, sequence: Int, batch: Int,
        training: TrainingDefaults
    ) -> TrainingBenchmark {
        let key = RandomKey(seed: 1)
        let examples = TokenBatch.random(batch: batch, sequence: sequence, vocabulary: model.vocabularySize, key: key)
        let optimizer = Optimizer(model.trainable, training.optimizer)
        var best = (step: Double.infinity, forward: 0.0, operations: 0)
        for step in 0...steps {
            let (start, operations) = (now(), BLAS.operationCount)
            let made = model.makeStep(
                on: examples, optimizer, learningRate: training.learningRate, clip: training.clip,
                key: key.child(2 + step))
            let seconds = now() - start
            if step > 0, seconds < best.step, let made {
                best = (seconds, made.forwardSeconds, BLAS.operationCount - operations)
            }
        }
        return TrainingBenchmark(
            model: id, preset: preset, parameters: model.parameterCount, batch: batch, sequence: sequence, steps: steps,
            stepSeconds: best.step, forwardSeconds: best.forward,
            tokensPerSecond: Double(batch * sequence) / best.step, peakMemoryMB: peakResidentMegabytes(),
            blasGflops: Double(best.operations) / best.step / 1e9, threads: Threads.count)
    }
}

extension TokenBatch {
    /// Random tokens with random targets, each row a document of its own.
    static func random(batch: Int, sequence: Int, vocabulary: Int, key: RandomKey) -> TokenBatch {
        func tokens(_ index: Int) -> [Int32] {
            key.child(index).integers(batch * sequence).map { Int32($0 % UInt64(vocabulary)) }
        }
        return TokenBatch(
            inputs: tokens(0), targets: tokens(1), shape: [batch, sequence],
            startsDocument: Array(repeating: true, count: batch), textCount: batch * sequence)
    }
}

/// Timing of greedy generation, one token at a time, after a random prompt.
package struct GenerationBenchmark: Encodable {
    /// The architecture's id, and the preset's name.
    package let model: String, preset: String
    /// The number of parameters, tokens of a prompt, and tokens generated.
    package let parameters: Int, prompt: Int, length: Int
    /// Sequences that are decoded together.
    package let batch: Int
    /// The format that the weights are rounded to, or float.
    package let weights: String
    /// The time to read the prompts.
    package let promptSeconds: Double
    /// The speed of generating the tokens of all sequences, without the prompts.
    package let tokensPerSecond: Double
    /// Held by tensors once the weights are rounded.
    package let weightsMB: Double
    /// The most memory that the process held, resident.
    package let peakMemoryMB: Double
    /// The threads used.
    package let threads: Int
    /// OpenBLAS's kernels.
    package let kernels = UsedKernels()

    enum CodingKeys: String, CodingKey {
        case model, preset, parameters, prompt, length, batch, weights, threads, kernels
        case weightsMB = "weights_mb"
        case promptSeconds = "prompt_seconds"
        case tokensPerSecond = "tokens_per_second"
        case peakMemoryMB = "peak_memory_mb"
    }

    /// - Parameters:
    ///   - settings: keys of the configuration that differ from the preset's.
    ///   - batch: sequences that are decoded together.
    ///   - weightsAs: float, bfloat16 or int8.
    /// - Throws: `InputError` for an unknown model, preset, key or format, or a value that does not fit.
    package static func run(
        model id: String, preset name: String, settings: [ConfigurationSetting] = [], promptLength: Int, length: Int,
        batch: Int = 1, weightsAs: String = "float"
    ) throws -> GenerationBenchmark {
        let precision: WeightPrecision = try option("--weights-as", weightsAs)
        // The prompt, the token that warms up, and those that are timed.
        let model = try makeModel(id, preset: name, settings, sequenceLength: promptLength + 1 + length)
        guard model.isCausal else {
            throw InputError(
                "--model \(id): preset \(name) is not causal and does not generate; expected a causal configuration"
                    + " (--set causal=true)")
        }
        if let format = precision.format { try model.roundWeights(to: format) }
        return time(
            model, id: id, preset: name, promptLength: promptLength, length: length, batch: batch, precision: precision)
    }

    private static func time(
        _ model: some LanguageModel, id: String, preset: String, promptLength: Int, length: Int, batch: Int,
        precision: WeightPrecision
    ) -> GenerationBenchmark {
        let held = MemoryPool.shared.statistics.current
        let (promptSeconds, tokensPerSecond) = model.generationSpeed(
            promptLength: promptLength, length: length, batch: batch)
        return GenerationBenchmark(
            model: id, preset: preset, parameters: model.parameterCount, prompt: promptLength, length: length,
            batch: batch, weights: precision.rawValue, promptSeconds: promptSeconds, tokensPerSecond: tokensPerSecond,
            weightsMB: Double(held) / 1e6, peakMemoryMB: peakResidentMegabytes(), threads: Threads.count)
    }
}

extension LanguageModel {
    /// Times greedy generation, one token of each sequence at a time, after random prompts.
    fileprivate func generationSpeed(
        promptLength: Int, length: Int, batch: Int
    ) -> (promptSeconds: Double, tokensPerSecond: Double) {
        let prompts = (0..<batch).map { row in
            RandomKey(seed: 1 + UInt64(row)).integers(promptLength).map { Int32($0 % UInt64(vocabularySize)) }
        }
        var states = prompts.map { _ in startDecoding() }
        let start = now()
        var logits = decode(prompts, states: &states)
        let promptSeconds = now() - start
        func next() { logits = decode(logits.argmax().values.map { [$0] }, states: &states) }
        next()  // Warm-up: buffers of a step's size.
        let begin = now()
        for _ in 0..<length { next() }
        return (promptSeconds, Double(batch * length) / (now() - begin))
    }
}

/// A key of a model's configuration and the value a benchmark gives it.
package struct ConfigurationSetting: Sendable {
    /// The key.
    package let key: String
    /// The value.
    package let value: JSONValue

    /// Reads `KEY=VALUE`, the value as JSON or else as a word; nil when it is not of this form.
    package init?(_ text: String) {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else { return nil }
        key = String(text[..<equals])
        let value = text[text.index(after: equals)...]
        self.value = (try? JSONValue(parsing: value.utf8, file: key)) ?? .string(String(value))
    }
}

/// A preset's model with some keys of its configuration changed; the last setting of a key counts.
func makeModel(
    _ id: String, preset name: String, _ settings: [ConfigurationSetting] = [], sequenceLength: Int
) throws -> any LanguageModel {
    let architecture = try Zoo.architecture(id)
    var members =
        try architecture.configuration(
            architecture.presetJSON(name).configuration, sequenceLength: sequenceLength, dropout: nil
        ).objectValue ?? [:]
    for setting in settings { members[setting.key] = setting.value }
    let file = "preset \(name)" + (settings.isEmpty ? "" : " with --set")
    return try architecture.makeModel(.object(members), file: file, key: RandomKey(seed: 0))
}
