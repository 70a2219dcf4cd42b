import Foundation
import ModelZoo

extension TrainCommand {
    func begin(_ host: TrainingHost) throws -> Outcome {
        guard let model else {
            throw InputError("--model is missing; expected one of \(ModelZoo.identifiers.joined(separator: ", "))")
        }
        let architecture = try ModelZoo.architecture(model)
        let presetName = preset ?? (data.isEmpty ? "quick" : "small")
        let wanted: ObjectiveKind? = try objective.map { try option("--objective", $0) }
        let preset = try architecture.presetJSON(presetName, objective: wanted)
        let file = config ?? "preset \(presetName)"
        let given = try config.map { try JSONValue(path: $0) } ?? preset.configuration
        var options = try apply(to: preset.training)
        // A length that was written stays; the window is as long unless it is given, too.
        let written = config == nil ? nil : architecture.rowLength(of: given)
        if let written, sequenceLength == nil {
            options.sequenceLength = max(options.objective.windowLength(inRow: written), 1)
        }
        try options.validate()

        var origin = RunOrigin(
            model: model, data: data, corpus: try corpus(), documents: try separator(), validation: validation,
            validationFraction: validationFraction ?? 0.1)
        let kind: TokenizerKind = try option("--tokenizer", tokenizer ?? TokenizerKind.bytes.rawValue)
        let tokenizer = try kind.makeTokenizer(learningFrom: kind == .bytes ? [] : origin.texts())
        let split = try origin.makeSplit(tokenizer, sequenceLength: options.sequenceLength)

        let configuration = try architecture.configuration(
            architecture.fitting(given, file: file, to: tokenizer, options.objective),
            sequenceLength: written == nil ? options.objective.rowLength(ofWindow: options.sequenceLength) : nil,
            dropout: dropout)
        origin.configuration = configuration
        // Messages name the paths as they were given; the run's folder says them from anywhere.
        (origin.data, origin.validation) = (data.map(\.absolutePath), validation?.absolutePath)
        let made = try architecture.makeModel(
            configuration, file: file, key: RandomKey(seed: options.seed).child(-1))  // steps count from 0
        return try begin(made, on: split, tokenizer: tokenizer, options: options, origin: origin, host)
    }

    /// The built-in corpus, where no text is given.
    private func corpus() throws -> CorpusOptions? {
        guard data.isEmpty else {
            try refuse(
                [("--corpus-length", corpusLength != nil), ("--corpus-seed", corpusSeed != nil)],
                "cannot be combined with --data, whose text it is then")
            return nil
        }
        try refuse(
            [
                ("--validation", validation != nil), ("--validation-fraction", validationFraction != nil),
                ("--documents", documents != nil),
            ], "expected only with --data; the built-in corpus has a validation text of its own")
        var corpus = CorpusOptions()
        if let corpusSeed { corpus.seed = corpusSeed }
        if let corpusLength {
            guard Corpus.lengths.contains(corpusLength) else {
                throw InputError(
                    "--corpus-length: expected a whole number from 1 to \(Corpus.lengths.upperBound), found"
                        + " \(corpusLength)")
            }
            corpus.length = corpusLength
        }
        return corpus
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
        return try train(run, host)
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
