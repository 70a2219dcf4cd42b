import Foundation
import ModelZoo

extension Train {
    func begin(_ host: TrainingHost) throws -> Outcome {
        try refuseBeginning()
        let base = try openBase()
        let architecture = try Zoo.architecture(architectureName(base))
        let text = textOptions
        let start = try start(of: architecture, base)
        var options = try self.options(from: start.training)
        // A length that was written stays; the window is as long unless it is given, too.
        let written = start.keepsLength ? architecture.rowLength(of: start.configuration) : nil
        if let written, stepOptions.sequenceLength == nil {
            options.sequenceLength = max(options.objective.windowLength(inRow: written), 1)
        }
        try options.validate()

        var origin = RunOrigin(
            model: architecture.id, data: text.data, corpus: try text.corpus(), documents: try text.separator(),
            validation: text.validation, validationFraction: text.validationFraction ?? 0.1)
        let tokenizer = try tokenizer(for: origin, base)
        let split = try origin.makeSplit(tokenizer, sequenceLength: options.sequenceLength)

        let row = options.objective.rowLength(ofWindow: options.sequenceLength)
        let configuration = try architecture.configuration(
            architecture.fitting(start, to: tokenizer, options.objective),
            sequenceLength: written == nil || start.isOfRun && row > written ?? 0 ? row : nil,
            dropout: stepOptions.dropout)
        origin.configuration = configuration
        // Messages name the paths as they were given; the run's folder says them from anywhere.
        (origin.data, origin.validation) = (text.data.map(\.absolutePath), text.validation?.absolutePath)
        let made = try architecture.makeModel(
            configuration, file: start.file, key: RandomKey(seed: options.seed).child(-1))  // steps count from 0
        try prepare(made, base, &origin, host)
        return try begin(made, on: split, tokenizer: tokenizer, options: options, origin: origin, host)
    }

    /// The id of the architecture: the one that is given, or the run's to begin from.
    private func architectureName(_ base: Base?) throws -> String {
        guard let name = model ?? base?.configuration.origin.model else {
            throw InputError("--model is missing; expected one of \(Zoo.identifiers.joined(separator: ", "))")
        }
        return name
    }

    /// The configuration and the training options before what is given is put in their place.
    struct Start {
        /// The configuration's name in messages.
        let file: String
        let configuration: JSONValue
        let training: TrainingOptions
        /// True if a length of rows in the configuration stays.
        let keepsLength: Bool
        /// True if the configuration is that of the run to begin from.
        let isOfRun: Bool
    }

    private func start(of architecture: any Architecture, _ base: Base?) throws -> Start {
        let wanted: ObjectiveKind? = try textOptions.objective.map { try option("--objective", $0) }
        // Another architecture than the run's takes from it what fits.
        let base = base?.configuration.origin.model == architecture.id ? base : nil
        if let base, preset == nil, config == nil {
            let training = base.configuration.training
            return Start(
                file: base.folder.configurationPath, configuration: base.configuration.origin.configuration,
                training: wanted.map(training.teaching) ?? training, keepsLength: true, isOfRun: true)
        }
        let name = preset ?? (textOptions.data.isEmpty ? "quick" : "small")
        let preset = try architecture.presetJSON(name, objective: wanted)
        return Start(
            file: config ?? "preset \(name)",
            configuration: try config.map { try JSONValue(path: $0) } ?? preset.configuration,
            training: preset.training, keepsLength: config != nil, isOfRun: false)
    }

    /// The tokenizer that is given, which learns its vocabulary from the text, or that of the run to begin from.
    private func tokenizer(for origin: RunOrigin, _ base: Base?) throws -> any Tokenizer {
        if let base, textOptions.tokenizer == nil { return base.tokenizer }
        return try TokenizerChoice(textOptions.tokenizer).makeTokenizer(learningFrom: origin)
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
    /// of it, keeps what it says, and that of a run has a larger one only where it must.
    fileprivate func fitting(
        _ start: Train.Start, to tokenizer: any Tokenizer, _ objective: ObjectiveKind
    ) throws -> JSONValue {
        let (given, file) = (start.configuration, start.file)
        let vocabularySize = objective.vocabularySize(of: tokenizer)
        let fitted = configuration(given, vocabularySize: vocabularySize)
        if start.isOfRun { return self.vocabularySize(of: given) ?? 0 < vocabularySize ? fitted : given }
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
