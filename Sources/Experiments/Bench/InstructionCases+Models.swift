import ModelZoo

/// The tiny preset of each architecture.
extension InstructionCase {
    static var models: [InstructionCase] {
        Zoo.identifiers.flatMap { [step($0), token($0)] }
    }

    /// Forward, backward, clipping and the optimizer's update for a row of tokens.
    private static func step(_ id: String) -> InstructionCase {
        InstructionCase(name: "step/\(id)") {
            let training = try Zoo.architecture(id).training(preset: "tiny")
            let model = try makeModel(id, preset: "tiny", sequenceLength: training.sequenceLength)
            return stepWork(model, training)
        }
    }

    private static func stepWork(_ model: some LanguageModel, _ training: TrainingDefaults) -> () -> Void {
        let key = RandomKey(seed: 1)
        let examples = TokenBatch.random(
            batch: 1, sequence: training.sequenceLength, vocabulary: model.vocabularySize, key: key)
        let optimizer = Optimizer(model.trainable, training.optimizer)
        return {
            let made = model.makeStep(
                on: examples, optimizer, learningRate: training.learningRate, clip: training.clip, key: key.child(2))
            require(made != nil, "InstructionCase: the step of \(type(of: model)) diverged")
        }
    }

    /// One token after others, in a state that the prompt has filled.
    private static func token(_ id: String) -> InstructionCase {
        InstructionCase(name: "token/\(id)") {
            tokenWork(try makeModel(id, preset: "tiny", sequenceLength: 64))
        }
    }

    private static func tokenWork(_ model: some LanguageModel) -> () -> Void {
        let prompt = (0..<32).map { Int32($0 * 7 % model.vocabularySize) }
        var states = [model.startDecoding()]
        var logits = model.decode([prompt], states: &states)
        return { logits = model.decode(logits.argmax().values.map { [$0] }, states: &states) }
    }
}
