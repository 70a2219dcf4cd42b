import NN
import Tensors

// The steps between a model and a text: which lengths, which tokens, and the cutting of windows into segments.

extension LanguageModel {
    /// The parts of a window that are read one after another: the whole, unless the model carries something from segment
    /// to segment and a segment has a maximum.
    func segments(of length: Int) -> [Range<Int>] {
        guard carriesState, let most = maximumLength, most < length else { return [0..<length] }
        return stride(from: 0, to: length, by: most).map { $0..<min($0 + most, length) }
    }

    /// Logits of a window that nothing comes before, segment after segment: [b, n, vocabulary].
    package func logits(ofWindow batch: TokenBatch, mode: ForwardMode = .inference) -> Tensor {
        var carries = batch.rowsWithoutCarry() as [Carry?]
        return concatenate(
            segments(of: batch.shape[1]).map { segment in
                let (logits, next) = logits(batch.columns(segment).inputs, carries: carries, mode: mode)
                carries = next
                return logits
            }, axis: 1)
    }

    /// The likeliest tokens in a window that nothing comes before, segment after segment: [b, n].
    func likeliest(inWindow batch: TokenBatch) -> TokenTensor {
        var carries = batch.rowsWithoutCarry() as [Carry?]
        let parts = segments(of: batch.shape[1]).map { segment in
            let (predictions, next) = predictions(
                batch.columns(segment).inputs, carries: carries, mode: .inference)
            carries = next
            return predictions.likeliest
        }
        let rows = (0..<batch.shape[0]).flatMap { row in
            parts.flatMap { part in part.values[row * part.shape[1]..<(row + 1) * part.shape[1]] }
        }
        return TokenTensor(rows, shape: batch.shape)
    }

    /// - Throws: `InputError` when a position sees the very token it is to predict.
    func requireCausality() throws {
        guard !isCausal else { return }
        let problem =
            causalityProblem
            ?? "each position sees the tokens it is to predict; expected a causal one (\"causal\": true)"
        throw InputError("the model's configuration is not causal: \(problem)")
    }

    /// - Throws: `InputError` when the model cannot learn, or be measured by, an objective.
    func requireFitness(for objective: Objective) throws {
        if objective.kind != .masked { try requireCausality() }
        guard let startToken, startToken != objective.startToken else { return }
        guard let expected = objective.startToken else {
            throw OptionError(
                of: "objective",
                text: """
                    the model answers what stands before its start token, which \
                    \(option: "objective", objective.kind.rawValue) does not have; expected \
                    \(option: "objective", ObjectiveKind.reverse.rawValue)
                    """)
        }
        throw InputError(
            "the model's start token is \(startToken); expected \(expected), the first token that the tokenizer does not"
                + " have")
    }

    /// - Throws: `OptionError` when the model cannot read what an objective makes of windows of this length.
    func requireLength(_ sequenceLength: Int, for objective: ObjectiveKind) throws {
        try TrainingOptions.lengths.check("sequenceLength", sequenceLength)
        guard !carriesState, let most = maximumLength, sequenceLength > objective.windowLength(inRow: most) else {
            return
        }
        let reason: OptionText =
            objective.windowLength(inRow: most) == most
            ? "the longest the model's configuration allows"
            : """
            as \(option: "objective", objective.rawValue) takes twice as many and the model's configuration allows \
            \(most)
            """
        throw OptionError(
            "sequenceLength",
            "expected at most \(objective.windowLength(inRow: most)), \(reason), found \(sequenceLength)")
    }

    /// - Throws: `OptionError` when these are no parts of what passes from window to window, or nothing does.
    func requireParts(_ parts: Set<String>, streams: Bool) throws {
        func refuse(_ problem: OptionText) throws { throw OptionError("forgetting", problem) }
        guard !parts.isEmpty else { return }
        guard carriesState else { return try refuse("the model carries nothing from window to window") }
        let known = Carry.parts
        guard !known.isEmpty else {
            return try refuse(
                "what the model carries has no parts; expected \(option: "carries", "false") to have it forget everything"
            )
        }
        if let part = parts.sorted().first(where: { !known.contains($0) }) {
            let hint = nearest(part, in: known).map { "; did you mean \"\($0)\"?" } ?? ""
            try refuse("expected some of \(known.joined(separator: ",")), found \"\(part)\"\(hint)")
        }
        if streams { return }
        try refuse(
            """
            expected only where each window goes on from the one before, with \(option: "carries", "true") or after a \
            training with \(option: "order", "sequential")
            """)
    }

    /// - Throws: `InputError` that names the text and the token that the model does not have.
    /// - Parameter text: its name.
    func requireVocabulary(of batch: TokenBatch, in text: String) throws {
        for tokens in [batch.inputs, batch.targets] {
            if let token = tokens.first(where: { $0 != ignoredTarget && ($0 < 0 || $0 >= vocabularySize) }) {
                throw InputError(
                    "\(text): token \(token) is outside the model's vocabulary; expected 0 to \(vocabularySize - 1)"
                )
            }
        }
    }
}
