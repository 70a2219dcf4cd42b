import Foundation

extension TrainCommand {
    private static let presetUnlessGiven = "small"

    func begin(_ host: TrainingHost) throws -> Outcome {
        guard let model else {
            throw InputError("--model is missing; expected one of \(ModelZoo.identifiers.joined(separator: ", "))")
        }
        let architecture = try ModelZoo.architecture(model)
        let presetName = preset ?? Self.presetUnlessGiven
        let preset = try architecture.preset(presetName)
        let file = config ?? "preset \(presetName)"
        let given = try config.map { try JSONValue(path: $0) } ?? preset.configuration
        let options = try apply(to: preset.training)
        try options.validate()

        guard !data.isEmpty else { throw InputError("--data is missing; expected a text: files or folders") }
        let separator = try separator()
        let text = try TextSource(paths: data)
        let validationText = try validation.map { try TextSource(path: $0) }
        let kind: TokenizerKind = try option("--tokenizer", tokenizer ?? TokenizerKind.bytes.rawValue)
        let tokenizer = try kind.makeTokenizer(learningFrom: [text] + (validationText.map { [$0] } ?? []))
        let split = try makeSplit(
            tokenizer, text, validationText, separator, fraction: validationFraction ?? 0.1,
            sequenceLength: options.sequenceLength)

        let configuration = architecture.configuration(
            try architecture.fitting(given, file: file, to: tokenizer), sequenceLength: options.sequenceLength,
            dropout: dropout)
        let made = try architecture.makeModel(
            configuration, file: file, key: RandomKey(seed: options.seed).child(-1))  // steps count from 0
        let origin = RunOrigin(
            model: model, configuration: configuration, data: data.map(\.absolutePath),
            documents: separator, validation: validation?.absolutePath, validationFraction: validationFraction ?? 0.1)
        return try begin(made, split, tokenizer, options, origin, host)
    }

    private func begin(
        _ model: some LanguageModel, _ split: DataSplit, _ tokenizer: any Tokenizer, _ options: TrainingOptions,
        _ origin: RunOrigin, _ host: TrainingHost
    ) throws -> Outcome {
        host.prepared()
        let run = try TrainingRun(model, on: split, tokenizer: tokenizer, options: options, origin: origin) {
            try out.map { try RunFolder(creating: $0) } ?? RunFolder(numbering: "runs/\(origin.model)")
        }
        return try train(run, host)
    }
}

extension Architecture {
    /// The configuration with the vocabulary of a tokenizer; one that names a larger vocabulary itself keeps it.
    fileprivate func fitting(_ given: JSONValue, file: String, to tokenizer: any Tokenizer) throws -> JSONValue {
        let fitted = configuration(given, vocabularySize: tokenizer.vocabularySize)
        guard !file.hasPrefix("preset "), let before = given.objectValue, let after = fitted.objectValue else {
            return fitted
        }
        for (key, value) in after where before[key] != value {
            guard let explicit = before[key], explicit != .null else { continue }
            if let size = explicit.intValue, size < tokenizer.vocabularySize {
                throw InputError(
                    "\(file): \(JSONValue.quoted(key)): expected at least the \(tokenizer.vocabularySize) tokens of"
                        + " --tokenizer \(tokenizer.kind.rawValue), found \(size)")
            }
            return given
        }
        return fitted
    }
}
