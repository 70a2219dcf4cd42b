// Configurations as JSON, in files and runs: what lacks keys that a training decides is no configuration yet.

extension Architecture {
    /// The JSON form of a preset's configuration, and its training.
    package func presetJSON(
        _ name: String, objective: ObjectiveKind? = nil
    ) throws -> (configuration: JSONValue, training: TrainingDefaults) {
        let preset = try preset(name, objective: objective)
        return (preset.configuration.json, preset.training)
    }

    /// Builds a model with initial parameters drawn from `key`, if there is memory for it.
    /// - Parameter file: what messages call the configuration, usually its path.
    /// - Throws: `InputError` that names `file` and the key that is wrong, or says how much memory the model would need.
    package func makeModel(_ configuration: JSONValue, file: String, key: RandomKey) throws -> any LanguageModel {
        try modelThatFits(configuration, file: file) { json in
            do {
                return try makeModel(Configuration(json, file: file), key: key)
            } catch let error as ConfigurationError {
                throw InputError("\(file): \(error)")
            }
        }
    }

    /// The configuration for a vocabulary of this size.
    package func configuration(_ configuration: JSONValue, vocabularySize: Int) -> JSONValue {
        Configuration.setting(
            [.vocabulary: .integer(vocabularySize), .lastToken: .integer(vocabularySize - 1)], in: configuration)
    }

    /// The size of the vocabulary that a configuration is for, where it says so itself.
    package func vocabularySize(of configuration: JSONValue) -> Int? {
        Configuration.keys(of: .vocabulary, in: configuration).compactMap { configuration.objectValue?[$0]?.intValue }
            .max()
    }

    /// The length of the longest rows that a configuration is for, where it says so itself: what the next function sets. It
    /// is kept where it was written.
    package func rowLength(of configuration: JSONValue) -> Int? {
        func lengths(_ role: ConfigurationRole) -> [Int?] {
            Configuration.keys(of: role, in: configuration).map { configuration.objectValue?[$0]?.intValue }
        }
        if case let whole?? = lengths(.rowLength).first { return whole }
        let halves = lengths(.halfRowLength)
        guard !halves.isEmpty, !halves.contains(nil), let half = halves.compactMap({ $0 }).min() else { return nil }
        return half > .max / 2 ? nil : 2 * half
    }

    /// The configuration for training on sequences of this length, with this dropout; nil leaves either as it is.
    /// - Parameter sequenceLength: the length of the rows that the model reads, which is twice that of a window where it is
    ///   reversed (`ObjectiveKind.rowLength(ofWindow:)`).
    /// - Throws: `OptionError` that names `dropout` where the model has none.
    package func configuration(
        _ configuration: JSONValue, sequenceLength: Int?, dropout: Double?
    ) throws -> JSONValue {
        if dropout != nil, Configuration.keys(of: .dropout, in: configuration).isEmpty {
            let others = Configuration.keys(in: configuration).filter { $0.contains("dropout") }
            let hint = others.isEmpty ? "" : " (their configuration has \(others.joined(separator: " and ")))"
            throw OptionError("dropout", "models of \(id) have none that it sets\(hint)")
        }
        return Configuration.setting(
            [
                .rowLength: sequenceLength.map { .integer($0) },
                .halfRowLength: sequenceLength.map { .integer(($0 + 1) / 2) }, .dropout: dropout.map { .number($0) },
            ], in: configuration)
    }
}
