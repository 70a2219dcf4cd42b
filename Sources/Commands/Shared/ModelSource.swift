import ModelZoo

/// The source of a trained model: a run folder, or weights with the configuration they fit.
package struct ModelSource: Sendable {
    /// A run folder.
    package var run: String?
    /// The architecture's id, for weights without a run.
    package var model: String?
    /// The file of the architecture's configuration, for weights without a run.
    package var config: String?
    /// A safetensors file, the index of several, or a folder that holds either.
    package var weights: String?
    /// Called with a line about what had to be done so that the weights fit, such as a prefix that was taken off.
    package var note: @Sendable (String) -> Void = { _ in }
    /// float, bfloat16 or int8: what the weights are rounded to once they are read; nil for float.
    package var weightsAs: String?
    /// Called with what should be known of what is loaded, in one line.
    package var warn: @Sendable (String) -> Void = { _ in }

    /// Creates a source of a run folder, or of weights with the id and the configuration that they fit.
    package init(
        run: String? = nil, model: String? = nil, config: String? = nil, weights: String? = nil,
        weightsAs: String? = nil
    ) {
        self.run = run
        self.model = model
        self.config = config
        self.weights = weights
        self.weightsAs = weightsAs
    }

    /// A model with its weights, and what else is known of it.
    struct Loaded {
        /// The id of the architecture.
        let id: String
        let model: any LanguageModel
        let tokenizer: any Tokenizer
        /// The configuration of its training, if known.
        let run: RunConfiguration?

        /// The objective it has learned; for weights from elsewhere, the one their model can have learned.
        var objective: Objective {
            if let run { return run.training.objective.objective(for: tokenizer) }
            return model.startToken.map { .reverse(ReversedTokens(startToken: $0)) } ?? .nextToken
        }
    }

    /// The format that the weights shall be rounded to; nil for floats.
    /// - Throws: `InputError` that names --weights-as and its words.
    func weightFormat() throws -> RoundedMatrix.Format? {
        let precision: WeightPrecision? = try weightsAs.map { try option("--weights-as", $0) }
        return precision?.format
    }

    /// - Throws: `InputError` that names the option, file or key that is missing or wrong.
    func load() throws -> Loaded {
        let format = try weightFormat()
        let loaded = try loadFloats()
        guard let format else { return loaded }
        do { try loaded.model.roundWeights(to: format) } catch let error as InputError {
            throw InputError("--weights-as \(format.rawValue): \(error.message)")
        }
        return loaded
    }

    private func loadFloats() throws -> Loaded {
        try requireNames()
        if let run { return try load(RunFolder(path: run)) }
        let (id, config, weights) = (model!, config!, weights!)
        let model = try Zoo.architecture(id).makeModel(
            JSONValue(path: config), file: config, key: RandomKey(seed: 0))
        try loadWeights(of: model, from: weights)
        return Loaded(id: id, model: model, tokenizer: ByteTokenizer(), run: nil)
    }

    /// Checks for missing options before anything is read.
    /// - Throws: `InputError` that names the option that is missing, empty, or one too many.
    package func requireNames() throws {
        let expected = "expected --run FOLDER, or --model ID --config FILE --weights FILE"
        let elsewhere = [("--model", model), ("--config", config), ("--weights", weights)]
        for (name, value) in [("--run", run)] + elsewhere where value == "" {
            throw InputError("\(name) is empty; \(expected)")
        }
        guard run == nil else {
            return try refuse(
                elsewhere.map { ($0, $1 != nil) }, "cannot be combined with --run, whose folder says it already")
        }
        for (name, value) in elsewhere where value == nil {
            throw InputError("\(name) is missing; \(expected)")
        }
    }

    private func load(_ folder: RunFolder) throws -> Loaded {
        folder.finishSave(recording: { try RunReport($0).write() })
        let run = try Run(opening: folder, warn: warn)
        if let line = run.loading.note { note(line) }
        return Loaded(
            id: run.configuration.origin.model, model: run.model, tokenizer: run.tokenizer, run: run.configuration)
    }

    private func loadWeights(of model: any LanguageModel, from path: String) throws {
        if let line = try model.load(from: path).note { note(line) }
    }
}
