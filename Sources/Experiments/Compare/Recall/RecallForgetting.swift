import ModelZoo

extension LanguageModel {
    /// Tells whether the model carries recurrent states that can be forgotten apart from the rest.
    var hasStates: Bool { Carry.parts.contains(Self.states) }

    private static var states: String { "states" }

    /// Asks sequences of one question each with states forgotten before each block: the control of what states are worth.
    /// - Parameter block: tokens after which the model writes its states.
    /// - Returns: for each sequence whether the answer is the likeliest; nil where stopped.
    func answersForgettingStates(
        to sequences: [RecallSequence], block: Int, stop: () -> Bool = { false }
    ) -> [Bool]? {
        var found: [Bool] = []
        for sequence in sequences {
            let question = sequence.questions[0]
            require(question.answer.count == 1, "answersForgettingStates: answers of several tokens")
            var state = startDecoding()
            var logits: Tensor?
            for start in stride(from: 0, through: question.place, by: block) {
                if stop() { return nil }
                if let kept = carry(of: state)?.forgetting([Self.states]) {
                    // A carry of the model's own fits it.
                    state = (try? decodingState(after: kept)) ?? startDecoding()
                } else {
                    state = startDecoding()
                }
                var states = [state]
                logits = decode(
                    [Array(sequence.tokens[start...min(question.place, start + block - 1)])], states: &states)
                state = states[0]
            }
            found.append(logits?.argmax().values == question.answer)
        }
        return found
    }
}
