import Foundation
import ModelZoo

extension Train {
    func begin(_ host: TrainingHost) throws -> Outcome {
        guard let model else {
            throw InputError("--model is missing; expected one of \(Zoo.identifiers.joined(separator: ", "))")
        }
        let architecture = try Zoo.architecture(model)
        let text = textOptions
        let presetName = preset ?? (text.data.isEmpty ? "quick" : "small")
        let wanted: ObjectiveKind? = try text.objective.map { try option("--objective", $0) }
        let preset = try architecture.presetJSON(presetName, objective: wanted)
        let file = config ?? "preset \(presetName)"
        let given = try config.map { try JSONValue(path: $0) } ?? preset.configuration
        var options = try self.options(from: preset.training)
        // A length that was written stays; the window is as long unless it is given, too.
        let written = config == nil ? nil : architecture.rowLength(of: given)
        if let written, stepOptions.sequenceLength == nil {
            options.sequenceLength = max(options.objective.windowLength(inRow: written), 1)
        }
        try options.validate()

        var origin = RunOrigin(
            model: model, data: text.data, corpus: try text.corpus(), documents: try text.separator(),
            validation: text.validation, validationFraction: text.validationFraction ?? 0.1)
        let tokenizer = try TokenizerChoice(text.tokenizer).makeTokenizer(learningFrom: origin)
        let split = try origin.makeSplit(tokenizer, sequenceLength: options.sequenceLength)

        let configuration = try architecture.configuration(
            architecture.fitting(given, file: file, to: tokenizer, options.objective),
            sequenceLength: written == nil ? options.objective.rowLength(ofWindow: options.sequenceLength) : nil,
            dropout: stepOptions.dropout)
        origin.configuration = configuration
        // Messages name the paths as they were given; the run's folder says them from anywhere.
        (origin.data, origin.validation) = (text.data.map(\.absolutePath), text.validation?.absolutePath)
        let made = try architecture.makeModel(
            configuration, file: file, key: RandomKey(seed: options.seed).child(-1))  // steps count from 0
        return try begin(made, on: split, tokenizer: tokenizer, options: options, origin: origin, host)
    }

    private func begin(
        _ model: some LanguageModel, on split: DataSplit, tokenizer: any Tokenizer, options: TrainingOptions,
        origin: RunOrigin, _ host: TrainingHost
    ) throws -> Outcome {
        host.prepared()
        let run = try TrainingRun(
            model, on: split, tokenizer: tokenizer, options: options, origin: origin,
            recording: { try RunReport($0).write() },
            making: { try out.map { try RunFolder(creating: $0) } ?? RunFolder(numbering: "runs/\(origin.model)") })
        return try finish(run, host)
    }
}

extension Architecture {
    /// The configuration with the vocabulary of a tokenizer and an objective; one that names a larger vocabulary, or a token
    /// of it, keeps what it says.
    fileprivate func fitting(
        _ given: JSONValue, file: String, to tokenizer: any Tokenizer, _ objective: ObjectiveKind
    ) throws -> JSONValue {
        let vocabularySize = objective.vocabularySize(of: tokenizer)
        let fitted = configuration(given, vocabularySize: vocabularySize)
        guard !file.hasPrefix("preset "), let before = given.objectValue, let after = fitted.objectValue else {
            return fitted
        }
        let explicit = after.keys.filter { before[$0] ?? .null != .null && before[$0] != after[$0] }
        for key in explicit.sorted() where after[key] == .integer(vocabularySize) {
            guard let size = before[key]?.intValue, size < vocabularySize else { continue }
            let extra = objective.extraToken.map { " and " + $0 } ?? ""
            throw InputError(
                "\(file): \(JSONValue.quoted(key)): expected at least the \(tokenizer.vocabularySize) tokens of"
                    + " --tokenizer \(tokenizer.kind.rawValue)\(extra), found \(size)")
        }
        return explicit.isEmpty ? fitted : given
    }
}
