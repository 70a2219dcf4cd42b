import NN
import Tensors

// The signs of how far a training has come: the validation text, the questions in it, and samples.

/// Thrown to give something up.
private struct Stopped: Error {}

extension TrainingRun {
    /// Evaluates the validation text, or the share of it that the options say; nil when there is none.
    /// - Parameter stop: asked before it and after each batch whether to give it up, which gives nil too.
    public func validate(unless stop: () -> Bool = { false }) throws -> EvaluationResult? {
        guard let text = validationText, !stop() else { return nil }
        do {
            return try model.evaluate(
                text, sequenceLength: options.sequenceLength, batchSize: options.batchSize, objective: objective,
                carries: options.order == .sequential, questions: questions
            ) { _ in if stop() { throw Stopped() } }
        } catch is Stopped {
            return nil
        }
    }

    var validationText: TokenSource? {
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

    /// Returns the losses that the best possible models would reach on the validation text; empty if they are not
    /// known.
    func makeFloors() -> [String: Double] {
        guard objective == .nextToken, let text = validationText, let knowledge = split.knowledge else { return [:] }
        var floors: [String: Double] = [:]
        floors["answered_by_chance"] = questions.isEmpty ? nil : knowledge.chance
        floors["validation_floor"] = knowledge.bitsPerByte(0..<text.count, nil)
        if !(model.carriesState && options.order == .sequential) {
            floors["validation_window_floor"] = knowledge.bitsPerByte(0..<text.count, options.sequenceLength)
        }
        return floors
    }

    private static var questionsPerDistance: Int { 32 }

    /// A sample.
    /// - Throws: `TrainingFault` where the model's logits are not finite.
    func finiteSample(unless stop: () -> Bool) throws -> TrainingEvent? {
        do { return try sample(unless: stop) } catch let error as InputError
            where error == SamplingOptions.logitsNotFinite
        {
            throw diverged(.sample)
        }
    }

    /// Lets the model answer a place of the text, another one after each step: continue it, or reverse it.
    /// - Parameter stop: asked before it and after each token whether to give it up, which gives nil.
    func sample(unless stop: () -> Bool) throws -> TrainingEvent? {
        if stop() { return nil }
        let text = split.validation ?? split.training
        var generator = SplitMix64(seed: options.seed, stream: UInt64(step))
        let most = model.carriesState ? nil : model.maximumLength
        let length = min(TrainingRun.promptLength, text.count, longestPrompt(most))
        let start = generator.next(below: text.count - length + 1)
        let prompt = try text[start..<start + length]
        let usual = objective.usualSampling
        let sampling = usual == .greedy ? usual : SamplingOptions(temperature: 0.8, seed: generator.next())
        let room = most.map { max(0, $0 - length) }
        let wanted = objective.answerLength(toPrompt: length) ?? options.sampleLength
        var tokens: [Int32] = []
        do {
            _ = try model.generate(
                [prompt], length: min(wanted, room ?? .max), sampling: sampling, startToken: objective.startToken,
                vocabularySize: tokenizer.vocabularySize
            ) {
                tokens.append($0[0])
                if stop() { throw Stopped() }
            }
        } catch is Stopped {
            return nil
        }
        return .sample(step: step, prompt: tokenizer.decode(prompt), text: tokenizer.decode(tokens))
    }

    /// Returns the longest prompt of a sample: as long as training's windows if it is answered in full, else one that
    /// leaves room for an answer.
    private func longestPrompt(_ most: Int?) -> Int {
        if objective.answerLength(toPrompt: 1) != nil { return options.sequenceLength }
        return most.map { max(1, $0 / 2) } ?? .max
    }

    private static var promptLength: Int { 32 }
}
