import NN
import Tensors

// The signs of how far a training has come: the validation text, the questions in it, and samples.

/// Thrown to give something up.
private struct Stopped: Error {}

extension LanguageTask {
    var measure: ValidationMeasure { split == nil ? .loss : .bitsPerByte }

    var hasValidation: Bool {
        switch source {
        case .text(let split): split.validation != nil
        case .batches(_, let validation): !validation.isEmpty
        }
    }

    func validation(unless stop: () -> Bool) throws -> ValidationResult? {
        switch source {
        case .text:
            return try evaluate(unless: stop).map {
                ValidationResult(loss: $0.loss, measure: $0.bitsPerByte, metrics: $0.metrics)
            }
        case .batches(_, let validation): return try meanLoss(of: validation, unless: stop)
        }
    }

    /// Evaluates the validation text, or the share of it that the options say; nil when there is none.
    /// - Parameter stop: asked before it and after each batch whether to give it up, which gives nil too.
    func evaluate(unless stop: () -> Bool) throws -> EvaluationResult? {
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

    /// The mean loss of batches that the program made, each of which begins anew unless it says otherwise.
    private func meanLoss(of batches: [TokenBatch], unless stop: () -> Bool) throws -> ValidationResult? {
        guard !batches.isEmpty, !stop() else { return nil }
        var (nats, targets) = (0.0, 0)
        var carries: [Model.Carry?] = []
        for batch in batches {
            try model.requireVocabulary(of: batch, in: "the batches to validate with")
            try requireFit(of: batch, in: "the batches to validate with")
            if self.carries.isEmpty || carries.isEmpty { carries = batch.rowsWithoutCarry() }
            for row in carries.indices where batch.startsDocument[row] { carries[row] = nil }
            for segment in model.segments(of: batch.shape[1]) {
                let (inputs, expected) = batch.columns(segment)
                withoutGradients {
                    let (predictions, next) = model.predictions(inputs, carries: carries, mode: .inference)
                    nats += predictions.tokenLosses(expected).losses.values.reduce(0) { $0 + Double($1) }
                    carries = next
                }
            }
            targets += batch.targetCount
            if stop() { return nil }
        }
        let loss = nats / Double(targets)
        return ValidationResult(loss: loss, measure: loss, metrics: ["validation_loss": loss])
    }

    var tokenCounts: (training: Int, validation: Int, step: Int) {
        guard let split else { return (0, 0, 0) }
        return (split.training.count, validationText?.count ?? 0, options.tokensPerStep)
    }

    private var validationText: TokenSource? {
        guard let whole = split?.validation else { return nil }
        let share = options.validationShare.map { Int((Double(whole.count) * $0).rounded()) }
        let count = min(whole.count, max(2, share ?? TrainingOptions.validationTokens))
        return whole.slice(0..<count, name: whole.name)
    }

    /// The questions of the text that is validated, of each distance as many as can be asked at every validation.
    private var questions: [Question] {
        guard let text = validationText, let knowledge = split?.knowledge else { return [] }
        let inside = knowledge.questions.filter { $0.answer.upperBound <= text.count }
        return Question.sample(inside, perDistance: Self.questionsPerDistance)
    }

    func floors() -> [String: Double] {
        guard objective == .nextToken, let text = validationText, let knowledge = split?.knowledge else { return [:] }
        var floors: [String: Double] = [:]
        floors["answered_by_chance"] = questions.isEmpty ? nil : knowledge.chance
        floors["validation_floor"] = knowledge.bitsPerByte(0..<text.count, nil)
        if !(model.carriesState && options.order == .sequential) {
            floors["validation_window_floor"] = knowledge.bitsPerByte(0..<text.count, options.sequenceLength)
        }
        return floors
    }

    private static var questionsPerDistance: Int { 32 }

    // MARK: Samples

    var hasSamples: Bool { split != nil && objective.isGenerative }

    /// Lets the model continue a place of the text, or reverse it.
    func sample(afterStep step: Int, unless stop: () -> Bool) throws -> TrainingEvent? {
        guard let split, !stop() else { return nil }
        let text = split.validation ?? split.training
        var generator = SplitMix64(seed: options.seed, stream: UInt64(step))
        let most = model.carriesState ? nil : model.maximumLength
        let length = min(Self.promptLength, text.count, longestPrompt(most))
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
